from __future__ import annotations

import contextlib
import gc
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest
from brokers import Listener, Mosquitto, free_port, wait_until

from edgevision.config.mqtt import MqttConfig
from edgevision.errors import BrokerError, BrokerRefusedError, ConfigError
from edgevision.mqtt.client import MqttClient
from edgevision.mqtt.connection import MAX_UNWRITTEN
from edgevision.mqtt.message import Message

if TYPE_CHECKING:
    from collections.abc import Iterator

FACT = Message("t/fact", b"1", qos=1, retain=True)
TELEMETRY = Message("t/telemetry", b"2")


@pytest.fixture
def clients() -> Iterator[list[MqttClient]]:
    started: list[MqttClient] = []
    yield started
    for client in started:
        client.stop()


def test_a_message_of_each_kind_arrives_with_its_qos_and_retain_flag(
    mosquitto: Mosquitto, listener: Listener, clients: list[MqttClient]
) -> None:
    client = MqttClient(MqttConfig(port=mosquitto.port), client_id="a")
    clients.append(client)
    client.start()
    client.wait_connected(10)
    assert client.send(FACT)
    assert client.send(TELEMETRY)
    listener.wait_for("t/telemetry")
    late = Listener(mosquitto.port)
    wait_until(lambda: late.messages("t/fact"))
    assert late.flags("t/fact") == [(True, 1)]
    assert late.messages("t/telemetry") == []
    late.close()


