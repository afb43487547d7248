"""The threads that frames go through: the camera's, the network's, and the one behind it."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from edgevision.clock import NS_PER_S
from edgevision.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgevision.clock import Clock
    from edgevision.frames import Frame, FrameResult
    from edgevision.pipeline.cameras import Camera
    from edgevision.pipeline.pipeline import DetectedFrame, Pipeline, PreparedFrame

log = logging.getLogger(__name__)

POLL_S = 0.25

RECENT = 64

# Failures of the network in a row after which a restart is the better answer.
MAX_FAILURES = 10

T = TypeVar("T")


class FramePath:
    """Takes frames from cameras to published detections; the newest of each camera wins.

    Attributes:
        slots: where the newest prepared frame of each camera waits for the network.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        pipeline: Callable[[], Pipeline],
        holds: Callable[[Camera], bool],
        send: Callable[[FrameResult], bool],
        on_ill: Callable[[], None],
    ) -> None:
        """Prepare; `start` begins.

        Args:
            clock: where stamps come from.
            pipeline: returns the one for frames that come now.
            holds: whether a camera is still one of the configuration.
            send: publishes detections; False if they were not taken.
            on_ill: called when so many frames failed in a row that `fault` is set.
        """
        self.slots: FrameSlots[Job] = FrameSlots()
        self._clock = clock
        self._pipeline = pipeline
        self._holds = holds
        self._send = send
        self._following = FollowThread(self._follow)
        self._followed: Job | None = None
        self._inference = InferenceThread(
            self.slots, clock=clock, on_detected=self._following.put, on_ill=on_ill
        )

    @property
    def fault(self) -> BackendError | None:
        """Return what is wrong with the network, if it keeps failing."""
        return self._inference.fault

    @property
    def turned_ns(self) -> int:
        """Return the monotonic stamp at which the network's thread last came round."""
        return self._inference.turned_ns

    @property
    def longest_turn_s(self) -> float:
        """Return the longest of the recent turns that had a frame, in seconds."""
        return self._inference.longest_turn_s

    def start(self) -> None:
        """Begin to infer."""
        self._following.start()
        self._inference.start()

    def stop_soon(self) -> None:
        """Take no further frame."""
        self._inference.stop(0.0)

    def stop(self, timeout_s: float) -> None:
        """Finish what is on its way, at most this long; what still waits counts as overwritten."""
        until_s = time.monotonic() + timeout_s
        self._inference.stop(timeout_s)
        self._following.stop(max(0.1, until_s - time.monotonic()))
        self.slots.drop_waiting()

    def captured(self, camera: Camera, frame: Frame) -> None:
        """Take a frame, on its camera's thread."""
        pipeline = self._pipeline()
        if not self._holds(camera) or not pipeline.knows(camera.name):  # a reload takes it out
            return
        camera.meter.captured(frame.captured_ns, frame.sequence)
        camera.show(frame)
        try:
            ready = pipeline.prepare(frame)
            if not ready.wanted:
                camera.meter.still(frame.captured_ns)
                pipeline.pass_over(ready)
                return
        except Exception:
            camera.meter.failed()
            log.exception("camera %s: frame %s cannot be prepared", frame.camera, frame.sequence)
            return
        self.slots.put(Job(camera, pipeline, ready))

    def publish(self, result: FrameResult) -> None:
        """Take a pipeline's result, on the thread behind the network."""
        job = self._followed
        if job is None or not self._holds(job.source):
            return
        published = self._send(result)
        job.source.meter.inferred(result, self._clock.monotonic_ns(), published=published)

    def _follow(self, item: Detected) -> None:
        self._followed = job = item.job
        try:
            job.pipeline.follow(item.detected)
        except Exception:
            job.source.meter.failed()
            log.exception("camera %s: frame %s failed", job.camera, job.ready.frame.sequence)
        self._followed = None


# FOLDED:
# The inference thread: takes prepared frames in turn and runs the network on them.


@dataclass(frozen=True, slots=True)
class Job:
    """A prepared frame, its camera, and the pipeline that prepared it and must finish it.

    A reload may put another camera or pipeline in their place in the meantime.
    """

    source: Camera
    pipeline: Pipeline
    ready: PreparedFrame

    @property
    def camera(self) -> str:
        """Return the camera's name."""
        return self.ready.camera


@dataclass(frozen=True, slots=True)
class Detected:
    """A job, and what the network found for it."""

    job: Job
    detected: DetectedFrame


