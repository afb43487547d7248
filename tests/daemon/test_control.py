"""Requests from the bytes on the network thread to the response, against a service played here."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from brokers import Listener, Mosquitto, wait_until

from edgevision.clock import ManualClock, SystemClock
from edgevision.config.mqtt import MqttConfig
from edgevision.config.overrides import Overrides
from edgevision.config.settings import Config
from edgevision.daemon.control import (
    MAX_UNSENT,
    MAX_WAITING,
    UNSENT_NS,
    ArrivedRequest,
    ControlHandler,
    Mailbox,
)
from edgevision.errors import ConfigError, SourceError
from edgevision.mqtt.client import MqttClient
from edgevision.mqtt.message import Message, Topics
from edgevision.mqtt.requests import VERBS

LINE = {"points": [[0, 0.5], [1, 0.5]], "from": "street", "to": "yard"}
CONFIG: dict[str, Any] = {
    "device": "porch",
    "mqtt": {"username": "board", "password": "s3cr3t-word"},
    "cameras": {
        "yard": {"source": "rtsp://user:s3cr3t-word@yard/1", "lines": {"gate": LINE}},
        "door": {"source": "0"},
    },
}


class Played:
    """A service that notes what it is told."""

    def __init__(self) -> None:
        self.file_config = self.config = Config.model_validate(CONFIG)
        self.labels = ("Person", "Cat")
        self.told: list[tuple[str, ...]] = []
        self.fault: Exception | None = None
        self.restart_reasons: tuple[str, ...] = ()
        self.model_name, self.backend_name = "m", "numpy"
        self.started_at = datetime(2026, 1, 1, tzinfo=UTC)

    def set_config(self, config: Config) -> None:
        self._tell("set_config")
        self.config = config

    def reload(self) -> None:
        self._tell("reload")

    def snapshot(self, camera: str) -> tuple[str, int]:
        self._tell("snapshot", camera)
        return f"edgevision/porch/{camera}/snapshot", 1234

    def reset(self, camera: str, line: str | None) -> None:
        self._tell("reset", camera, str(line))

    def _tell(self, *words: str) -> None:
        if self.fault is not None:
            raise self.fault
        self.told.append(words)


def take(control: ControlHandler, mailbox: Mailbox, message: Message) -> None:
    """Do what the daemon does on the network thread."""
    request = control.accept(message)
    if request is not None:
        mailbox.ask(request)


def turn(control: ControlHandler, mailbox: Mailbox) -> None:
    """Do what the daemon does on the main thread."""
    control.send_unsent()
    for mail in mailbox.incoming(0.0):
        assert isinstance(mail, ArrivedRequest)
        control.answer(mail)
    control.answer_refused(mailbox.take_overflow())


@dataclass
class Rig:
    """A control handler and its mailbox, as in the daemon, without threads."""

    folder: Path
    service: Played = field(default_factory=Played)
    clock: ManualClock = field(default_factory=ManualClock)
    sent: list[Message] = field(default_factory=list)
    takes: bool = True

    def __post_init__(self) -> None:
        self.control = ControlHandler(
            self.service, Overrides(self.folder), send=self._send, clock=self.clock
        )
        self.mailbox = Mailbox(self.clock)

    def take(self, message: Message) -> None:
        take(self.control, self.mailbox, message)

    def turn(self) -> None:
        turn(self.control, self.mailbox)

    def ask(self, verb: str, payload: Any = b"", *, retain: bool = False) -> dict[str, Any]:
        """Make a request and return the only response."""
        before = len(self.sent)
        content = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self.take(Message(f"edgevision/porch/request/{verb}", content, 1, retain))
        self.turn()
        assert len(self.sent) == before + 1
        message = self.sent[-1]
        body: dict[str, Any] = json.loads(message.payload)
        assert (message.qos, message.retain) == (1, False)
        assert message.topic == f"edgevision/porch/response/{body.get('verb', 'unknown')}"
        assert (body.pop("schema_version"), body.pop("device")) == (1, "porch")
        return body

    def _send(self, message: Message) -> bool:
        if self.takes:
            self.sent.append(message)
        return self.takes


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def ok(verb: str, **more: Any) -> dict[str, Any]:
    return {"verb": verb, "status": "ok", **more}


def test_a_camera_is_switched_off_and_on_in_either_way_and_stays_so_after_a_restart(
    rig: Rig,
) -> None:
    service = rig.service
    assert rig.ask("camera", {"camera": "yard", "enabled": False}) == ok("camera")
    assert not service.config.cameras["yard"].enabled
    assert rig.ask("enable", {"camera": "yard"}) == ok("enable")
    assert service.config.cameras["yard"].enabled
    assert rig.ask("disable", {"camera": "door", "transaction": 3}) == ok("disable", transaction=3)
    again = Overrides(rig.folder).apply(service.file_config, service.labels)
    assert again == service.config
    assert [camera.enabled for camera in again.cameras.values()] == [True, False]


def test_thresholds_are_set_in_general_for_a_label_and_for_a_camera(rig: Rig) -> None:
    assert rig.ask("threshold", {"min_score": 0.5}) == ok("threshold")
    assert rig.ask("threshold", {"label": "Cat", "min_score": 0.6}) == ok("threshold")
    assert rig.ask("threshold", {"camera": "yard", "min_score": 0.7}) == ok("threshold")
    config = rig.service.config
    assert config.detection_of("door").min_score_of("Person") == 0.5
    assert config.detection_of("yard").min_score_of("Person") == 0.7
    assert config.detection_of("yard").min_score_of("Cat") == 0.6
    again = Overrides(rig.folder).apply(rig.service.file_config, rig.service.labels)
    assert again == config


def test_a_snapshot_is_answered_with_its_topic_and_size(rig: Rig) -> None:
    data = {"topic": "edgevision/porch/yard/snapshot", "bytes": 1234}
    assert rig.ask("snapshot", {"camera": "yard"}) == ok("snapshot", data=data)
    assert rig.service.told == [("snapshot", "yard")]


def test_counters_of_one_line_or_all_are_reset(rig: Rig) -> None:
    assert rig.ask("reset", {"camera": "yard"}) == ok("reset")
    assert rig.ask("reset", {"camera": "yard", "line": "gate"}) == ok("reset")
    assert rig.service.told == [("reset", "yard", "None"), ("reset", "yard", "gate")]


def test_a_reload_is_answered_after_it_was_taken_or_with_its_fault(rig: Rig) -> None:
    assert rig.ask("reload") == ok("reload")
    assert rig.service.told == [("reload",)]
    rig.service.fault = ConfigError("config.yaml:3: expected …, got 1", "config.yaml:5: other")
    assert rig.ask("reload", {"transaction": "t"}) == {
        "verb": "reload",
        "status": "error",
        "error": "config.yaml:3: expected …, got 1; config.yaml:5: other",
        "transaction": "t",
    }


def test_info_holds_configuration_and_schema_and_no_secret(rig: Rig) -> None:
    rig.service.restart_reasons = ("state_folder: another one",)
    data = rig.ask("info")["data"]
    assert data["restart_required"] is True
    assert data["restart_reasons"] == ["state_folder: another one"]
    assert (data["model"], data["backend"]) == ("m", "numpy")
    assert data["started_at"] == "2026-01-01T00:00:00.000000Z"
    assert data["config"]["cameras"]["yard"]["lines"]["gate"]["from"] == "street"
    assert data["config"]["mqtt"]["username"] == "board"
    assert "password" not in data["config"]["mqtt"]
    assert data["config_schema"]["properties"].keys() == Config.model_fields.keys()
    assert b"s3cr3t" not in rig.sent[-1].payload


@pytest.mark.parametrize(
    ("verb", "payload", "words"),
    [
        ("restart", b"", "expected one of the requests camera, "),
        ("enable", b"{", "expected a JSON object, got a fault at character 2"),
        ("enable", {"camera": 1}, "camera: expected text, got 1"),
        ("enable", {"camera": "attic"}, "camera: expected one of yard, door; got 'attic'"),
        ("enable", b'{"camera": "\\ud800"}', "camera: expected "),
        ("camera", {"camera": "attic", "enabled": True}, "camera: expected one of yard, door"),
        ("snapshot", {"camera": "attic"}, "camera: expected one of yard, door; got 'attic'"),
        ("threshold", {"camera": "x" * 4000, "min_score": 0.5}, "camera: expected one of yard"),
        (
            "threshold",
            {"label": "person", "min_score": 0.5},
            "label: expected a label of the model, got 'person' (did you mean Person?)",
        ),
        ("threshold", {"min_score": 1}, "min_score: expected a number below 1, got 1"),
        ("reset", {"camera": "door"}, "camera: expected one with lines, got door, which has none"),
        ("reset", {"camera": "yard", "line": "x"}, "line: expected one of gate; got 'x'"),
        ("info", b"{}" + b" " * 5000, "expected a payload of at most 4096 bytes, got a larger"),
        ("info", b" " * (1 << 20), "expected a payload of at most 4096 bytes, got a larger one"),
    ],
)
def test_a_request_that_cannot_be_taken_changes_nothing_and_is_answered(
    rig: Rig, verb: str, payload: Any, words: str
) -> None:
    response = rig.ask(verb, payload)
    assert (response["verb"], response["status"]) == (verb, "error")
    assert response["error"].startswith(words)
    assert len(response["error"]) < 300
    assert rig.service.told == []
    assert not [*rig.folder.iterdir()]


@pytest.mark.parametrize("verb", ["Info", "x" * 33, "a b", "", "info\n"])
def test_what_can_be_no_verb_is_answered_as_unknown(rig: Rig, verb: str) -> None:
    response = rig.ask(verb)
    assert response.keys() == {"status", "error"}
    assert rig.sent[-1].topic == "edgevision/porch/response/unknown"


@pytest.mark.parametrize("verb", VERBS)
def test_no_retained_request_is_executed(rig: Rig, verb: str) -> None:
    response = rig.ask(verb, {"camera": "yard"}, retain=True)
    assert response["error"].startswith("expected a request that is not retained")
    assert rig.service.told == []


@pytest.mark.parametrize(
    "topic",
    [
        "edgevision/porch/status",
        "edgevision/other/request/info",
        "edgevision/porch/yard/request/info",
        "/request/info",
        "request/info",
        "",
        "edgevision/porch/request/info/x",
    ],
)
def test_what_a_broker_sends_on_other_topics_is_passed_over(rig: Rig, topic: str) -> None:
    rig.take(Message(topic, b"{}", 1))
    rig.turn()
    assert rig.sent == []


def test_where_control_is_switched_off_nothing_is_answered(rig: Rig) -> None:
    rig.service.config = Config.model_validate(CONFIG | {"control": {"enabled": False}})
    rig.take(Message("edgevision/porch/request/info", b"", 1))
    rig.turn()
    assert rig.sent == []


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (SourceError("camera yard: no picture yet"), "camera yard: no picture yet"),
        (KeyError("s3cr3t"), "unexpected fault: KeyError; see the log"),
    ],
)
def test_a_fault_of_the_service_is_answered_and_ends_nothing(
    rig: Rig, fault: Exception, words: str
) -> None:
    rig.service.fault = fault
    assert rig.ask("snapshot", {"camera": "yard"})["error"] == words
    rig.service.fault = None
    assert rig.ask("snapshot", {"camera": "yard"})["status"] == "ok"


def test_a_change_that_the_service_refuses_is_not_kept(rig: Rig) -> None:
    rig.service.fault = ConfigError("no")
    assert rig.ask("disable", {"camera": "yard"})["error"] == "no"
    rig.service.fault = None
    assert rig.ask("threshold", {"min_score": 0.5})["status"] == "ok"
    assert rig.service.config.cameras["yard"].enabled


def test_on_a_disk_that_cannot_be_written_a_change_is_in_force_and_warned_of(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").touch()
    rig = Rig(tmp_path / "file")
    response = rig.ask("disable", {"camera": "yard"})
    assert response["status"] == "ok"
    assert response["data"]["warning"].startswith("will not survive a restart: ")
    assert not rig.service.config.cameras["yard"].enabled


def test_a_response_above_the_bound_is_replaced_by_an_error(rig: Rig) -> None:
    zones = {f"z{n}": {"polygon": [[i / 100, i * i / 1e4] for i in range(100)]} for n in range(64)}
    cameras = {f"c{n}": {"source": f"rtsp://c{n}", "zones": zones} for n in range(3)}
    rig.service.config = Config.model_validate(CONFIG | {"cameras": cameras})
    response = rig.ask("info", {"transaction": 1})
    assert response["error"].startswith("expected a response of at most 262144 bytes, got ")
    assert response["transaction"] == 1


# Floods, and connections that are away.


def test_more_requests_than_fit_are_refused_with_one_response_and_counted(rig: Rig) -> None:
    request = Message("edgevision/porch/request/reload", b"", 1)
    for _ in range(MAX_WAITING + 50):
        rig.take(request)
    rig.turn()
    assert len(rig.service.told) == MAX_WAITING
    assert len(rig.sent) == MAX_WAITING + 1
    last = json.loads(rig.sent[-1].payload)
    assert last["error"] == "expected at most 100 waiting requests, got 50 more: refused"
    assert rig.sent[-1].topic == "edgevision/porch/response/unknown"
    assert rig.mailbox.refused == 50


def test_a_turn_ends_after_a_tenth_of_a_second_and_the_next_goes_on(rig: Rig) -> None:
    def slow(_camera: str, _line: str | None) -> None:
        rig.clock.advance(0.06)

    rig.service.reset = slow  # type: ignore[method-assign]
    request = Message("edgevision/porch/request/reset", b'{"camera": "yard"}', 1)
    for _ in range(5):
        rig.take(request)
    counts = []
    for _ in range(3):
        rig.turn()
        counts.append(len(rig.sent))
    assert counts == [2, 4, 5]


def test_a_response_waits_for_the_connection_and_they_keep_their_order(rig: Rig) -> None:
    rig.takes = False
    for transaction in range(3):
        body = json.dumps({"transaction": transaction}).encode()
        rig.take(Message("edgevision/porch/request/reload", body, 1))
    rig.turn()
    rig.takes = True
    rig.turn()
    assert [json.loads(each.payload)["transaction"] for each in rig.sent] == [0, 1, 2]
    assert rig.control.unanswered == 0


def test_responses_that_cannot_be_sent_are_bounded_given_up_after_10_s_and_counted(
    rig: Rig,
) -> None:
    rig.takes = False
    for _ in range(MAX_UNSENT + 4):
        rig.take(Message("edgevision/porch/request/reload", b"", 1))
    rig.turn()
    assert rig.control.unanswered == 4
    rig.clock.advance(UNSENT_NS / 1e9 + 1)
    rig.turn()
    assert rig.control.unanswered == MAX_UNSENT + 4
    rig.takes = True
    rig.turn()
    assert rig.sent == []


# Over a real broker.


@dataclass
class Board:
    """A client and a main thread, as in the daemon."""

    port: int
    folder: Path
    protocol: str = "auto"

    def __post_init__(self) -> None:
        self.service = Played()
        clock = SystemClock()
        self.mailbox = Mailbox(clock)
        self.control = ControlHandler(
            self.service, Overrides(self.folder), send=self._send, clock=clock
        )
        self.client = MqttClient(
            MqttConfig.model_validate({"port": self.port, "protocol": self.protocol}),
            client_id="board",
            subscribe=[Topics("edgevision/porch").requests],
            retained=False,
            on_message=lambda message: take(self.control, self.mailbox, message),
        )
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.client.start()
        self.client.wait_connected(10)
        self.thread.start()

    def _send(self, message: Message) -> bool:
        return self.client.send(message)

    def _run(self) -> None:
        while not self.ended.wait(0.01):
            turn(self.control, self.mailbox)

    def stop(self) -> None:
        self.ended.set()
        self.thread.join(5)
        self.client.stop()


@pytest.fixture
def boards() -> Iterator[list[Board]]:
    running: list[Board] = []
    yield running
    for board in running:
        board.stop()


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_over_a_real_broker_each_request_is_answered_at_qos_1_and_not_retained(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path, boards: list[Board], protocol: str
) -> None:
    board = Board(mosquitto.port, tmp_path, protocol)
    boards.append(board)
    publish = listener._client.publish
    wait_until(lambda: publish("edgevision/porch/request/info", b"", 1) and _answered(listener))
    publish("edgevision/porch/request/disable", b'{"camera": "yard", "transaction": "t"}', 1)
    publish("edgevision/porch/request/nonsense", b"\xff", 0)
    [disabled] = listener.wait_for("response/disable")
    assert (disabled["status"], disabled["transaction"]) == ("ok", "t")
    assert listener.wait_for("response/nonsense")[0]["status"] == "error"
    assert {*listener.flags("response/disable")} == {(False, 1)}
    assert not board.service.config.cameras["yard"].enabled
    assert listener.json("response/info")[0]["data"]["model"] == "m"


def _answered(listener: Listener) -> bool:
    time.sleep(0.05)  # the board may still be subscribing
    return bool(listener.messages("response/info"))


def test_a_retained_request_is_not_executed_when_the_connection_is_made_again(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path, boards: list[Board]
) -> None:
    publish = listener._client.publish
    publish("edgevision/porch/request/reload", b"{}", 1, retain=True).wait_for_publish(10)
    (old_folder := tmp_path / "old").mkdir()
    (new_folder := tmp_path / "new").mkdir()
    old = Board(mosquitto.port, old_folder, "3.1.1")
    boards.append(old)
    [told] = listener.wait_for("response/reload")
    assert told["error"].startswith("expected a request that is not retained")
    boards.remove(old)
    old.stop()
    new = Board(mosquitto.port, new_folder, "5")  # which is not even sent it
    boards.append(new)
    wait_until(lambda: publish("edgevision/porch/request/info", b"", 1) and _answered(listener))
    assert len(listener.messages("response/reload")) == 1
    publish("edgevision/porch/request/reload", b'{"transaction": 2}', 1, retain=True)
    again = listener.wait_for("response/reload", 2)[1]
    assert (again["status"], again["transaction"]) == ("error", 2)
    assert old.service.told == new.service.told == []


def test_a_flood_of_requests_leaves_the_connection_up_and_the_next_one_is_answered(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path, boards: list[Board]
) -> None:
    board = Board(mosquitto.port, tmp_path)
    boards.append(board)
    publish = listener._client.publish
    board.ended.set()  # a main thread that is busy
    board.thread.join(5)
    for _ in range(5000):
        publish("edgevision/porch/request/reload", b"x" * 100, 0)
    wait_until(lambda: board.mailbox.refused >= 100, 30)
    assert board.mailbox._queue.qsize() == MAX_WAITING
    board.ended.clear()
    board.thread = threading.Thread(target=board._run, daemon=True)
    board.thread.start()
    wait_until(lambda: publish("edgevision/porch/request/info", b"", 1) and _answered(listener), 30)
    assert board.client.reconnects == 0