def test_mqtt_5_is_spoken_to_a_broker_that_knows_it(
    mosquitto: Mosquitto, clients: list[MqttClient], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    client = MqttClient(MqttConfig(port=mosquitto.port), client_id="a")
    clients.append(client)
    client.start()
    client.wait_connected(10)
    assert "version 5" in caplog.text


def test_a_broker_that_hangs_up_on_mqtt_5_is_spoken_to_in_3_1_1(
    mosquitto: Mosquitto, clients: list[MqttClient], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with _OldBroker(mosquitto.port) as old:
        client = MqttClient(MqttConfig(port=old.port), client_id="a")
        clients.append(client)
        client.start()
        client.wait_connected(10)
        assert "version 3.1.1" in caplog.text


def test_a_refused_password_is_said_with_what_to_check(
    mosquitto: Mosquitto, clients: list[MqttClient]
) -> None:
    mosquitto.stop()
    mosquitto.require_password("board", "right")
    mosquitto.start()
    config = MqttConfig.model_validate(
        {"port": mosquitto.port, "username": "board", "password": "wrong"}
    )
    client = MqttClient(config, client_id="a")
    clients.append(client)
    client.start()
    with pytest.raises(BrokerRefusedError, match=r"refused: .*check mqtt\.username and the pass"):
        client.wait_connected(10)
    assert not client.connected


def test_the_password_in_a_file_is_accepted_without_its_line_end(
    mosquitto: Mosquitto, clients: list[MqttClient], tmp_path: Path
) -> None:
    mosquitto.stop()
    mosquitto.require_password("board", "right")
    mosquitto.start()
    (tmp_path / "password").write_text("right\n", encoding="utf-8")
    config = MqttConfig(port=mosquitto.port, username="board", password_file=tmp_path / "password")
    client = MqttClient(config, client_id="a")
    clients.append(client)
    client.start()
    client.wait_connected(10)


def test_the_systemd_credential_is_used_when_no_password_is_configured(
    mosquitto: Mosquitto,
    clients: list[MqttClient],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mosquitto.stop()
    mosquitto.require_password("board", "right")
    mosquitto.start()
    (tmp_path / "mqtt_password").write_text("right", encoding="utf-8")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    client = MqttClient(MqttConfig(port=mosquitto.port, username="board"), client_id="a")
    clients.append(client)
    client.start()
    client.wait_connected(10)


def test_an_unreadable_password_file_is_a_configuration_fault(tmp_path: Path) -> None:
    config = MqttConfig(username="board", password_file=tmp_path / "absent")
    with pytest.raises(ConfigError, match=r"mqtt\.password_file: expected a readable UTF-8 file"):
        MqttClient(config, client_id="a")


def test_an_unreadable_ca_file_is_a_configuration_fault(tmp_path: Path) -> None:
    config = MqttConfig.model_validate({"tls": {"ca_file": str(tmp_path / "absent.pem")}})
    with pytest.raises(ConfigError, match=r"mqtt\.tls\.ca_file: expected a readable PEM file"):
        MqttClient(config, client_id="a")


def test_nothing_listening_is_said_as_such() -> None:
    client = MqttClient(MqttConfig(port=free_port()), client_id="a")
    client.start()
    wait_until(lambda: "refused" in str(_fault_of(client)))
    client.stop()


def test_a_broker_that_comes_up_later_is_found(
    mosquitto: Mosquitto, clients: list[MqttClient]
) -> None:
    mosquitto.stop()
    client = MqttClient(MqttConfig(port=mosquitto.port), client_id="a")
    clients.append(client)
    client.start()
    assert not client.send(TELEMETRY)
    mosquitto.start()
    client.wait_connected(15)
    assert client.send(TELEMETRY)


def test_after_a_broker_restart_the_state_is_published_again(
    mosquitto: Mosquitto, clients: list[MqttClient]
) -> None:
    connected: list[int] = []
    client = MqttClient(
        MqttConfig(port=mosquitto.port), client_id="a", on_connected=lambda: connected.append(1)
    )
    clients.append(client)
    client.start()
    client.wait_connected(10)
    mosquitto.stop()
    wait_until(lambda: not client.connected)
    mosquitto.start()
    wait_until(lambda: len(connected) == 2, 15)
    assert client.reconnects == 1


def test_a_broker_that_accepts_and_stays_silent_is_given_up_after_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        config = MqttConfig(port=port, connect_timeout_s=0.3)
        client = MqttClient(config, client_id="a")
        client.start()
        wait_until(lambda: "expected an answer within 0.3 s, got none" in str(_fault_of(client)))
        assert not client.connected
        client.stop()


def test_connections_that_fail_leave_no_file_open_until_garbage_is_collected() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        hung_up = 0

        def hang_up() -> None:
            nonlocal hung_up
            with contextlib.suppress(OSError):
                while True:
                    server.accept()[0].close()
                    hung_up += 1

        threading.Thread(target=hang_up, daemon=True).start()
        config = MqttConfig(port=server.getsockname()[1], reconnect_max_s=1)
        client = MqttClient(config, client_id="board")
        gc.disable()
        try:
            client.start()
            wait_until(lambda: hung_up >= 2)
            before = len([*Path("/proc/self/fd").iterdir()])
            wait_until(lambda: hung_up >= 6)
            wait_until(lambda: len([*Path("/proc/self/fd").iterdir()]) <= before)
        finally:
            gc.enable()
            client.stop()
            server.shutdown(socket.SHUT_RDWR)


def test_telemetry_is_refused_while_a_stalled_broker_reads_nothing(
    mosquitto: Mosquitto, clients: list[MqttClient]
) -> None:
    client = MqttClient(MqttConfig(port=mosquitto.port), client_id="a")
    clients.append(client)
    client.start()
    client.wait_connected(10)
    with _Stopped(mosquitto):
        big = Message("t/telemetry", bytes(1 << 20))
        taken = [client.send(big) for _ in range(MAX_UNWRITTEN + 40)]
        assert taken.count(True) < MAX_UNWRITTEN + 40
        assert not taken[-1]


def test_stopping_publishes_the_last_message(mosquitto: Mosquitto, listener: Listener) -> None:
    client = MqttClient(MqttConfig(port=mosquitto.port), client_id="a")
    client.start()
    client.wait_connected(10)
    client.stop(last=Message("t/status", b'{"status": "offline"}', qos=1, retain=True))
    assert listener.wait_for("t/status") == [{"status": "offline"}]


def test_a_password_is_in_no_representation() -> None:
    config = MqttConfig.model_validate({"username": "board", "password": "s3cr3t-word"})
    client = MqttClient(config, client_id="a")
    assert "s3cr3t-word" not in repr(config) + repr(vars(client)) + str(config.model_dump())


def _fault_of(client: MqttClient) -> BrokerError:
    try:
        client.wait_connected(0)
    except BrokerError as error:
        return error
    return BrokerError("connected")


class _Stopped:
    """Holds a broker with SIGSTOP while the context lasts."""

    def __init__(self, mosquitto: Mosquitto) -> None:
        self._process = mosquitto.process

    def __enter__(self) -> None:
        self._process.send_signal(19)

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(18)


class _OldBroker:
    """Forwards MQTT 3.1.1 to a real broker and hangs up on CONNECT packets of version 5."""

    def __init__(self, behind: int) -> None:
        self._behind = behind
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()
        for sock in self._open:
            sock.close()

    def _serve(self) -> None:
        for _ in range(10):
            try:
                near, _address = self._server.accept()
            except OSError:
                return
            connect = near.recv(1024)
            if connect[8] != 4:  # protocol level: after fixed header, length and "MQTT"
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self._behind))
            far.sendall(connect)
            self._open += [near, far]
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=_pump, args=(source, target), daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(4096):
            target.sendall(data)
    except OSError:
        return
