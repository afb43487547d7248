"""The threads that frames go through, and what they hand over.

Each camera's thread prepares frames and leaves the newest in the camera's slot. The inference
thread takes them in turn and runs the network. The postprocess thread tracks objects and hands
the result on, while the network is busy with the next frame: a millisecond of that work on the
inference thread would be a millisecond in which the network stands still.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from edgevision.clock import NS_PER_S
from edgevision.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgevision.clock import Clock
    from edgevision.frames import Frame, FrameResult
    from edgevision.pipeline.camera_pipeline import DetectedFrame, PreparedFrame
    from edgevision.pipeline.cameras import Camera

log = logging.getLogger(__name__)

POLL_S = 0.25
# How many turns of the inference thread the longest recent one is taken from.
RECENT = 64
# Failures of the network in a row after which a restart is the better answer.
MAX_FAILURES = 10

T = TypeVar("T")


class FrameThreads:
    """Takes frames from cameras to results; the newest frame of each camera wins.

    Attributes:
        slots: where the newest prepared frame of each camera waits for the network.
        fault: what is wrong with the network, once it has failed too often in a row.
        turned_ns: monotonic stamp at which the inference thread last came round.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        on_result: Callable[[Frame, FrameResult], bool],
        on_failed: Callable[[], None],
    ) -> None:
        """Prepare; `start` starts the threads.

        Args:
            clock: where stamps come from.
            on_result: called with each result and its frame, which is lent for the length of the
                call: on the postprocess thread, or for a still frame on the camera's. Returns
                whether its detections were published.
            on_failed: called when so many frames failed in a row that `fault` is set.
        """
        self.slots: FrameSlots[PreparedFrame] = FrameSlots()
        self.fault: BackendError | None = None
        self.turned_ns = clock.monotonic_ns()
        self._turns_ns: deque[int] = deque([0], maxlen=RECENT)
        self._failures = 0
        self._clock = clock
        self._on_result = on_result
        self._on_failed = on_failed
        self._stopping = threading.Event()
        self._inference = threading.Thread(target=self._infer, name="inference", daemon=True)
        self._postprocess = PostprocessThread(self._follow)

    @property
    def longest_turn_s(self) -> float:
        """Return the longest of the recent turns that had a frame, in seconds."""
        return max(tuple(self._turns_ns)) / NS_PER_S

    def start(self) -> None:
        """Start to infer."""
        self._postprocess.start()
        self._inference.start()

    def stop_soon(self) -> None:
        """Take no further frame."""
        self._stopping.set()

    def stop(self, timeout_s: float) -> None:
        """Finish what is on its way, at most this long; what still waits counts as overwritten."""
        until_s = time.monotonic() + timeout_s
        self._stopping.set()
        if self._inference.is_alive():
            self._inference.join(timeout_s)
        self._postprocess.stop(max(0.1, until_s - time.monotonic()))
        self.slots.drop_waiting()

    def captured(self, camera: Camera, frame: Frame) -> None:
        """Take a frame, on its camera's thread."""
        if not camera.active:  # a reload is removing it
            return
        camera.meter.captured(frame.captured_ns, frame.sequence)
        camera.show(frame)
        try:
            ready = camera.pipeline.prepare(frame, camera)
            if not ready.wanted:
                camera.meter.still(frame.captured_ns)
                self._on_result(frame, ready.pipeline.skip(ready))
                return
        except Exception:
            camera.meter.failed()
            log.exception("camera %s: frame %s cannot be prepared", frame.camera, frame.sequence)
            return
        self.slots.put(ready)

    def _infer(self) -> None:
        """Run the network on what waits in the slots; the inference thread."""
        while not self._stopping.is_set():
            self.turned_ns = self._clock.monotonic_ns()
            ready = self.slots.take(timeout_s=POLL_S)
            if ready is None:
                continue
            started_ns = self._clock.monotonic_ns()
            detected = self._detect(ready)
            if detected is not None:
                self._postprocess.put(detected)  # may wait, which counts as this thread's turn
            self._turns_ns.append(self._clock.monotonic_ns() - started_ns)
            del ready, detected  # the frame may be a slot that a capture worker is waiting for

    def _detect(self, ready: PreparedFrame) -> DetectedFrame | None:
        try:
            detected = ready.pipeline.detect(ready)
        except Exception as error:
            self._failures += 1
            _count_failed(ready)
            if self._failures == 1:
                log.exception("camera %s: frame %s failed", ready.camera, ready.frame.sequence)
            if self._failures == MAX_FAILURES:
                msg = f"{self._failures} frames failed in a row, the last one: {error}"
                self.fault = BackendError(msg)
                self._on_failed()
            return None
        self._failures = 0
        return detected

    def _follow(self, detected: DetectedFrame) -> None:
        """Track the objects of a frame and hand the result on; on the postprocess thread."""
        ready = detected.ready
        try:
            result = ready.pipeline.follow(detected)
            if ready.source is None or not ready.source.active:
                return
            published = self._on_result(ready.frame, result)
        except Exception:
            _count_failed(ready)
            log.exception("camera %s: frame %s failed", ready.camera, ready.frame.sequence)
        else:
            ready.source.meter.inferred(result, self._clock.monotonic_ns(), published=published)