class InferenceThread:
    """Runs the network on what waits in the slots, until it is stopped or the network is ill."""

    def __init__(
        self,
        slots: FrameSlots[Job],
        *,
        clock: Clock,
        on_detected: Callable[[Detected], None],
        on_ill: Callable[[], None],
    ) -> None:
        """Prepare; `start` begins.

        Args:
            slots: where prepared frames wait.
            clock: stamps each turn.
            on_detected: called with what the network found; may wait, which counts as its turn.
            on_ill: called when so many failed in a row that `fault` is set.
        """
        self.fault: BackendError | None = None
        self.turned_ns = clock.monotonic_ns()
        self._turns_ns: deque[int] = deque([0], maxlen=RECENT)
        self._slots = slots
        self._clock = clock
        self._on_detected = on_detected
        self._on_ill = on_ill
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)

    @property
    def longest_turn_s(self) -> float:
        """Return the longest of the recent turns that had a frame, in seconds."""
        return max(tuple(self._turns_ns)) / NS_PER_S

    def start(self) -> None:
        """Begin to infer."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Ask the thread to end and wait for it at most this long."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            self.turned_ns = self._clock.monotonic_ns()
            job = self._slots.take(timeout_s=POLL_S)
            if job is None:
                continue
            begun_ns = self._clock.monotonic_ns()
            try:
                detected = job.pipeline.detect(job.ready)
                failures = 0
            except Exception as error:
                failures += 1
                job.source.meter.failed()
                if failures == 1:
                    log.exception(
                        "camera %s: frame %s failed", job.camera, job.ready.frame.sequence
                    )
                if failures == MAX_FAILURES:
                    msg = f"{failures} frames failed in a row, the last one: {error}"
                    self.fault = BackendError(msg)
                    self._on_ill()
            else:
                self._on_detected(Detected(job, detected))
                del detected
            self._turns_ns.append(self._clock.monotonic_ns() - begun_ns)
            del job  # its frame may be a slot that a camera is waiting for


# FOLDED:
# The thread behind the network: follows objects while the network is busy with the next frame.


class FollowThread(Generic[T]):
    """Takes what the network has found the rest of the way, in order.

    The network needs both ends of a frame's way to be somebody else's work: a millisecond here
    would be a millisecond that it stands still.
    """

    def __init__(self, take: Callable[[T], None]) -> None:
        """Prepare; `start` begins.

        Args:
            take: called with each, on this thread; must not raise.
        """
        self._take = take
        # One may wait: a stuck follower soon holds up the network, whose turns are watched.
        self._waiting: queue.Queue[T | None] = queue.Queue(1)
        self._thread = threading.Thread(target=self._run, name="following", daemon=True)

    def start(self) -> None:
        """Begin to take."""
        self._thread.start()

    def put(self, item: T) -> None:
        """Hand one over; blocks while another one waits."""
        self._waiting.put(item)

    def stop(self, timeout_s: float) -> None:
        """Take what waits, and end; at most this long. Nothing may be put any more."""
        until_s = time.monotonic() + timeout_s
        if not self._thread.is_alive():
            return
        try:
            self._waiting.put(None, timeout=timeout_s)
        except queue.Full:  # it is stuck; the process ends without it
            return
        self._thread.join(max(0.0, until_s - time.monotonic()))

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None:
            self._take(item)
            del item  # its frame may be a slot that a camera is waiting for


# FOLDED:
# One slot a camera: the newest frame wins, and what it overwrites is counted.


class OfCamera(Protocol):
    """Anything that belongs to one camera: a frame, or what was made of it."""

    @property
    def camera(self) -> str:
        """Return the camera's name."""
        ...


JobT = TypeVar("JobT", bound=OfCamera)


class FrameSlots(Generic[JobT]):
    """Where capture leaves frames and inference takes them, from any thread.

    Latency stays bounded: a frame that has waited is replaced by a newer one. No camera is
    starved: the frame whose camera has waited longest is taken first.
    """

    def __init__(self) -> None:
        """Begin empty."""
        self._changed = threading.Condition()
        self._waiting: dict[str, JobT] = {}  # in the order in which the cameras came
        self._overwritten: Counter[str] = Counter()

    def put(self, frame: JobT) -> None:
        """Leave a frame; an older one of the same camera is overwritten, its turn kept."""
        with self._changed:
            if frame.camera in self._waiting:
                self._overwritten[frame.camera] += 1
            self._waiting[frame.camera] = frame
            self._changed.notify()

    def take(self, timeout_s: float) -> JobT | None:
        """Take the next frame, waiting at most this long; None when none came."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._waiting, timeout_s):
                return None
            return self._waiting.pop(next(iter(self._waiting)))

    def drop_waiting(self) -> None:
        """Count what still waits as overwritten: nobody will take it."""
        with self._changed:
            self._overwritten.update(self._waiting.keys())
            self._waiting.clear()

    def overwritten(self, camera: str) -> int:
        """Return how many of a camera's frames were never taken."""
        with self._changed:
            return self._overwritten[camera]

    def forget(self, camera: str) -> None:
        """Drop a camera's frame and count: it is taken out, or another begins under its name."""
        with self._changed:
            self._waiting.pop(camera, None)
            del self._overwritten[camera]
