"""The thread that reads one camera: it opens the source, and reopens it after every fault."""

from __future__ import annotations

import logging
import random
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from edgevision.capture.picture_health import ALIVE, PictureWatch
from edgevision.capture.protocol import MAX_BAD_FRAMES, Arrival, Skipped
from edgevision.capture.source import open_source
from edgevision.clock import NS_PER_S
from edgevision.errors import BadFrameError, CameraError, SourceError
from edgevision.events import DELIVERING, CameraState, Status
from edgevision.frames import Frame

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from edgevision.capture.picture_health import PictureState
    from edgevision.capture.protocol import FrameSource
    from edgevision.clock import Clock
    from edgevision.config.camera import CameraConfig
    from edgevision.errors import CameraFault

log = logging.getLogger(__name__)

# Pauses between attempts double from the first to the longest. A source that delivered for
# STEADY_S is reopened after the first pause again.
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
STEADY_S = 5.0

# Reasons of the state offline.
STARTING = "starting"
END_OF_RECORDING = "end of recording"
STOPPED = "service stopped"
BY_ID = Path("/dev/v4l/by-id")


class CameraReader:
    """Reads one camera in a thread, through faults and reconnections, until it is stopped."""

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
        """Set up the thread; `start` opens the source.

        Args:
            name: the camera's name.
            camera: its configuration.
            deliver: called with each frame on this reader's thread.
            clock: source of all timestamps.
            opener: opens the source.
            first_pause_s: pause, with jitter, before the source is reopened after a fault; it
                doubles with each further fault.
        """
        self.name = name
        self.captured = 0
        self.unusable = 0
        self.overwritten = 0
        self.reconnects = 0
        self._camera = camera
        self._deliver = deliver
        self._clock = clock
        self._opener = opener
        self._first_pause_s = first_pause_s
        self._state = CameraState("offline", STARTING, clock.wall())
        self._last_frame_ns, self._last_frame_at = clock.monotonic_ns(), clock.wall()
        self.turned_ns = clock.monotonic_ns()
        self._source: FrameSource | None = None
        self._accounted = Skipped()
        self._hinted = False
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
        """Return how many of the captured frames were delivered."""
        return self.captured - self.unusable - self.overwritten

    def start(self) -> None:
        """Start to read."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Stop the thread and wait for it; a blocked read of a file may outlast the timeout."""
        self._stopping.set()
        source = self._source
        if source is not None:
            source.interrupt()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def state(self) -> CameraState:
        """Return the current state: stalled if an open source has had no frame for too long."""
        state, last_ns, last_at = self._state, self._last_frame_ns, self._last_frame_at
        silent_s = (self._clock.monotonic_ns() - last_ns) / NS_PER_S
        if state.status in DELIVERING and silent_s > self._camera.stall_after_s:
            live = self._camera.kind.is_live
            fault: CameraFault | None = "no_frames" if live else None
            return CameraState("stalled", self._silence, last_at, fault, state.frame_size)
        return state

    @property
    def _silence(self) -> str:
        return f"no frame for {self._camera.stall_after_s:g} s"

    def _run(self) -> None:
        pause_s = self._first_pause_s
        while not self._stopping.is_set():
            opened_ns = self.turned_ns = self._clock.monotonic_ns()
            usable = self.usable
            try:
                self._read_until_end()
                if not self._camera.loop or self._stopping.is_set():
                    reason = STOPPED if self._stopping.is_set() else END_OF_RECORDING
                    self._become("offline", reason)
                    return
                continue
            except SourceError as error:
                if self._stopping.is_set():
                    self._become("offline", STOPPED)
                    return
                self._note_fault(error)
                played = self.usable > usable and self._camera.kind.plays_once
                if played and not self._camera.loop:  # a damaged file is not played again either
                    return
            except Exception:
                log.exception("camera %s: unexpected fault", self.name)
                self._become("offline", "unexpected fault; see the log")
            self.reconnects += 1
            held_s = (self._clock.monotonic_ns() - opened_ns) / NS_PER_S
            if self.usable > usable and held_s >= STEADY_S:
                pause_s = self._first_pause_s
            self._stopping.wait(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def _read_until_end(self) -> None:
        self._accounted = Skipped()
        source = self._source = self._opener(self._camera)
        try:
            usable = self.usable
            due_ns = self._read_frames(source)
            if self._stopping.is_set():
                return
            if self.usable == usable:
                msg = f"{self.shown_source}: none of its frames can be used"
                raise SourceError(msg)
            if source.fps is not None:  # the last frame is shown for its time, too, before a loop
                self._keep_pace(due_ns, source.fps)
        finally:
            self._source = None
            source.close()

    def _read_frames(self, source: FrameSource) -> int:
        """Deliver every frame until the source ends; return when a further one would be due."""
        watch = self._watch()
        due_ns, bad = self._clock.monotonic_ns(), 0
        while not self._stopping.is_set() and self._grab(source):
            self.turned_ns = self._clock.monotonic_ns()
            if source.fps is not None:
                due_ns = self._keep_pace(due_ns, source.fps)
            arrival = source.arrival or Arrival(self._clock.monotonic_ns(), self._clock.wall())
            try:
                frame = self._retrieve(source, arrival)
            except BadFrameError as error:
                self.unusable += 1
                bad += 1
                if bad >= MAX_BAD_FRAMES:
                    msg = f"{error} ({bad} times in a row)"
                    raise SourceError(msg) from None
                continue
            bad = 0
            self._last_frame_ns, self._last_frame_at = frame.captured_ns, frame.captured_at
            self._note_picture(watch.see(frame.image, arrival) if watch else ALIVE, frame)
            self._deliver(frame)
            del frame  # a worker's slot is returned with the last reference to its frame
        return due_ns

    def _retrieve(self, source: FrameSource, arrival: Arrival) -> Frame:
        sequence = self.captured
        self.captured += 1
        image = source.retrieve()
        return Frame(self.name, sequence, image, arrival.captured_ns, arrival.captured_at)

    def _watch(self) -> PictureWatch | None:
        if not self._camera.kind.is_live:
            return None
        return PictureWatch(
            frozen_after_s=self._camera.frozen_after_s, black_after_s=self._camera.black_after_s
        )

    def _grab(self, source: FrameSource) -> bool:
        """Wait for the next frame; count the frames that were skipped before it."""
        try:
            return source.grab()
        finally:
            now, before = source.skipped, self._accounted
            overwritten = now.overwritten - before.overwritten
            unusable = now.unusable - before.unusable
            self._accounted = now
            self.overwritten += overwritten
            self.unusable += unusable
            self.captured += overwritten + unusable

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

    def _note_picture(self, picture: PictureState, frame: Frame) -> None:
        height, width = frame.image.shape[:2]
        reason = {
            "online": "frames arrive",
            "frozen": f"the same picture for {self._camera.frozen_after_s} s",
            "black": f"a black picture for {self._camera.black_after_s} s",
        }[picture.status]
        since = picture.since.captured_at if picture.since else None
        self._become(picture.status, reason, since=since, frame_size=(width, height))
        if not self._hinted:
            self._hinted = True
            self._hint_at_stable_name()

    def _hint_at_stable_name(self) -> None:
        if self._camera.kind.is_device:
            device = Path(self._camera.device_path)
            name = stable_name(device)
            if name is not None:
                log.info(
                    "camera %s: %s is also %s, a name that stays the same", self.name, device, name
                )

    def _note_fault(self, error: SourceError) -> None:
        """Go offline; or stalled, if a camera that delivered frames fell silent or hung."""
        fault = error.fault if isinstance(error, CameraError) else None
        before = self._state.status
        if fault in {"no_frames", "hung"} and (before == "stalled" or before in DELIVERING):
            reason = self._silence if fault == "no_frames" else str(error)
            self._become("stalled", reason, fault=fault, since=self._last_frame_at)
        else:
            self._become("offline", str(error), fault=fault)

    def _become(
        self,
        status: Status,
        reason: str,
        *,
        fault: CameraFault | None = None,
        since: datetime | None = None,
        frame_size: tuple[int, int] | None = None,
    ) -> None:
        was = self._state
        if since is None:
            same = (status, fault) == (was.status, was.fault)
            since = was.since if same else self._clock.wall()
        self._state = CameraState(status, reason, since, fault, frame_size or was.frame_size)


def stable_name(device: Path, folder: Path = BY_ID) -> Path | None:
    """Return the link to this USB camera that udev keeps wherever it is plugged in, if any.

    None for a path in `folder` itself, and for a device without a link there.
    """
    if device.parent == folder:
        return None
    try:
        target = device.resolve(strict=True)
        names = sorted(folder.iterdir())
        return next((name for name in names if name.resolve() == target), None)
    except OSError:
        return None
