"""From `record` to a subscriber, over a real mosquitto that refuses, stalls or comes later."""

from __future__ import annotations

import json
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from brokers import Listener, Mosquitto, free_port, wait_until

from edgevision.clock import NS_PER_S, ManualClock, SystemClock
from edgevision.config.mqtt import MqttConfig
from edgevision.config.settings import OutboxConfig
from edgevision.mqtt import client as client_module
from edgevision.mqtt import publisher as delivery_module
from edgevision.mqtt.client import MqttClient
from edgevision.mqtt.message import Message
from edgevision.mqtt.outbox import MAX_MESSAGE_BYTES, Outbox
from edgevision.mqtt.outbox_file import MAX_KEYS
from edgevision.mqtt.publisher import HANG_S, MAX_RECORDED, Publisher

TOPIC = "p/yard/events"


def event(number: int, topic: str = TOPIC, padding: int = 0) -> Message:
    body = {"schema_version": 1, "n": number, "padding": "x" * padding}
    return Message(topic, json.dumps(body).encode(), qos=1)


def numbers(listener: Listener, end: str = TOPIC) -> list[int]:
    return [body["n"] for body in listener.json(end)]


@dataclass
class Rig:
    publisher: Publisher
    client: MqttClient

    def stop(self) -> None:
        self.publisher.stop(0.5)
        self.client.stop()

    def settle(self, depth: int = 0, seconds: float = 20) -> None:
        wait_until(lambda: self.publisher.figures.depth == depth, seconds)

    def start(self) -> None:
        self.publisher.start(self.client)
        self.client.start()


Build = Callable[..., Rig]


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Build]:
    monkeypatch.setattr(client_module, "FIRST_PAUSE_S", 0.1)
    rigs: list[Rig] = []

    def make(port: int, *, start: bool = True, protocol: str = "auto") -> Rig:
        clock = SystemClock()
        outbox = Outbox(tmp_path / "outbox.sqlite", OutboxConfig(), clock=clock)
        publisher = Publisher(outbox, clock=clock)
        config = MqttConfig.model_validate(
            {"port": port, "reconnect_max_s": 1, "protocol": protocol}
        )
        rig = Rig(publisher, MqttClient(config, client_id="board", on_news=publisher.wake))
        rigs.append(rig)
        if start:
            rig.start()
        return rig

    yield make
    for rig in rigs:
        rig.stop()


def restart_with(mosquitto: Mosquitto, *lines: str) -> None:
    mosquitto.stop()
    mosquitto.settings = ["allow_anonymous true", *lines]
    mosquitto.start()


def test_what_is_recorded_arrives_once_and_in_order_and_is_deleted(
    mosquitto: Mosquitto, listener: Listener, build: Build
) -> None:
    rig = build(mosquitto.port)
    for n in range(500):
        rig.publisher.record(event(n))
    listener.wait_for(TOPIC, 500)
    rig.settle()
    assert numbers(listener) == list(range(500))


def test_what_waited_for_the_broker_says_so_and_what_did_not_says_nothing(
    mosquitto: Mosquitto, build: Build
) -> None:
    mosquitto.stop()
    rig = build(mosquitto.port)
    rig.publisher.record(event(1))
    assert rig.publisher.flush(10)
    mosquitto.start()
    listener = Listener(mosquitto.port)
    rig.settle()
    rig.publisher.record(event(2))
    wait_until(lambda: 2 in numbers(listener))
    assert [body.get("delayed") for body in listener.json(TOPIC)][-1] is None
    listener.close()


def test_events_of_an_earlier_run_arrive_marked_as_delayed(
    mosquitto: Mosquitto, listener: Listener, build: Build
) -> None:
    first = build(free_port())
    for n in range(100):
        first.publisher.record(event(n))
    first.stop()
    build(mosquitto.port)
    bodies = listener.wait_for(TOPIC, 100)
    assert [body["n"] for body in bodies] == list(range(100))
    assert all(body["delayed"] for body in bodies)


