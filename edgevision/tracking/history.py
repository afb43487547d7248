"""What is known of one object from all frames in which it was seen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from edgevision.boxes import area_of, clip_box, foot_of, iou, ratio_of
from edgevision.clock import NS_PER_S
from edgevision.events import PathPoint

if TYPE_CHECKING:
    from datetime import datetime

    from edgevision.boxes import BoxFrac, Point
    from edgevision.events import Track

# A box this near to an edge of the frame is taken as cut off by it.
_AT_EDGE_FRAC = 0.01

# IoU with the object's place above which it has not moved. A box beside it by a quarter of its
# width has 0.6 left, by a third 0.5.
_STAYS_IOU = 0.6
_MOVES_IOU = 0.5

# A stationary object has to be away for this long without a break: one bad box moves nothing.
_MOVES_AFTER_NS = NS_PER_S // 2

# A point is kept once the foot has moved by this part of the frame's diagonal.
_STEP = 0.02
MAX_POINTS = 64


@dataclass(frozen=True, slots=True)
class Moment:
    """When a frame arrived, and its size.

    Attributes:
        now_ns: monotonic stamp; decides everything.
        at: time of day, UTC; only ever published.
        frame_size_px: (width, height).
    """

    now_ns: int
    at: datetime
    frame_size_px: tuple[int, int]


class History:
    """One object as of the last frame in which it was seen, with what earlier frames add.

    It starts with the first frame in which the object is seen as a confirmed track.

    Attributes:
        started_at: time of day of its first frame, UTC. The track may be older than the first
            frame that arrives here, so it is counted back from there; it never changes.
        when: the last frame in which it was seen.
        label: by vote over its life so far.
        score: of the last detection that belonged to it, 0..1.
        top_score: the highest so far.
        box_frac: (x, y, w, h) as fractions of the frame, clipped to it.
        trajectory: where its foot was.
        motion: whether it is stationary.
    """

    def __init__(self, track: Track, when: Moment, stationary_after_s: float) -> None:
        """Start with the first frame in which it is seen."""
        self._begun_ns = track.begun_ns
        self.started_at = when.at - timedelta(seconds=(when.now_ns - track.begun_ns) / NS_PER_S)
        self.top_score = track.score
        self.motion = StationaryState(stationary_after_s)
        self.trajectory = Trajectory()
        self.see(track, when)

    def see(self, track: Track, when: Moment) -> None:
        """Add the next frame in which it is seen."""
        self.when = when
        self.label = track.label
        self.score = track.score
        self.top_score = max(self.top_score, track.score)
        self.box_frac = clip_box(track.box_frac)
        self.motion.see(self.box_frac, when.now_ns)
        self.trajectory.see(self.foot, when)

    @property
    def duration_s(self) -> float:
        """Return the monotonic seconds from its first frame to the last in which it was seen."""
        return (self.when.now_ns - self._begun_ns) / NS_PER_S

    @property
    def foot(self) -> Point:
        """Return the bottom-centre point of the box, as fractions of the frame."""
        return foot_of(self.box_frac)

    @property
    def height_px(self) -> float:
        """Return the height of the box in pixels."""
        return self.box_frac[3] * self.when.frame_size_px[1]

    @property
    def area_frac(self) -> float:
        """Return the box's share of the frame, 0..1."""
        return area_of(self.box_frac)

    @property
    def ratio(self) -> float:
        """Return the box's width by its height, both in pixels; 0 for a box without height."""
        return ratio_of(self.box_frac, self.when.frame_size_px)

    @property
    def quality(self) -> float:
        """Return how good a view of the object this frame is, 0..1.

        score x sqrt(area): twice the size is worth as much as twice the score, and size counts
        by length and not by area, so that near does not outweigh clear. Half of it where the box
        is cut off by the frame. A choice of this project, not from a paper.
        """
        x, y, width, height = self.box_frac
        cut = min(x, y) < _AT_EDGE_FRAC or max(x + width, y + height) > 1 - _AT_EDGE_FRAC
        return self.score * math.sqrt(self.area_frac) * (0.5 if cut else 1.0)


class StationaryState:
    """Whether one object is stationary, and how often it has moved.

    Its place is the mean of its boxes since it last moved: a single box may be the last of a
    motion, or one end of its jitter. Once it is stationary its place is fixed, so that the place
    cannot drift along with a slow object.

    Attributes:
        stationary: it has not moved for `after_s`.
        motionless_frames: frames in which it was seen since it last moved.
        position_changes: how often it has started to move again.
    """

    def __init__(self, after_s: float) -> None:
        """Start in motion; stationary after this many seconds in one place."""
        self.stationary = False
        self.motionless_frames = 0
        self.position_changes = 0
        self._after_ns = round(after_s * NS_PER_S)
        self._place: BoxFrac | None = None
        self._since_ns = 0
        self._away_ns: int | None = None

    def see(self, box_frac: BoxFrac, now_ns: int) -> None:
        """Add the box of the next frame in which it is seen."""
        place = self._place
        if place is None:
            self._settle(box_frac, now_ns)
        elif self.stationary:
            self._rest(box_frac, now_ns, away=iou(place, box_frac) < _MOVES_IOU)
        elif iou(place, box_frac) < _STAYS_IOU:
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
        elif now_ns - self._away_ns >= _MOVES_AFTER_NS:
            self.position_changes += 1
            self._settle(box_frac, now_ns)
            return
        self.motionless_frames += 1


class Trajectory:
    """Where the foot of one object was, thinned; the first and the last point are exact."""

    def __init__(self) -> None:
        """Start without a point."""
        self._kept: list[PathPoint] = []
        self._last: PathPoint | None = None

    def see(self, foot: Point, when: Moment) -> None:
        """Add the foot, as fractions of the frame, in the next frame in which it is seen."""
        x, y = foot
        self._last = PathPoint(x, y, when.at)
        if self._kept:
            width, height = when.frame_size_px
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
        if last is None or _position(last) == _position(self._kept[-1]):
            return tuple(self._kept)
        return (*self._kept, last)


def _mean(place: BoxFrac, box_frac: BoxFrac, boxes: int) -> BoxFrac:
    """Return the mean of this many boxes, whose mean is `place`, and of one more."""
    x, y, width, height = (
        old + (new - old) / (boxes + 1) for old, new in zip(place, box_frac, strict=True)
    )
    return x, y, width, height


def _position(point: PathPoint) -> Point:
    return point.x_frac, point.y_frac