def _count_failed(ready: PreparedFrame) -> None:
    if ready.source is not None:
        ready.source.meter.failed()


class PostprocessThread(Generic[T]):
    """Takes what the network has found the rest of the way, in order."""

    def __init__(self, take: Callable[[T], None]) -> None:
        """Prepare; `start` starts the thread.

        Args:
            take: called with each, on this thread; must not raise.
        """
        self._take = take
        # One may wait: if this thread hangs, it soon holds up the network, whose turns are watched.
        self._waiting: queue.Queue[T | None] = queue.Queue(1)
        self._thread = threading.Thread(target=self._run, name="postprocess", daemon=True)

    def start(self) -> None:
        """Start to take."""
        self._thread.start()

    def put(self, item: T) -> None:
        """Hand one over; blocks while another one waits."""
        self._waiting.put(item)

    def stop(self, timeout_s: float) -> None:
        """Take what waits, then stop, within this time. Nothing may be put any more."""
        until_s = time.monotonic() + timeout_s
        if not self._thread.is_alive():
            return
        try:
            self._waiting.put(None, timeout=timeout_s)
        except queue.Full:  # it hangs; the process ends without it
            return
        self._thread.join(max(0.0, until_s - time.monotonic()))

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None:
            self._take(item)
            del item  # its frame may be a slot that a capture worker is waiting for


class OfCamera(Protocol):
    """Anything that belongs to one camera: a frame, or what was made of it."""

    @property
    def camera(self) -> str:
        """Return the camera's name."""
        ...


ItemT = TypeVar("ItemT", bound=OfCamera)


class FrameSlots(Generic[ItemT]):
    """One slot a camera, filled and emptied by any thread: the newest frame wins.

    Latency stays bounded: a frame that has waited is replaced by a newer one, and counted. No
    camera is starved: the frame whose camera has waited longest is taken first.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._changed = threading.Condition()
        self._waiting: dict[str, ItemT] = {}  # in the order in which the cameras came
        self._overwritten: Counter[str] = Counter()

    def put(self, frame: ItemT) -> None:
        """Leave a frame; an older one of the same camera is overwritten, its turn kept."""
        with self._changed:
            if frame.camera in self._waiting:
                self._overwritten[frame.camera] += 1
            self._waiting[frame.camera] = frame
            self._changed.notify()

    def take(self, timeout_s: float) -> ItemT | None:
        """Take the next frame, waiting at most this long; None when none came."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._waiting, timeout_s):
                return None
            return self._waiting.pop(next(iter(self._waiting)))

    def drop_waiting(self) -> None:
        """Count what still waits as overwritten: it will never be taken."""
        with self._changed:
            self._overwritten.update(self._waiting.keys())
            self._waiting.clear()

    def overwritten(self, camera: str) -> int:
        """Return how many of a camera's frames were never taken."""
        with self._changed:
            return self._overwritten[camera]

    def forget(self, camera: str) -> None:
        """Drop a camera's frame and its count: it is removed, or another takes its name."""
        with self._changed:
            self._waiting.pop(camera, None)
            del self._overwritten[camera]