def test_of_state_that_waited_only_the_newest_is_sent(
    mosquitto: Mosquitto, listener: Listener, build: Build
) -> None:
    rig = build(mosquitto.port, start=False)
    for n in range(5):
        rig.publisher.record(Message("p/yard/status", event(n).payload, 1, retain=True))
    rig.publisher.record(event(9))
    rig.start()
    listener.wait_for(TOPIC)
    assert numbers(listener, "p/yard/status") == [4]
    assert rig.publisher.figures.dropped == {}


def test_telemetry_does_not_wait_behind_a_full_outbox(
    mosquitto: Mosquitto, listener: Listener, build: Build
) -> None:
    rig = build(mosquitto.port, start=False)
    for n in range(MAX_RECORDED):
        rig.publisher.record(event(n))
    rig.start()
    wait_until(lambda: rig.client.send(Message("p/telemetry", b"{}")))
    listener.wait_for(TOPIC, MAX_RECORDED, 60)
    topics = [topic for topic, _ in listener.messages()]
    assert topics.index("p/telemetry") < MAX_RECORDED


def test_a_refused_topic_is_said_and_its_events_arrive_once_they_are_allowed(
    mosquitto: Mosquitto, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_module, "REFUSED_PAUSE_S", 0.2)
    acl = mosquitto.folder / "acl"
    acl.write_text("topic read #\ntopic write open/#\n", encoding="utf-8")
    restart_with(mosquitto, f"acl_file {acl}")
    listener = Listener(mosquitto.port)
    rig = build(mosquitto.port)
    for n in range(30):
        rig.publisher.record(event(n))
    rig.publisher.record(event(99, "open/a"))
    listener.wait_for("open/a")
    words = "the broker refuses messages on p/yard/events: Not authorized"
    wait_until(lambda: rig.publisher.figures.problems == (words,))
    rig.settle(depth=30)
    acl.write_text("topic readwrite #\n", encoding="utf-8")
    mosquitto.process.send_signal(signal.SIGHUP)
    rig.settle()
    assert numbers(listener) == list(range(30))
    assert rig.publisher.figures.problems == ()
    assert rig.publisher.figures.refused > 0
    listener.close()


def test_in_mqtt_3_1_1_a_refusal_looks_like_an_acknowledgement(
    mosquitto: Mosquitto, build: Build
) -> None:
    acl = mosquitto.folder / "acl"
    acl.write_text("topic read #\n", encoding="utf-8")
    restart_with(mosquitto, f"acl_file {acl}")
    rig = build(mosquitto.port, protocol="3.1.1")
    rig.publisher.record(event(1))
    assert rig.publisher.flush(10)
    rig.settle()
    assert rig.publisher.figures.refused == 0


def test_a_payload_over_the_limit_that_mqtt_5_announces_is_dropped_and_reported(
    mosquitto: Mosquitto, build: Build
) -> None:
    restart_with(mosquitto, "max_packet_size 2000")
    listener = Listener(mosquitto.port)
    rig = build(mosquitto.port)
    for n, padding in enumerate([0, 5000, 0]):
        rig.publisher.record(event(n, padding=padding))
    listener.wait_for(TOPIC, 2)
    rig.settle()
    assert numbers(listener) == [0, 2]
    assert rig.publisher.figures.dropped == {"oversize": 1}
    assert "larger than the broker accepts" in rig.publisher.figures.problems[0]
    assert not rig.client.send(Message("p/telemetry", bytes(5000)))
    assert rig.client.send(Message("p/telemetry", bytes(500)))
    assert rig.client.reconnects == 0
    listener.close()


def test_the_largest_packet_that_the_broker_takes_is_not_dropped(
    mosquitto: Mosquitto, build: Build
) -> None:
    restart_with(mosquitto, "max_packet_size 2000")
    listener = Listener(mosquitto.port)
    rig = build(mosquitto.port)
    rig.publisher.record(event(0))
    listener.wait_for(TOPIC)  # connected: from here on nothing waits and is marked
    empty = event(1).packet_bytes
    rig.publisher.record(event(1, padding=2000 - empty - 1))  # its length takes a byte more
    listener.wait_for(TOPIC, 2)
    assert event(1, padding=2000 - empty - 1).packet_bytes == 2000
    assert rig.client.reconnects == 0
    listener.close()


