"""What a sink is, the table of sinks, and the threads that keep them from holding anything up.

A sink receives frames, results, events and camera states; events only once they are recorded in
the outbox. Each sink has its own thread with a bounded queue: a slow or failing sink delays only
itself, and what it misses is counted and reported in `problems`. MQTT is not in the table: it
delivers from the outbox.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, TypeAlias

from edgevision.frames import Frame, FrameResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from edgevision.config.settings import Config
    from edgevision.events import CameraState, Event

    Ask: TypeAlias = Callable[[str, bytes], None]
    """Called with the verb and the JSON payload of a request, as on MQTT's request topics; the
    answer is published there. Neither blocks nor raises."""

log = logging.getLogger(__name__)

# Results, events and states that wait for one sink: some seconds of a few busy cameras.
MAX_WAITING = 256
# How long a sink that failed or fell behind is listed in `problems`.
PROBLEM_S = 60.0


class Sink(Protocol):
    """Receives what happens. All methods are called on the sink's own thread, in order.

    A failure is counted, logged once and does no harm to others.
    """

    @property
    def wants_frames(self) -> bool:
        """Return whether frames are wanted now; asked for each frame on its camera's thread."""

    def take_frame(self, frame: Frame) -> None:
        """Take a frame. Its image is a copy of the sink's own: uint8 [h, w, c]."""

    def take_result(self, result: FrameResult) -> None:
        """Take what was found in a frame; `result.inferred` is False for a still one."""

    def take_event(self, event: Event) -> None:
        """Take an event that is recorded in the outbox."""

    def take_state(self, change: StateChange) -> None:
        """Take a camera's new state."""

    def close(self) -> None:
        """Release everything; nothing is called afterwards."""


# Each builds its sink for a configuration, or returns None where that does not ask for it.
# A new sink is a file in this room and a line here.
SINKS: dict[str, Callable[[Config, Ask], Sink | None]] = {}


@dataclass(frozen=True, slots=True)
class StateChange:
    """A camera's change of state.

    Attributes:
        camera: name of the camera.
        state: what it does now.
    """

    camera: str
    state: CameraState


class SinkThread:
    """Calls one sink from a thread of its own.

    Attributes:
        name: the sink's name in the table.
        dropped: frames, results, events and states that the sink was too slow for.
        failed: calls that raised.
    """

    def __init__(self, name: str, sink: Sink) -> None:
        """Prepare; `start` starts the thread."""
        self.name = name
        self.dropped = 0
        self.failed = 0
        self._sink = sink
        self._waiting: queue.Queue[Frame | FrameResult | Event | StateChange | None] = queue.Queue(
            MAX_WAITING
        )
        self._lock = threading.Lock()  # guards the counts and the stamp
        self._frame_waits = False
        self._problem = ""
        self._problem_s = 0.0
        self._thread = threading.Thread(target=self._run, name=f"sink {name}", daemon=True)

    @property
    def problem(self) -> str | None:
        """Return what was wrong with the sink in the last minute; None: nothing."""
        with self._lock:
            recent = self._problem and time.monotonic() - self._problem_s < PROBLEM_S
            return self._problem if recent else None

    def start(self) -> None:
        """Start to call the sink."""
        self._thread.start()

    def lend(self, frame: Frame) -> None:
        """Copy a frame if the sink wants it and has room: one frame may wait."""
        try:
            if not self._sink.wants_frames:
                return
        except Exception as error:  # noqa: BLE001 - any failure of a sink is its own
            self._note_failure(error)
            return
        with self._lock:
            room, self._frame_waits = not self._frame_waits, True
        if not room:
            self._note_drop()
        elif not self.put(replace(frame, image=frame.image.copy())):
            with self._lock:
                self._frame_waits = False

    def put(self, item: Frame | FrameResult | Event | StateChange) -> bool:
        """Queue something for the sink; False if there is no room, which is counted."""
        try:
            self._waiting.put_nowait(item)
        except queue.Full:
            self._note_drop()
            return False
        return True

    def stop(self, timeout_s: float) -> None:
        """Let the sink take what is queued and close it, within this time."""
        if not self._thread.is_alive():
            return
        until_s = time.monotonic() + timeout_s
        try:
            self._waiting.put(None, timeout=timeout_s)
        except queue.Full:  # it hangs; the process ends without it
            return
        self._thread.join(max(0.0, until_s - time.monotonic()))

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None:
            if isinstance(item, Frame):
                with self._lock:
                    self._frame_waits = False
            self._call(item)
            del item
        try:
            self._sink.close()
        except Exception as error:  # noqa: BLE001 - any failure of a sink is its own
            self._note_failure(error)

    def _call(self, item: Frame | FrameResult | Event | StateChange) -> None:
        sink = self._sink
        try:
            match item:
                case Frame():
                    sink.take_frame(item)
                case StateChange():
                    sink.take_state(item)
                case FrameResult():
                    sink.take_result(item)
                case _:
                    sink.take_event(item)
        except Exception as error:  # noqa: BLE001 - any failure of a sink is its own
            self._note_failure(error)

    def _note_failure(self, error: Exception) -> None:
        with self._lock:
            self.failed += 1
            first = self.failed == 1
            self._problem = f"sink {self.name}: {self.failed} calls failed, the last one: {error}"
            self._problem_s = time.monotonic()
        if first:
            log.error("sink %s failed", self.name, exc_info=error)

    def _note_drop(self) -> None:
        with self._lock:
            self.dropped += 1
            first = self.dropped == 1
            self._problem = f"sink {self.name}: too slow, {self.dropped} messages dropped"
            self._problem_s = time.monotonic()
        if first:
            log.warning("sink %s is too slow: messages are dropped", self.name)


class Sinks:
    """All sinks of a configuration. Everything may be called from any thread and never waits."""

    def __init__(self, sinks: Mapping[str, Sink]) -> None:
        """Prepare a thread for each; `start` starts them."""
        self._threads = tuple(SinkThread(name, sink) for name, sink in sinks.items())

    @classmethod
    def build(cls, config: Config, ask: Ask) -> Sinks:
        """Build the sinks that a configuration asks for.

        Args:
            config: the configuration.
            ask: takes requests of sinks.
        """
        built = {name: build(config, ask) for name, build in SINKS.items()}
        return cls({name: sink for name, sink in built.items() if sink is not None})

    @property
    def problems(self) -> tuple[str, ...]:
        """Return what was wrong with sinks in the last minute."""
        return tuple(thread.problem for thread in self._threads if thread.problem)

    def start(self) -> None:
        """Start to call them."""
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_s: float) -> None:
        """Let them take what is queued and close them, all within this time."""
        until_s = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.stop(max(0.0, until_s - time.monotonic()))

    def lend(self, frame: Frame) -> None:
        """Offer a frame, which may be given back after this call."""
        for thread in self._threads:
            thread.lend(frame)

    def put_result(self, result: FrameResult) -> None:
        """Pass on what was found in a frame."""
        self._put((result,))

    def put_events(self, events: Sequence[Event]) -> None:
        """Pass on events that are recorded."""
        self._put(events)

    def put_state(self, camera: str, state: CameraState) -> None:
        """Pass on a camera's new state."""
        self._put((StateChange(camera, state),))

    def _put(self, items: Iterable[FrameResult | Event | StateChange]) -> None:
        for item in items:
            for thread in self._threads:
                thread.put(item)
