"""The inference thread: takes prepared frames in turn and runs the network on them."""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgevision.clock import NS_PER_S
from edgevision.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgevision.capture.slots import FrameSlots
    from edgevision.clock import Clock
    from edgevision.service.cameras import Camera
    from edgevision.service.pipeline import DetectedFrame, Pipeline, PreparedFrame

log = logging.getLogger(__name__)

POLL_S = 0.25
RECENT = 64
# Failures of the network in a row after which a restart is the better answer.
MAX_FAILURES = 10


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