@pytest.mark.parametrize(
    ("limit", "protocol"), [("max_packet_size 2000", "3.1.1"), ("message_size_limit 2000", "5")]
)
def test_a_payload_over_an_unannounced_limit_does_not_block_the_others(
    mosquitto: Mosquitto, build: Build, limit: str, protocol: str
) -> None:
    restart_with(mosquitto, limit)
    listener = Listener(mosquitto.port)
    rig = build(mosquitto.port, protocol=protocol)
    for n in range(30):
        rig.publisher.record(event(n, padding=5000 if n == 3 else 0))
    listener.wait_for(TOPIC, 29, 60)
    rig.settle(depth=1)
    assert list(dict.fromkeys(numbers(listener))) == [n for n in range(30) if n != 3]
    assert "the broker disconnects on a message" in rig.publisher.figures.problems[0]
    assert not rig.publisher.figures.dropped
    listener.close()


def test_a_receive_maximum_of_1_is_respected(mosquitto: Mosquitto, build: Build) -> None:
    restart_with(mosquitto, "max_inflight_messages 1")
    listener = Listener(mosquitto.port)
    rig = build(mosquitto.port, protocol="5")
    for n in range(100):
        rig.publisher.record(event(n))
        rig.client.send(Message("p/status", b"{}", qos=1, retain=True))
    listener.wait_for(TOPIC, 100, 30)
    assert rig.client.reconnects == 0
    listener.close()


def test_while_the_broker_stalls_recording_goes_on_and_all_arrives_in_the_end(
    mosquitto: Mosquitto, listener: Listener, build: Build
) -> None:
    rig = build(mosquitto.port)
    rig.client.wait_connected(10)
    mosquitto.process.send_signal(signal.SIGSTOP)
    try:
        for n in range(200):
            rig.publisher.record(event(n, padding=10_000))
        assert rig.publisher.flush(10)
        assert rig.publisher.figures.depth == 200
        assert rig.publisher.healthy(SystemClock().monotonic_ns())
    finally:
        mosquitto.process.send_signal(signal.SIGCONT)
    listener.wait_for(TOPIC, 200, 30)
    assert numbers(listener) == list(range(200))


