"""One slot a camera: the newest frame wins, and what it overwrites is counted."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Generic, Protocol, TypeVar


class OfCamera(Protocol):
    """Anything that belongs to one camera: a frame, or what was made of it."""

    @property
    def camera(self) -> str:
        """Return the camera's name."""
        ...


T = TypeVar("T", bound=OfCamera)


class FrameSlots(Generic[T]):
    """Where capture leaves frames and inference takes them, from any thread.

    Latency stays bounded: a frame that has waited is replaced by a newer one. No camera is
    starved: the frame whose camera has waited longest is taken first.
    """

    def __init__(self) -> None:
        """Begin empty."""
        self._changed = threading.Condition()
        self._waiting: dict[str, T] = {}  # in the order in which the cameras came
        self._overwritten: Counter[str] = Counter()

    def put(self, frame: T) -> None:
        """Leave a frame; an older one of the same camera is overwritten, its turn kept."""
        with self._changed:
            if frame.camera in self._waiting:
                self._overwritten[frame.camera] += 1
            self._waiting[frame.camera] = frame
            self._changed.notify()

    def take(self, timeout_s: float) -> T | None:
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
