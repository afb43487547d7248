"""Lines: when an object has crossed one, in which direction, and how often that happened."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC, timedelta
from typing import TYPE_CHECKING

from edgevision.events import LineCount
from edgevision.tracking.zones import takes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date, datetime

    from edgevision.boxes import Point
    from edgevision.config.camera import LineConfig
    from edgevision.tracking.history import History

# An object has settled on a side once its foot is further from the line than this part of its
# height. Boxes of an object at rest jitter by a few hundredths of their height.
_SETTLED_MARGIN = 0.05

# The ends of a segment belong to it, whatever the rounding.
_AT_END = 1e-9
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Crossing:
    """An object has crossed a line; forward: from its `from` side to its `to` side."""

    line: str
    forward: bool


@dataclass(slots=True)
class _Position:
    """Where one object is relative to one line.

    Attributes:
        to_side: the side it last settled on; None: not yet on any.
        through: its movements through the segment since then, those to the `to` side minus
            those back.
    """

    to_side: bool | None = None
    through: int = 0


class LineCrossings:
    """Detects the crossings of one object.

    It settles on a side of a line, extended to infinity, when its foot is further from it than
    0.05 of the height of its box. Once it settles on the other side, it has crossed if its foot
    moved through the segment itself: moving round the end does not count, nor does moving there
    and back before it has settled. Movement between two frames in which it is seen is taken as
    straight, so an object that jumps over a line has crossed it; predicted boxes do not count.
    """

    def __init__(self, lines: Mapping[str, LineConfig]) -> None:
        """Start on no side of any line."""
        self._lines = lines
        self._positions = {name: _Position() for name in lines}
        self._foot: Point | None = None

    def step(self, seen: History) -> tuple[Crossing, ...]:
        """Take the object as of the next frame in which it is seen."""
        foot, before = seen.foot, self._foot or seen.foot
        self._foot = foot
        margin_px = _SETTLED_MARGIN * seen.height_px
        found = []
        for name, line in self._lines.items():
            movement = _movement(line.points, before, foot, seen.when.frame_size_px)
            one = self._positions[name]
            one.through += movement.through
            if abs(movement.distance_px) <= margin_px:
                continue
            to_side = movement.distance_px > 0
            direction = 1 if to_side else -1
            came_across = one.to_side is not None and one.to_side is not to_side
            if came_across and one.through * direction > 0 and takes(line.labels, seen.label):
                found.append(Crossing(name, to_side))
            one.to_side, one.through = to_side, 0
        return tuple(found)


class LineCounters:
    """One counter for each configured line of a camera."""

    def __init__(
        self, camera: str, lines: Mapping[str, LineConfig], stored: Iterable[LineCount] = ()
    ) -> None:
        """Continue stored counts of lines whose sides still have the same names."""
        self._camera = camera
        self._lines = lines
        self._counts: dict[str, LineCount] = {}
        self._reset_on: dict[str, date] = {}
        for count in stored:
            line = lines.get(count.line)
            same = line is not None and (line.from_side, line.to_side) == (
                count.from_side,
                count.to_side,
            )
            if same and count.camera == camera:
                self._counts[count.line] = count

    def start(self, at: datetime) -> None:
        """Start to count, at this time of day, on the lines that have no count yet."""
        for line in self._lines.keys() - self._counts.keys():
            self.reset(line, at)

    def add(self, line: str, *, forward: bool) -> None:
        """Count one crossing of a line that has a count."""
        count = self._counts[line]
        self._counts[line] = (
            replace(count, forward=count.forward + 1)
            if forward
            else replace(count, backward=count.backward + 1)
        )

    @property
    def counts(self) -> tuple[LineCount, ...]:
        """Return the counts that have started, in the order of the configuration."""
        return tuple(self._counts[line] for line in self._lines if line in self._counts)

    def reset(self, line: str, at: datetime) -> LineCount:
        """Set a count to 0 and return it.

        Raises:
            KeyError: there is no such line.
        """
        config = self._lines[line]
        count = LineCount(
            self._camera, line, config.from_side, config.to_side, 0, 0, at.astimezone(UTC)
        )
        self._counts[line] = count
        return count

    def reset_due(self, at_local: datetime) -> tuple[LineCount, ...]:
        """Reset the counts whose `reset_at` has passed since counting started.

        Readings of the local clock are compared, so neither an hour that occurs twice nor a clock
        that is set back causes a second reset on one day; only a restart on the day on which the
        clocks are set back may. A start more than a day in the future is a reading of a clock that
        was wrong.

        Args:
            at_local: the time of day where the camera is, aware.

        Returns:
            The counts that were reset.
        """
        return tuple(
            self.reset(name, at_local)
            for name, line in self._lines.items()
            if name in self._counts
            and line.reset_at is not None
            and self._is_due(name, line.reset_at, at_local)
        )

    def _is_due(self, line: str, reset_at: str, at_local: datetime) -> bool:
        now = at_local.replace(tzinfo=None)
        hour, minute = map(int, reset_at.split(":"))
        due = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
        if due > now:
            due -= _DAY
        since = self._counts[line].since.astimezone(at_local.tzinfo).replace(tzinfo=None)
        if due <= since <= now + _DAY or self._reset_on.get(line) == due.date():
            return False
        self._reset_on[line] = due.date()
        return True


@dataclass(frozen=True, slots=True)
class _Movement:
    """A straight movement of a foot relative to a line.

    Attributes:
        distance_px: from the infinite line to the end of the movement; positive on the `to` side.
        through: 1 if it passed through the segment towards the `to` side, -1 if back, else 0.
    """

    distance_px: float
    through: int


def _movement(
    ends: tuple[Point, Point], start: Point, end: Point, size: tuple[int, int]
) -> _Movement:
    """Return a movement relative to a line; all points as fractions of the frame.

    The side is the sign of the cross product of the line and the vector to the point. Because y
    goes down, it is positive on the right, looking from the first end to the second. A point on
    the line belongs to the right side, so a movement that ends on it and one that continues from
    there are one crossing together.
    """
    width, height = size
    x0, y0 = ends[0]
    across, down = (ends[1][0] - x0) * width, (ends[1][1] - y0) * height
    length = math.hypot(across, down)
    ax, ay = (start[0] - x0) * width, (start[1] - y0) * height
    bx, by = (end[0] - x0) * width, (end[1] - y0) * height
    a = (across * ay - down * ax) / length
    b = (across * by - down * bx) / length
    if (a >= 0) == (b >= 0):
        return _Movement(b, 0)
    share = a / (a - b)
    x, y = ax + share * (bx - ax), ay + share * (by - ay)
    along = (x * across + y * down) / (length * length)
    inside = -_AT_END <= along <= 1 + _AT_END
    return _Movement(b, (1 if b >= 0 else -1) if inside else 0)
