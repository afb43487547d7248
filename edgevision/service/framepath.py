"""The threads that frames go through: the camera's, the network's, and the one behind it."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from edgevision.capture.slots import FrameSlots
from edgevision.service.following import FollowThread
from edgevision.service.inferring import InferenceThread, Job

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgevision.clock import Clock
    from edgevision.errors import BackendError
    from edgevision.records import Frame, FrameResult
    from edgevision.service.cameras import Camera
    from edgevision.service.inferring import Detected
    from edgevision.service.pipeline import Pipeline

log = logging.getLogger(__name__)


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
