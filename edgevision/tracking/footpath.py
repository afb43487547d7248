"""The path of an object's foot, thinned."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from edgevision.tracks import PathPoint

if TYPE_CHECKING:
    from edgevision.tracking.sighting import Sighting

# A point is kept once the foot has moved by this part of the frame's diagonal.
_STEP = 0.02
MAX_POINTS = 64


class FootPath:
    """Where the foot of one object was; the first and the last point are exact."""

    def __init__(self) -> None:
        """Begin without a point."""
        self._kept: list[PathPoint] = []
        self._last: PathPoint | None = None

    def see(self, sighting: Sighting) -> None:
        """Take the next frame in which it is seen."""
        x, y = sighting.foot
        self._last = PathPoint(x, y, sighting.when.at)
        if self._kept:
            width, height = sighting.when.frame_size_px
            kept = self._kept[-1]
            moved_px = math.hypot((x - kept.x_frac) * width, (y - kept.y_frac) * height)
            if moved_px < _STEP * math.hypot(width, height):
                return
        self._kept.append(self._last)
        if len(self._kept) == MAX_POINTS:
            self._kept = [self._kept[0], *self._kept[2:-1:2], self._kept[-1]]

    @property
    def points(self) -> tuple[PathPoint, ...]:
        """Return at most 64 points, oldest first."""
        last = self._last
        if last is None or (last.x_frac, last.y_frac) == _place(self._kept[-1]):
            return tuple(self._kept)
        return (*self._kept, last)


def _place(point: PathPoint) -> tuple[float, float]:
    return point.x_frac, point.y_frac
