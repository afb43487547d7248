"""Whether an object is at rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevision.clock import NS_PER_S
from edgevision.tracking.geometry import overlap

if TYPE_CHECKING:
    from edgevision.tracks import BoxFrac

# Overlap (IoU) with the place where it is. A box that is beside it by a quarter of its width has
# 0.6 left, by a third 0.5.
_STAYS = 0.6
_WAKES = 0.5
# It has to be away for this long in a row: one bad box wakes nobody.
_WAKES_AFTER_NS = NS_PER_S // 2


class Stillness:
    """The rest and motion of one object.

    Its place is the mean of its boxes since it last moved: a single box may be the last of a
    motion, or one end of its jitter. Once it is stationary its place is fixed, so that it cannot
    creep away with it.

    Attributes:
        stationary: it has not moved for `after_s`.
        motionless_frames: frames in which it was seen since it last moved.
        position_changes: how often it has begun to move again.
    """

    def __init__(self, after_s: float) -> None:
        """Begin in motion; at rest after this many seconds in one place."""
        self.stationary = False
        self.motionless_frames = 0
        self.position_changes = 0
        self._after_ns = round(after_s * NS_PER_S)
        self._place: BoxFrac | None = None
        self._since_ns = 0
        self._away_ns: int | None = None

    def see(self, box_frac: BoxFrac, now_ns: int) -> None:
        """Take the box of the next frame in which it is seen."""
        place = self._place
        if place is None:
            self._settle(box_frac, now_ns)
        elif self.stationary:
            self._rest(box_frac, now_ns, away=overlap(place, box_frac) < _WAKES)
        elif overlap(place, box_frac) < _STAYS:
            self._settle(box_frac, now_ns)
        else:
            self.motionless_frames += 1
            self._place = _mean(place, box_frac, self.motionless_frames)
            self.stationary = now_ns - self._since_ns >= self._after_ns

    def _settle(self, box_frac: BoxFrac, now_ns: int) -> None:
        self._place = box_frac
        self._since_ns, self._away_ns = now_ns, None
        self.stationary, self.motionless_frames = False, 0

    def _rest(self, box_frac: BoxFrac, now_ns: int, *, away: bool) -> None:
        if not away:
            self._away_ns = None
        elif self._away_ns is None:
            self._away_ns = now_ns
        elif now_ns - self._away_ns >= _WAKES_AFTER_NS:
            self.position_changes += 1
            self._settle(box_frac, now_ns)
            return
        self.motionless_frames += 1


def _mean(place: BoxFrac, box_frac: BoxFrac, boxes: int) -> BoxFrac:
    """Return the mean of this many boxes, of which `place` is the mean, and of one more."""
    x, y, width, height = (
        old + (new - old) / (boxes + 1) for old, new in zip(place, box_frac, strict=True)
    )
    return x, y, width, height
