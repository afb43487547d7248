"""Time: the clock, and the two meters that are built on it.

Every duration, timeout and rate is monotonic. The wall clock is read once per frame, after the
frame has arrived, and only for publishing: a clock step changes no behaviour.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000


class Clock(Protocol):
    """Where time comes from."""

    def monotonic_ns(self) -> int:
        """Return nanoseconds since an arbitrary start; never goes back."""
        ...

    def wall(self) -> datetime:
        """Return the time of day as an aware UTC datetime; may jump."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def monotonic_ns(self) -> int:
        """Return `time.monotonic_ns()`."""
        return time.monotonic_ns()

    def wall(self) -> datetime:
        """Return the current UTC time."""
        return datetime.now(UTC)


class ManualClock:
    """A clock that moves only when it is advanced, for replays and tests."""

    def __init__(self, *, wall: datetime = datetime(1970, 1, 1, tzinfo=UTC)) -> None:
        """Start at monotonic zero and the given time of day."""
        self._now_ns = 0
        self._wall = wall

    def monotonic_ns(self) -> int:
        """Return by how many nanoseconds it has been advanced."""
        return self._now_ns

    def wall(self) -> datetime:
        """Return the start time plus all that it was advanced and stepped by."""
        return self._wall

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks."""
        if seconds < 0:
            msg = f"expected seconds >= 0, got {seconds}: monotonic time never goes back"
            raise ValueError(msg)
        self._now_ns += round(seconds * NS_PER_S)
        self._wall += timedelta(seconds=seconds)

    def step_wall(self, seconds: float) -> None:
        """Step the time of day forward or back, as NTP does on a board without an RTC."""
        self._wall += timedelta(seconds=seconds)


class RateMeter:
    """Events per second over a sliding window.

    n stamps span n - 1 intervals, so the rate is (n - 1) / (last - first); dividing n by the
    span reads high. Stamps older than the window are dropped, so a stalled source reads
    0.0 once the window has passed.
    """

    def __init__(self, window_s: float = 5.0) -> None:
        """Measure over the last `window_s` seconds."""
        self.window_s = window_s
        self._stamps_s: deque[float] = deque()

    def mark(self, now_s: float) -> None:
        """Count one event at monotonic second `now_s`."""
        self._drop_old(now_s)
        self._stamps_s.append(now_s)

    def rate_hz(self, now_s: float) -> float:
        """Return events per second at `now_s`; 0.0 with fewer than two events in the window."""
        self._drop_old(now_s)
        if len(self._stamps_s) < 2:
            return 0.0
        span_s = self._stamps_s[-1] - self._stamps_s[0]
        return (len(self._stamps_s) - 1) / span_s if span_s > 0 else 0.0

    def _drop_old(self, now_s: float) -> None:
        while self._stamps_s and now_s - self._stamps_s[0] > self.window_s:
            self._stamps_s.popleft()


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Three percentiles of a set of durations, in milliseconds."""

    p50: float
    p95: float
    p99: float


class LatencyWindow:
    """The last `capacity` durations, in milliseconds, and their percentiles."""

    def __init__(self, capacity: int = 512) -> None:
        """Keep at most `capacity` durations; the oldest are dropped first."""
        self._values_ms: deque[float] = deque(maxlen=capacity)

    def add(self, value_ms: float) -> None:
        """Add one duration."""
        self._values_ms.append(value_ms)

    def percentiles(self) -> Percentiles | None:
        """Return nearest-rank percentiles of what is kept, or None if it is empty."""
        return percentiles(self._values_ms)


def percentiles(values_ms: deque[float] | list[float]) -> Percentiles | None:
    """Return the nearest-rank 50th, 95th and 99th percentile, or None for no values.

    Nearest rank: the smallest value with at least p % of all values at or below it, so each
    result is a duration that was measured (NumPy's `inverted_cdf`; Hyndman and Fan 1996, "Sample
    quantiles in statistical packages", definition 1).
    """
    if not values_ms:
        return None
    import numpy as np  # noqa: PLC0415 - a command sets BLAS threads before NumPy is loaded

    ranks = np.percentile(values_ms, (50, 95, 99), method="inverted_cdf")
    return Percentiles(*ranks.tolist())


def elapsed_ms(start_ns: int, end_ns: int) -> float:
    """Return the milliseconds between two monotonic stamps."""
    return (end_ns - start_ns) / NS_PER_MS
