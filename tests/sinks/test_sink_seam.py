"""A sink is one file and one line of the table: proven by one that writes down what it hears."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest
from brokers import Listener, Mosquitto, wait_until
from daemons import settings

from edgevision.config.settings import Config
from edgevision.daemon.daemon import Daemon
from edgevision.frames import Frame
from edgevision.sinks.sink import MAX_WAITING, SINKS, SinkThread

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edgevision.events import Event
    from edgevision.frames import FrameResult
    from edgevision.sinks.sink import Ask, StateChange


class Notebook:
    """Keeps everything; fails or waits where a test wants it to."""

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self.wants_frames = True
        self.frames: list[Frame] = []
        self.results: list[FrameResult] = []
        self.events: list[Event] = []
        self.states: list[StateChange] = []
        self.closed = False
        self.free = threading.Event()
        self.free.set()
        self.fails = False

    def take_frame(self, frame: Frame) -> None:
        self.frames.append(frame)

    def take_result(self, result: FrameResult) -> None:
        self.free.wait(60)
        if self.fails:
            msg = "no paper"
            raise OSError(msg)
        self.results.append(result)

    def take_event(self, event: Event) -> None:
        self.events.append(event)

    def take_state(self, change: StateChange) -> None:
        self.states.append(change)

    def close(self) -> None:
        self.closed = True


class Service:
    """The daemon in a thread of this process, with a notebook among its sinks."""

    def __init__(self, daemon: Daemon, notebook: Notebook) -> None:
        self.notebook = notebook
        self._daemon = daemon
        self._thread = threading.Thread(target=daemon.run)
        self._thread.start()

    def stop(self) -> None:
        self.notebook.free.set()
        self._daemon.stop()
        self._thread.join(30)
        assert not self._thread.is_alive()


@pytest.fixture
def service(
    mosquitto: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Service]:
    made: list[Notebook] = []

    def build(_config: Config, ask: Ask) -> Notebook:
        made.append(Notebook(ask))
        return made[0]

    monkeypatch.setitem(SINKS, "notebook", build)
    config = Config.model_validate(
        {"state_folder": str(tmp_path / "state"), **settings(mosquitto.port)}
    )
    running = Service(Daemon(config), made[0])
    yield running
    running.stop()


def test_a_recording_reaches_a_sink_as_frames_results_events_and_states(
    service: Service, listener: Listener
) -> None:
    book = service.notebook
    wait_until(lambda: book.frames and book.events and len(book.results) > 20, 60)
    assert "online" in {change.state.status for change in book.states}
    assert {result.camera for result in book.results} == {"yard"}
    assert book.frames[0].image.flags.owndata
    listener.wait_for("yard/events")
    service.stop()
    assert book.closed


def test_a_sink_that_hangs_or_fails_holds_up_nobody_and_is_a_problem(
    service: Service, listener: Listener
) -> None:
    book = service.notebook
    book.free.clear()
    book.fails = True
    wait_until(lambda: len(listener.messages("yard/detections")) > MAX_WAITING // 16, 60)
    before = len(listener.messages("yard/detections"))
    wait_until(lambda: len(listener.messages("yard/detections")) > before + 10, 60)
    book.free.set()
    wait_until(lambda: any("sink notebook" in problem
                           for each in listener.json("porch/status")
                           for problem in each["problems"]), 60)  # fmt: skip


def test_what_a_sink_asks_for_is_answered_as_a_request_of_mqtt_is(
    service: Service, listener: Listener
) -> None:
    listener.wait_status("yard/status", "online")
    service.notebook.ask("disable", b'{"camera": "yard", "transaction": "page"}')
    (answer,) = listener.wait_for("response/disable")
    assert (answer["status"], answer["transaction"]) == ("ok", "page")
    listener.wait_status("yard/status", "disabled")


def test_a_frame_is_copied_only_while_there_is_room_and_else_counted() -> None:
    book = Notebook(lambda _verb, _payload: None)
    thread = SinkThread("notebook", book)
    image = np.zeros((4, 4, 3), np.uint8)
    for number in range(3):
        thread.lend(Frame("yard", number, image, 0, datetime(2026, 1, 1, tzinfo=UTC)))
    image[:] = 255  # the lender's own again
    assert thread.dropped == 2
    assert thread.problem == "sink notebook: too slow, 2 messages dropped"
    thread.start()
    thread.stop(30)
    (frame,) = book.frames
    assert (frame.sequence, frame.image.max()) == (0, 0)
    assert book.closed


def test_a_sink_that_wants_no_frames_is_not_charged_for_any() -> None:
    book = Notebook(lambda _verb, _payload: None)
    book.wants_frames = False
    thread = SinkThread("notebook", book)
    thread.lend(object())  # type: ignore[arg-type]
    assert (thread.dropped, thread.problem) == (0, None)
