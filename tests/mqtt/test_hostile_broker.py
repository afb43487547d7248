"""A broker that sends what it must not: the client gives the connection up and tries again."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Self

import psutil
import pytest
from brokers import wait_until

from edgevision.config.mqtt import MqttConfig
from edgevision.errors import BrokerError
from edgevision.mqtt.bounded_client import MAX_PACKET_BYTES
from edgevision.mqtt.client import MqttClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ACCEPTED = {"5": bytes([0x20, 3, 0, 0, 0]), "3.1.1": bytes([0x20, 2, 0, 0])}


class HostileBroker:
    """Answers each CONNECT with the same bytes."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.port: int = self._server.getsockname()[1]
        self.connections = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(10)

    def _serve(self) -> None:
        while True:
            try:
                near, _address = self._server.accept()
            except OSError:
                return
            with near:
                self.connections += 1
                try:
                    near.settimeout(10)
                    near.recv(4096)
                    near.settimeout(600)  # for all of it, however slow the client's machine is
                    near.sendall(self._answer)
                    near.settimeout(10)
                    while near.recv(4096):  # until the client has gone
                        pass
                except OSError:
                    continue


@pytest.fixture
def client_of() -> Iterator[Callable[..., MqttClient]]:
    started: list[MqttClient] = []

    def start(broker: HostileBroker, protocol: str = "5") -> MqttClient:
        config = MqttConfig.model_validate(
            {"port": broker.port, "protocol": protocol, "connect_timeout_s": 5}
        )
        client = MqttClient(config, client_id="a")
        started.append(client)
        client.start()
        return client

    yield start
    for client in started:
        client.stop()


def fault_of(client: MqttClient) -> str:
    try:
        client.wait_connected(0)
    except BrokerError as error:
        return str(error)
    return "connected"


def packet(kind: int, body: bytes) -> bytes:
    length = (
        bytes([len(body)]) if len(body) < 128 else bytes([len(body) % 128 | 128, len(body) >> 7])
    )
    return bytes([kind]) + length + body


UNREADABLE = "what the broker sent cannot be read: "


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (bytes([0x30, 255, 255, 255, 127]), "expected a packet from the broker, got one of 2684"),
        (bytes([0x30, 255, 255, 255, 255, 127]), "connection ended"),
        (packet(0x34, b"\0\1t\0\1\0x"), "expected messages at QoS 0 or 1 from the broker, got one"),
        (packet(0x36, b"\0\1t\0\1\0x"), "expected messages at QoS 0 or 1 from the broker, got one"),
        (packet(0xC0, b""), "expected an answer from the broker, got a packet of type 12"),
        (packet(0x62, b"\0\1"), "expected an answer from the broker, got a packet of type 6"),
        (packet(0x10, b"\0\4MQTT"), "expected an answer from the broker, got a packet of type 1"),
        (packet(0x30, b"\xff\xffabc"), UNREADABLE),
        (packet(0x30, b""), UNREADABLE),
        (packet(0x40, b""), UNREADABLE),
        (packet(0x90, b"\0"), UNREADABLE),
        (packet(0x30, b"\0\2\xff\xfe\0x"), UNREADABLE),
    ],
)
def test_what_a_broker_must_not_send_ends_the_connection_with_the_reason_and_it_is_made_again(
    client_of: Callable[..., MqttClient], protocol: str, sent: bytes, words: str
) -> None:
    with HostileBroker(ACCEPTED[protocol] + sent) as broker:
        client = client_of(broker, protocol)
        wait_until(lambda: words in fault_of(client))
        wait_until(lambda: broker.connections >= 2)


def test_a_second_connack_is_not_taken_for_another_connection(
    client_of: Callable[..., MqttClient],
) -> None:
    with HostileBroker(ACCEPTED["5"] * 2) as broker:
        client = client_of(broker)
        wait_until(lambda: "expected one CONNACK from the broker, got another" in fault_of(client))


@pytest.mark.parametrize("sent", [b"HTTP/1.1 400 Bad Request\r\n\r\n", packet(0x40, b"\0\1")])
def test_an_answer_that_is_no_connack_ends_the_connection(
    client_of: Callable[..., MqttClient], sent: bytes
) -> None:
    with HostileBroker(sent) as broker:
        client = client_of(broker)
        wait_until(
            lambda: "expected an answer from the broker, got a packet of" in fault_of(client)
        )


def test_a_broker_that_answers_in_tls_leads_to_mqtt_tls(
    client_of: Callable[..., MqttClient],
) -> None:
    with HostileBroker(bytes([0x15, 3, 3, 0, 2, 2, 10])) as broker:
        client = client_of(broker)
        wait_until(lambda: "the broker answers with TLS: set mqtt.tls" in fault_of(client))


def test_a_broker_that_sends_and_never_reads_is_given_up_before_the_answers_pile_up(
    client_of: Callable[..., MqttClient],
) -> None:
    message = packet(0x32, b"\0\1t\0\1\0x")  # QoS 1, which asks for a PUBACK
    with HostileBroker(ACCEPTED["5"] + message * 1_500_000) as broker:
        before = psutil.Process().memory_info().rss
        client = client_of(broker)
        wait_until(lambda: "expected a broker that reads from the broker" in fault_of(client), 60)
        assert psutil.Process().memory_info().rss - before < 64 << 20


def test_a_packet_of_many_megabytes_is_refused_when_it_is_announced(
    client_of: Callable[..., MqttClient],
) -> None:
    announced = MAX_PACKET_BYTES + 1
    length = bytes([announced % 128 | 128, announced // 128 % 128 | 128, announced >> 14])
    with HostileBroker(ACCEPTED["5"] + b"\x30" + length) as broker:
        client = client_of(broker)
        wait_until(lambda: f"got one of {announced} bytes" in fault_of(client))
