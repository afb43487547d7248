"""A real mosquitto on a free port of loopback, and a second client that listens to it."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from edgevision.mqtt.client import MqttClient
    from edgevision.mqtt.connection import Answer
    from edgevision.mqtt.message import Message

MOSQUITTO = shutil.which("mosquitto") or shutil.which("/usr/sbin/mosquitto")
PASSWD = shutil.which("mosquitto_passwd")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait for a condition; fail the test when it does not come about."""
    deadline_s = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline_s:
            pytest.fail(f"waited {seconds} s in vain")
        time.sleep(0.01)


class Mosquitto:
    """A mosquitto that a test may stop, kill and start again on the same port."""

    def __init__(self, folder: Path) -> None:
        if MOSQUITTO is None:
            pytest.fail("these tests need a broker: install the package mosquitto")
        self.port = free_port()
        self.folder = folder
        self._file = folder / "mosquitto.conf"
        self._process: subprocess.Popen[bytes] | None = None
        self.settings = ["allow_anonymous true"]

    def start(self) -> None:
        lines = [f"listener {self.port} 127.0.0.1", "persistence false", *self.settings]
        if not any(line.startswith("user ") for line in self.settings):
            lines.append("user root")
        self._file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        log = (self.folder / "mosquitto.log").open("ab")
        with log:
            self._process = subprocess.Popen(
                [str(MOSQUITTO), "-c", str(self._file)], stdout=log, stderr=log
            )
        wait_until(self._answers)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def require_password(self, user: str, password: str) -> None:
        file = self.folder / "passwords"
        subprocess.run(
            [PASSWD or "mosquitto_passwd", "-b", "-c", str(file), user, password], check=True
        )
        self.settings = ["allow_anonymous false", f"password_file {file}"]

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 0.2):
            return True
        return False


class Listener:
    """A plain paho client that keeps everything it receives, in order."""

    def __init__(self, port: int, topic: str = "#", **login: str) -> None:
        self._arrived: list[tuple[str, bytes, bool, int]] = []
        self._lock = threading.Lock()
        self._subscribed = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        if login:
            self._client.username_pw_set(login["username"], login["password"])
        self._client.on_connect = lambda client, *_: client.subscribe(topic, qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._take
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._subscribed.wait(10)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic: str, payload: str | bytes, *, retain: bool = False) -> None:
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(10)

    def messages(self, end: str = "") -> list[tuple[str, bytes]]:
        """Return topic and payload of what has arrived on topics with this ending."""
        with self._lock:
            return [(topic, body) for topic, body, _, _ in self._arrived if topic.endswith(end)]

    def json(self, end: str) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.messages(end)]

    def flags(self, end: str) -> list[tuple[bool, int]]:
        """Return the retain flag and QoS of what has arrived on topics with this ending."""
        with self._lock:
            return [(retain, qos) for topic, _, retain, qos in self._arrived if topic.endswith(end)]

    def wait_for(self, end: str, count: int = 1, seconds: float = 15.0) -> list[dict[str, Any]]:
        wait_until(lambda: len(self.messages(end)) >= count, seconds)
        return self.json(end)

    def wait_status(self, end: str, status: str, seconds: float = 15.0) -> dict[str, Any]:
        """Wait until the last message on a topic says this status."""
        wait_until(lambda: (self.json(end) or [{}])[-1].get("status") == status, seconds)
        return self.json(end)[-1]

    def _take(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        with self._lock:
            self._arrived.append(
                (message.topic, bytes(message.payload), message.retain, message.qos)
            )


def wait_acknowledged(client: MqttClient, message: Message) -> None:
    """Publish a message and wait for the broker's PUBACK."""
    connection = client.connection
    assert connection is not None
    assert connection.publish(1, message)
    answers: list[Answer] = []
    wait_until(lambda: answers.extend(connection.answers()) or answers)
    assert not any(answer.refused for answer in answers)


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def listener(mosquitto: Mosquitto) -> Iterator[Listener]:
    client = Listener(mosquitto.port)
    yield client
    client.close()