def test_a_broker_that_acknowledges_nothing_is_left_and_tried_again(
    build: Build, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(delivery_module, "STALL_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_accept_and_ignore, args=(server,), daemon=True).start()
        rig = build(server.getsockname()[1], protocol="3.1.1")
        rig.publisher.record(event(1))
        wait_until(lambda: rig.client.reconnects >= 1, 15)
        assert "the broker acknowledged nothing for 0.3 s" in caplog.text
        assert rig.publisher.figures.depth == 1
        rig.stop()


def _accept_and_ignore(server: socket.socket) -> None:
    taken = []
    for _ in range(50):
        try:
            sock, _address = server.accept()
        except OSError:
            return
        taken.append(sock)
        sock.sendall(bytes([0x20, 2, 0, 0]))  # CONNACK: accepted


# Without a broker.


@pytest.fixture
def idle(tmp_path: Path) -> tuple[Publisher, ManualClock]:
    clock = ManualClock()
    outbox = Outbox(tmp_path / "idle.sqlite", OutboxConfig(), clock=clock)
    return Publisher(outbox, clock=clock), clock


def test_what_overflows_while_the_disk_is_busy_is_the_oldest_and_counted(
    idle: tuple[Publisher, ManualClock],
) -> None:
    publisher, _ = idle
    for n in range(MAX_RECORDED + 5):
        publisher.record(event(n))
    publisher.turn()
    assert publisher.figures.dropped == {"overflow": 5}
    assert publisher.figures.depth == MAX_RECORDED


def test_values_of_messages_that_overflow_or_are_too_large_are_stored_all_the_same(
    idle: tuple[Publisher, ManualClock],
) -> None:
    publisher, _ = idle
    publisher.record(event(0, padding=MAX_MESSAGE_BYTES), {"large": b"1"})
    for n in range(1, MAX_RECORDED + 5):
        publisher.record(event(n), {f"open/{n}": b"x"})
        publisher.record(None, {f"open/{n - 1}": None})
    publisher.turn()
    assert publisher.stored_values() == {"large": b"1", f"open/{MAX_RECORDED + 4}": b"x"}
    assert publisher.figures.dropped == {"overflow": 4, "oversize": 1}


def test_values_alone_are_stored_and_flushed_and_the_last_of_a_key_counts(
    idle: tuple[Publisher, ManualClock],
) -> None:
    publisher, _ = idle
    publisher.record(None, {"a": b"1", "b": b"1"})
    publisher.record(None, {"a": None, "b": None})
    publisher.record(None, {"b": b"2"})
    assert not publisher.flush(0.0)
    publisher.turn()
    assert publisher.flush(0.0)
    assert publisher.stored_values() == {"b": b"2"}


def test_what_the_thread_stored_last_is_found_at_the_next_start(tmp_path: Path) -> None:
    clock = SystemClock()
    path = tmp_path / "outbox.sqlite"
    for run in range(3):
        publisher = Publisher(Outbox(path, OutboxConfig(), clock=clock), clock=clock)
        assert publisher.stored_values() == ({"run": b"%d" % (run - 1)} if run else {})
        publisher.start(MqttClient(MqttConfig(port=free_port()), client_id="board"))
        publisher.record(None, {"run": b"%d" % run})
        publisher.stop(0.1)


def test_values_that_pile_up_while_the_disk_is_busy_are_bounded_and_counted(
    idle: tuple[Publisher, ManualClock],
) -> None:
    publisher, _ = idle
    for n in range(MAX_KEYS + 3):
        publisher.record(None, {f"a{n}": b"x"})
    publisher.turn()
    assert len(publisher.stored_values()) == MAX_KEYS
    assert "3 values were not stored" in publisher.figures.problems[0]


def test_a_message_above_the_bound_is_not_taken_and_counted(
    idle: tuple[Publisher, ManualClock],
) -> None:
    publisher, _ = idle
    publisher.record(event(1, padding=MAX_MESSAGE_BYTES))
    publisher.turn()
    assert publisher.figures.dropped == {"oversize": 1}
    assert publisher.figures.depth == 0


@pytest.mark.parametrize("topic", ["", "p/+/a", "p/#", "p/\0", "x" * 65536])
def test_a_topic_that_nothing_can_be_published_on_is_refused_at_once(
    idle: tuple[Publisher, ManualClock], topic: str
) -> None:
    publisher, _ = idle
    with pytest.raises(ValueError, match="expected an MQTT topic"):
        publisher.record(event(1, topic))


def test_flush_is_true_once_it_is_on_the_disk_and_false_when_the_time_is_not_enough(
    idle: tuple[Publisher, ManualClock],
) -> None:
    publisher, _ = idle
    publisher.record(event(1))
    assert not publisher.flush(0.0)
    publisher.turn()
    assert publisher.flush(0.0)


def test_a_thread_that_does_not_turn_is_not_healthy(
    idle: tuple[Publisher, ManualClock],
) -> None:
    publisher, clock = idle
    publisher.turn()
    now_ns = clock.monotonic_ns()
    assert publisher.healthy(now_ns + round((HANG_S - 1) * NS_PER_S))
    assert not publisher.healthy(now_ns + round((HANG_S + 1) * NS_PER_S))


def test_waiting_messages_without_a_broker_are_healthy(
    idle: tuple[Publisher, ManualClock],
) -> None:
    publisher, clock = idle
    publisher.record(event(1))
    for _ in range(10):
        publisher.turn()
        assert publisher.healthy(clock.monotonic_ns())
        clock.advance(HANG_S / 2)
