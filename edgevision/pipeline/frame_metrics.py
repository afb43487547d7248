"""What is measured about each camera while the service runs."""

from __future__ import annotations

import threading
from dataclasses import fields
from typing import TYPE_CHECKING

from edgevision.clock import NS_PER_S, LatencyWindow, RateMeter, elapsed_ms
from edgevision.events import DELIVERING
from edgevision.frames import CameraMetrics, FrameCounts, StageLatency

if TYPE_CHECKING:
    from datetime import datetime

    from edgevision.capture.reader import CameraReader
    from edgevision.frames import FrameResult

_STAGES = tuple(field.name for field in fields(StageLatency))


class CameraMeter:
    """Rates, latencies and counts of one camera.

    Written by the capture and the inference thread, read by the main thread.
    """

    def __init__(self, window_s: float) -> None:
        """Measure rates over `window_s` seconds."""
        self._lock = threading.Lock()
        self._failed = 0
        self._still = 0
        self._waiting_ns: int | None = None
        self._inferred = 0
        self._published = 0
        self._capture = RateMeter(window_s)
        self._inference = RateMeter(window_s)
        self._publish = RateMeter(window_s)
        self._last: tuple[int, int] | None = None  # captured_ns and sequence of the last frame
        self._latency = {stage: LatencyWindow() for stage in (*_STAGES, "capture_to_publish")}

    @property
    def window_s(self) -> float:
        """Return over how many seconds rates are measured."""
        return self._capture.window_s

    @window_s.setter
    def window_s(self, seconds: float) -> None:
        for rate in (self._capture, self._inference, self._publish):
            rate.window_s = seconds

    @property
    def waiting_ns(self) -> int | None:
        """Return since when a frame waits for a result; None: there was one since it came."""
        return self._waiting_ns

    def captured(self, captured_ns: int, sequence: int | None = None) -> None:
        """Record an arrival.

        Args:
            captured_ns: when.
            sequence: number of the frame. Gaps are frames that the capture worker overwrote or
                could not decode: they arrived too, evenly spread over the time since the last.
        """
        with self._lock:
            if self._waiting_ns is None:
                self._waiting_ns = captured_ns
            last = self._last or (captured_ns, (sequence or 0) - 1)
            missed = 0 if sequence is None else max(0, sequence - last[1] - 1)
            step_ns = (captured_ns - last[0]) / (missed + 1)
            for number in range(missed):
                self._capture.mark((last[0] + (number + 1) * step_ns) / NS_PER_S)
            self._capture.mark(captured_ns / NS_PER_S)
            if sequence is not None:
                self._last = captured_ns, sequence

    def failed(self) -> None:
        """Record a frame that the network refused."""
        with self._lock:
            self._failed += 1
            self._waiting_ns = None

    def still(self, captured_ns: int) -> None:
        """Record a frame that was not inferred because nothing moves; an earlier one may wait."""
        with self._lock:
            self._still += 1
            if self._waiting_ns == captured_ns:
                self._waiting_ns = None

    def inferred(self, result: FrameResult, now_ns: int, *, published: bool) -> None:
        """Record a result and whether its message was taken."""
        now_s = now_ns / NS_PER_S
        with self._lock:
            self._inferred += 1
            self._waiting_ns = None
            self._inference.mark(now_s)
            for stage in _STAGES:
                self._latency[stage].add(getattr(result.latency_ms, stage))
            if published:
                self._published += 1
                self._publish.mark(now_s)
                self._latency["capture_to_publish"].add(elapsed_ms(result.captured_ns, now_ns))

    @property
    def unpublished(self) -> int:
        """Return how many results were not sent."""
        with self._lock:
            return self._inferred - self._published

    def metrics(
        self, reader: CameraReader, *, overwritten: int, at: datetime, now_ns: int
    ) -> CameraMetrics:
        """Return the camera's metrics at this moment.

        Args:
            reader: reads the camera.
            overwritten: how many frames the inference thread never took.
            at: wall clock.
            now_ns: monotonic time.
        """
        now_s = now_ns / NS_PER_S
        # A camera that delivers nothing has no rate, however recent its last frames are.
        delivers = reader.state().status in DELIVERING
        with self._lock:
            latency = {
                stage: values
                for stage, window in self._latency.items()
                if (values := window.percentiles()) is not None
            }
            return CameraMetrics(
                camera=reader.name,
                measured_at=at,
                capture_fps=self._capture.rate_hz(now_s) if delivers else 0.0,
                inference_fps=self._inference.rate_hz(now_s) if delivers else 0.0,
                publish_fps=self._publish.rate_hz(now_s) if delivers else 0.0,
                frames=FrameCounts(
                    captured=reader.captured,
                    inferred=self._inferred,
                    published=self._published,
                    still=self._still,
                    overwritten=overwritten + reader.overwritten,
                    unusable=reader.unusable + self._failed,
                    unpublished=self._inferred - self._published,
                ),
                reconnects=reader.reconnects,
                latency_ms=latency if len(latency) == len(self._latency) else None,
            )
