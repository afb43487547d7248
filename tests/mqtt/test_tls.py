from __future__ import annotations

import os
import socket
import ssl
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from brokers import Mosquitto, wait_acknowledged, wait_until
from certificates import Authority, Certificate

from edgevision.config.mqtt import MqttConfig, TlsConfig
from edgevision.errors import BrokerError, ConfigError
from edgevision.mqtt.client import MqttClient
from edgevision.mqtt.message import Message
from edgevision.mqtt.tls import MAX_PEM_BYTES, tls_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


UNKNOWN_CA = "set mqtt.tls.ca_file to the CA that signed the broker's certificate"
OTHER_NAME = (
    "Hostname mismatch, certificate is not valid for 'localhost'; set mqtt.host to a name in the "
    "broker's certificate"
)
OTHER_ADDRESS = (
    "IP address mismatch, certificate is not valid for '127.0.0.1'; set mqtt.host to a name or "
    "address in the broker's certificate"
)
EXPIRED = "certificate has expired; renew the broker's certificate, or check this machine's clock"
NOT_YET = (
    "certificate is not yet valid; check this machine's clock, or wait until the broker's "
    "certificate is valid"
)
CLIENT_CERTIFICATE = "the broker wants a client certificate: set mqtt.tls.cert_file and key_file"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def tls_broker(tmp_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    """Start a mosquitto with this certificate and these further settings."""
    started: list[Mosquitto] = []

    def start(certificate: Certificate, *settings: str) -> Mosquitto:
        broker = Mosquitto(tmp_path)
        broker.settings = [
            "allow_anonymous true",
            f"certfile {certificate.cert}",
            f"keyfile {certificate.key}",
            *settings,
        ]
        broker.start()
        started.append(broker)
        return broker

    yield start
    for broker in started:
        broker.stop()


@pytest.fixture
def connect() -> Iterator[Callable[..., MqttClient]]:
    """Start a client for this port and these TLS settings."""
    started: list[MqttClient] = []

    def start(port: int, tls: dict[str, Any] | None, **more: Any) -> MqttClient:
        on_message = more.pop("on_message", lambda _message: None)
        subscribe = more.pop("subscribe", ())
        settings = {
            "port": port,
            "reconnect_max_s": 1,
            **({} if tls is None else {"tls": tls}),
            **more,
        }
        client = MqttClient(
            MqttConfig.model_validate(settings),
            client_id="a",
            subscribe=subscribe,
            on_message=on_message,
        )
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


def wait_fault(client: MqttClient, words: str) -> str:
    wait_until(lambda: words in fault_of(client), 20)
    return fault_of(client)


def test_a_broker_with_the_right_certificate_is_connected_to_and_data_arrives(
    authority: Authority,
    tls_broker: Callable[..., Mosquitto],
    connect: Callable[..., MqttClient],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    broker = tls_broker(authority.issue("broker"))
    arrived: list[Message] = []
    client = connect(
        broker.port,
        {"ca_file": str(authority.ca_file)},
        subscribe=["t/#"],
        on_message=arrived.append,
    )
    client.wait_connected(10)
    assert client.send(Message("t/fact", b"1", qos=1))
    wait_until(lambda: arrived == [Message("t/fact", b"1", qos=1)])
    assert "version 5" in caplog.text


def long_ago() -> dict[str, datetime]:
    now = datetime.now(UTC)
    return {"not_before": now - timedelta(days=9), "not_after": now - timedelta(days=1)}


def in_a_while() -> dict[str, datetime]:
    now = datetime.now(UTC)
    return {"not_before": now + timedelta(days=1), "not_after": now + timedelta(days=9)}


@pytest.mark.parametrize(
    ("make", "host", "words"),
    [
        (
            lambda ca: ca.issue("broker", "other.lan"),
            "localhost",
            OTHER_NAME,
        ),
        (
            lambda ca: ca.issue("broker", "localhost"),
            "127.0.0.1",
            OTHER_ADDRESS,
        ),
        (
            lambda ca: ca.issue("broker", **long_ago()),
            "127.0.0.1",
            EXPIRED,
        ),
        (
            lambda ca: ca.issue("broker", **in_a_while()),
            "127.0.0.1",
            NOT_YET,
        ),
    ],
    ids=["name", "address", "expired", "not yet valid"],
)
def test_a_certificate_that_does_not_fit_is_refused_with_what_to_do(
    authority: Authority,
    tls_broker: Callable[..., Mosquitto],
    connect: Callable[..., MqttClient],
    make: Callable[[Authority], Certificate],
    host: str,
    words: str,
) -> None:
    broker = tls_broker(make(authority))
    client = connect(broker.port, {"ca_file": str(authority.ca_file)}, host=host)
    assert wait_fault(client, "TLS failed") == f"{host}:{broker.port}: TLS failed: {words}"


@pytest.mark.parametrize(
    "make",
    [lambda other: other.self_signed("broker"), lambda other: other.issue("broker")],
    ids=["self-signed", "unknown CA"],
)
@pytest.mark.parametrize("with_ca", [True, False], ids=["own CA", "the system's CAs"])
def test_a_certificate_that_no_known_ca_signed_is_refused(
    authority: Authority,
    tmp_path: Path,
    tls_broker: Callable[..., Mosquitto],
    connect: Callable[..., MqttClient],
    make: Callable[[Authority], Certificate],
    *,
    with_ca: bool,
) -> None:
    broker = tls_broker(make(Authority(tmp_path, "other")))
    client = connect(broker.port, {"ca_file": str(authority.ca_file)} if with_ca else {})
    assert wait_fault(client, "TLS failed").endswith(UNKNOWN_CA)


@pytest.mark.parametrize("version", ["tlsv1.2", "tlsv1.3"])
def test_a_broker_that_wants_a_client_certificate_gets_it(
    authority: Authority,
    tls_broker: Callable[..., Mosquitto],
    connect: Callable[..., MqttClient],
    version: str,
) -> None:
    broker = tls_broker(
        authority.issue("broker"),
        f"cafile {authority.ca_file}",
        "require_certificate true",
        f"tls_version {version}",
    )
    own = authority.issue("board", "board.lan")
    tls = {"ca_file": str(authority.ca_file), "cert_file": str(own.cert), "key_file": str(own.key)}
    client = connect(broker.port, tls)
    client.wait_connected(10)
    wait_acknowledged(client, Message("t", b"1", qos=1))


@pytest.mark.parametrize("version", ["tlsv1.2", "tlsv1.3"])
def test_a_broker_that_wants_a_client_certificate_is_said_to_where_there_is_none(
    authority: Authority,
    tls_broker: Callable[..., Mosquitto],
    connect: Callable[..., MqttClient],
    version: str,
) -> None:
    broker = tls_broker(
        authority.issue("broker"),
        f"cafile {authority.ca_file}",
        "require_certificate true",
        f"tls_version {version}",
    )
    client = connect(broker.port, {"ca_file": str(authority.ca_file)})
    assert wait_fault(client, "TLS failed").endswith(CLIENT_CERTIFICATE)


@pytest.mark.parametrize("version", ["tlsv1.2", "tlsv1.3"])
def test_a_client_certificate_of_another_ca_is_said_to_be_refused(
    authority: Authority,
    tmp_path: Path,
    tls_broker: Callable[..., Mosquitto],
    connect: Callable[..., MqttClient],
    version: str,
) -> None:
    broker = tls_broker(
        authority.issue("broker"),
        f"cafile {authority.ca_file}",
        "require_certificate true",
        f"tls_version {version}",
    )
    own = Authority(tmp_path, "other").issue("board", "board.lan")
    tls = {"ca_file": str(authority.ca_file), "cert_file": str(own.cert), "key_file": str(own.key)}
    client = connect(broker.port, tls)
    fault = wait_fault(client, "TLS failed")
    assert fault.endswith("the broker refuses our client certificate: check mqtt.tls.cert_file")


def test_plain_text_on_a_port_where_tls_is_expected_is_named(
    mosquitto: Mosquitto, authority: Authority, connect: Callable[..., MqttClient]
) -> None:
    client = connect(mosquitto.port, {"ca_file": str(authority.ca_file)})
    fault = wait_fault(client, "TLS failed")
    assert fault.endswith("the server there does not speak TLS: check mqtt.port")


def test_a_server_that_greets_in_plain_text_is_named(
    authority: Authority, connect: Callable[..., MqttClient]
) -> None:
    with _Server(lambda near: near.sendall(b"220 mail.lan ESMTP\r\n")) as port:
        client = connect(port, {"ca_file": str(authority.ca_file)})
        fault = wait_fault(client, "TLS failed")
        assert fault.endswith("the server there does not speak TLS: check mqtt.port")


def test_plain_text_to_a_tls_port_ends_with_the_question_for_tls(
    authority: Authority, tls_broker: Callable[..., Mosquitto], connect: Callable[..., MqttClient]
) -> None:
    broker = tls_broker(authority.issue("broker"))
    client = connect(broker.port, None)
    assert "mqtt.tls" in wait_fault(client, f"{broker.port}: connection ended")


def test_a_handshake_that_never_ends_is_given_up_after_connect_timeout_s(
    authority: Authority, connect: Callable[..., MqttClient], caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        client = connect(port, {"ca_file": str(authority.ca_file)}, connect_timeout_s=0.3)
        words = "TLS failed: expected the end of the handshake within 0.3 s, got none"
        wait_fault(client, words)
    assert f"127.0.0.1:{port}: {words}; trying again" in caplog.text


def test_handshake_and_answer_share_the_time_of_one_attempt(
    authority: Authority, connect: Callable[..., MqttClient]
) -> None:
    own = authority.issue("broker")
    began: list[float] = []
    ended: list[float] = []

    def silent_behind_tls(near: socket.socket) -> None:
        began.append(time.monotonic())
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(own.cert, own.key)
        time.sleep(0.6)
        with context.wrap_socket(near, server_side=True) as secured:
            while secured.recv(4096):
                pass
        ended.append(time.monotonic())

    with _Server(silent_behind_tls) as port:
        client = connect(port, {"ca_file": str(authority.ca_file)}, connect_timeout_s=1.0)
        wait_fault(client, "expected an answer within 1 s, got none")
        wait_until(lambda: len(ended) > 0)
    # Not 1 s for the handshake and another one for the answer, which would make 1.6 s.
    assert ended[0] - began[0] < 1.55


def test_stopping_does_not_wait_for_a_handshake(
    authority: Authority, connect: Callable[..., MqttClient]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        client = connect(port, {"ca_file": str(authority.ca_file)}, connect_timeout_s=60)
        near, _ = silent.accept()
        with near:
            assert near.recv(1)
            began_s = time.monotonic()
            client.stop(timeout_s=0.5)
            assert time.monotonic() - began_s < 10


def test_a_daemon_keeps_trying_and_connects_once_the_certificate_is_right(
    authority: Authority, tls_broker: Callable[..., Mosquitto], connect: Callable[..., MqttClient]
) -> None:
    expired = authority.issue("broker", **long_ago())
    broker = tls_broker(expired)
    client = connect(broker.port, {"ca_file": str(authority.ca_file)})
    wait_fault(client, "certificate has expired")
    broker.stop()
    authority.issue("broker")  # renewed in the same files
    broker.start()
    client.wait_connected(20)


def test_certificates_renewed_on_disk_are_used_by_the_next_connection(
    authority: Authority,
    tmp_path: Path,
    tls_broker: Callable[..., Mosquitto],
    connect: Callable[..., MqttClient],
) -> None:
    settings = [f"cafile {authority.ca_file}", "require_certificate true"]
    broker = tls_broker(authority.issue("broker"), *settings)
    own = authority.issue("board", "board.lan")
    tls = {"ca_file": str(authority.ca_file), "cert_file": str(own.cert), "key_file": str(own.key)}
    client = connect(broker.port, tls)
    client.wait_connected(10)
    broker.stop()
    wait_until(lambda: not client.connected)
    renewed = Authority(tmp_path)  # in the old one's file, as every further certificate
    renewed.issue("broker")
    renewed.issue("board", "board.lan")
    broker.start()
    wait_until(lambda: client.connected, 20)
    assert client.reconnects == 1


def test_a_certificate_that_becomes_unreadable_is_said_once_and_the_old_one_stays_in_use(
    authority: Authority,
    tls_broker: Callable[..., Mosquitto],
    connect: Callable[..., MqttClient],
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = tls_broker(authority.issue("broker"))
    client = connect(broker.port, {"ca_file": str(authority.ca_file)})
    client.wait_connected(10)
    broker.stop()
    authority.ca_file.write_text("half a certi", encoding="ascii")
    wait_until(lambda: "refused" in fault_of(client), 20)
    broker.start()
    wait_until(lambda: client.connected, 20)
    logged = [
        r.getMessage() for r in caplog.records if "using the files as read before" in r.getMessage()
    ]
    fault = f"mqtt.tls.ca_file: expected a readable PEM file, got {authority.ca_file}"
    assert logged == [f"MQTT: {fault}: it contains no certificate; using the files as read before"]


def test_nothing_older_than_tls_1_2_is_spoken(authority: Authority) -> None:
    context = tls_context(TlsConfig(ca_file=authority.ca_file))
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname


def test_text_between_certificates_may_be_in_any_charset(
    authority: Authority, tmp_path: Path
) -> None:
    path = tmp_path / "chain.pem"
    path.write_bytes("Größe\n".encode("latin-1") + authority.ca_file.read_bytes() + b"\xff\n")
    assert tls_context(TlsConfig(ca_file=path)).get_ca_certs()


@pytest.mark.parametrize("key", ["ca_file", "cert_file", "key_file"])
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.mkdir(), "Is a directory"),
        (os.mkfifo, "a FIFO, not a file"),
        (lambda path: path.symlink_to("/dev/zero"), "a device, not a file"),
        (lambda path: os.truncate(path, (1 << 40)), f"more than {MAX_PEM_BYTES} bytes"),
        (lambda path: path.write_bytes(b"-----BEGIN CERTIFICATE-----\nx\n"), "PEM"),
        (lambda path: path.write_bytes(bytes(100)), "PEM"),
        (lambda _: None, "No such file or directory"),
    ],
    ids=["folder", "FIFO", "device", "huge", "cut short", "zeros", "absent"],
)
def test_what_is_no_certificate_is_a_configuration_fault_at_once(
    authority: Authority, tmp_path: Path, key: str, make: Callable[[Path], object], words: str
) -> None:
    own = authority.issue("board", "board.lan")
    bad = tmp_path / "bad"
    if "bytes" in words:
        bad.touch()
    make(bad)
    files = {"ca_file": authority.ca_file, "cert_file": own.cert, "key_file": own.key, key: bad}
    with pytest.raises(ConfigError, match=words) as caught:
        tls_context(TlsConfig(**files))
    named = str(caught.value).partition(":")[0]
    # OpenSSL does not report which of the two files it cannot use.
    assert named == f"mqtt.tls.{key}" or (words == "PEM" and named == "mqtt.tls.cert_file")
    assert "\n" not in str(caught.value)


class _Server:
    """Accepts connections on loopback and does one thing with each; yields its port."""

    def __init__(self, serve: Callable[[socket.socket], object]) -> None:
        self._serve = serve
        self._socket = socket.create_server(("127.0.0.1", 0))

    def __enter__(self) -> int:
        threading.Thread(target=self._accept, daemon=True).start()
        port: int = self._socket.getsockname()[1]
        return port

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _accept(self) -> None:
        for _ in range(20):
            try:
                near, _address = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(near,), daemon=True).start()

    def _one(self, near: socket.socket) -> None:
        try:
            with near:
                self._serve(near)
        except OSError:
            return
