"""Reading one camera in a thread: open, read, and after a fault open again, for ever."""

from __future__ import annotations

import logging
import random
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from edgevision.address import SourceKind
from edgevision.capture.source import open_source
from edgevision.clock import NS_PER_S
from edgevision.errors import BadFrameError, SourceError
from edgevision.records import Frame

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from edgevision.cameraconfig import CameraConfig
    from edgevision.capture.source import FrameSource
    from edgevision.clock import Clock

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
# Bad frames in a row after which a source is opened again.
MAX_BAD_FRAMES = 30
# A source that has held for this long was a good one: after a fault it is tried again soon.
STEADY_S = 5.0
STARTING = "starting"
END_OF_RECORDING = "end of recording"
STOPPED = "service stopped"


@dataclass(frozen=True, slots=True)
class CameraState:
    """What a camera is doing.

    Attributes:
        status: as published.
        reason: in words.
        since: time of day of the change, UTC.
    """

    status: Literal["online", "offline", "stalled", "disabled"]
    reason: str
    since: datetime


class CameraReader:
    """A thread that keeps one camera's frames coming."""

    def __init__(
        self,
        name: str,
        camera: CameraConfig,
        *,
        deliver: Callable[[Frame], None],
        clock: Clock,
        opener: Callable[[CameraConfig], FrameSource] = open_source,
        first_pause_s: float = FIRST_PAUSE_S,
    ) -> None:
        """Prepare; `start` opens the source.

        Args:
            name: the camera's name.
            camera: its configuration.
            deliver: called with each frame on this reader's thread.
            clock: where stamps come from.
            opener: opens the source.
            first_pause_s: how long to wait, with jitter, before it is opened again after a
                fault; doubles with each further one.
        """
        self.name = name
        self.captured = 0
        self.unusable = 0
        self.reconnects = 0
        self._camera = camera
        self._deliver = deliver
        self._clock = clock
        self._opener = opener
        self._first_pause_s = first_pause_s
        self._state = CameraState("offline", STARTING, clock.wall())
        self._last_frame_ns, self._last_frame_at = clock.monotonic_ns(), clock.wall()
        self.turned_ns = clock.monotonic_ns()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"camera-{name}", daemon=True)

    @property
    def shown_source(self) -> str:
        """Return the source without user and password."""
        return self._camera.shown_source

    @property
    def finished(self) -> bool:
        """Return whether the thread has ended, as at the end of a recording."""
        return self._thread.ident is not None and not self._thread.is_alive()

    @property
    def usable(self) -> int:
        """Return how many of the captured frames could be used."""
        return self.captured - self.unusable

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Ask the thread to end and wait for it; a blocked read may outlast the wait."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def state(self) -> CameraState:
        """Return the present state: stalled when an open source has been silent too long."""
        state, last_ns, last_at = self._state, self._last_frame_ns, self._last_frame_at
        silent_s = (self._clock.monotonic_ns() - last_ns) / NS_PER_S
        if state.status == "online" and silent_s > self._camera.stall_after_s:
            reason = f"no frame for {self._camera.stall_after_s:g} s"
            return CameraState("stalled", reason, last_at)
        return state

    def _run(self) -> None:
        pause_s = self._first_pause_s
        while not self._stopping.is_set():
            began_ns = self.turned_ns = self._clock.monotonic_ns()
            usable = self.usable
            try:
                self._read_until_end()
                if not self._camera.loop or self._stopping.is_set():
                    reason = STOPPED if self._stopping.is_set() else END_OF_RECORDING
                    self._become("offline", reason)
                    return
                continue
            except SourceError as error:
                self._become("offline", str(error))
                played = self.usable > usable and self._camera.kind is SourceKind.RECORDING
                if played and not self._camera.loop:  # once is enough, also of a damaged file
                    return
            except Exception:
                log.exception("camera %s: unexpected fault", self.name)
                self._become("offline", "unexpected fault, see the log")
            self.reconnects += 1
            held_s = (self._clock.monotonic_ns() - began_ns) / NS_PER_S
            if self.usable > usable and held_s >= STEADY_S:
                pause_s = self._first_pause_s
            self._stopping.wait(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def _read_until_end(self) -> None:
        source = self._opener(self._camera)
        try:
            next_ns = self._clock.monotonic_ns()
            usable, bad = self.usable, 0
            while not self._stopping.is_set() and source.grab():
                self.turned_ns = self._clock.monotonic_ns()
                if source.fps is not None:
                    next_ns = self._keep_pace(next_ns, source.fps)
                captured_ns, captured_at = self._clock.monotonic_ns(), self._clock.wall()
                sequence = self.captured
                self.captured += 1
                try:
                    image = source.retrieve()
                    frame = Frame(self.name, sequence, image, captured_ns, captured_at)
                except BadFrameError as error:
                    self.unusable += 1
                    bad += 1
                    if bad >= MAX_BAD_FRAMES:
                        msg = f"{error} ({bad} times in a row)"
                        raise SourceError(msg) from None
                    continue
                bad = 0
                self._last_frame_ns, self._last_frame_at = captured_ns, captured_at
                self._become("online", "frames arrive")
                self._deliver(frame)
            if self._stopping.is_set():
                return
            if self.usable == usable:
                msg = f"{self.shown_source}: no frame of it can be used"
                raise SourceError(msg)
            if source.fps is not None:  # the last frame has its time too before a loop begins
                self._keep_pace(next_ns, source.fps)
        finally:
            source.close()

    def _keep_pace(self, due_ns: int, fps: float) -> int:
        """Wait until a recording's frame is due; return when the next one is."""
        period_ns = round(NS_PER_S / fps)
        wait_s = (due_ns - self._clock.monotonic_ns()) / NS_PER_S
        if wait_s <= 0:
            return self._clock.monotonic_ns() + period_ns
        while wait_s > 0 and not self._stopping.wait(min(wait_s, LONGEST_PAUSE_S)):
            self.turned_ns = self._clock.monotonic_ns()
            wait_s = (due_ns - self.turned_ns) / NS_PER_S
        return due_ns + period_ns

    def _become(self, status: Literal["online", "offline", "stalled"], reason: str) -> None:
        if (status, reason) != (self._state.status, self._state.reason):
            self._state = CameraState(status, reason, self._clock.wall())
