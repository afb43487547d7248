"""The counters of a camera's lines, and when they begin again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, timedelta
from typing import TYPE_CHECKING

from edgevision.tracks import LineCount

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date, datetime

    from edgevision.sceneconfig import LineConfig

_DAY = timedelta(days=1)


class LineCounters:
    """One counter for each configured line of a camera."""

    def __init__(
        self, camera: str, lines: Mapping[str, LineConfig], stored: Iterable[LineCount] = ()
    ) -> None:
        """Go on from stored counts of lines that still have the same names of sides."""
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

    def begin(self, at: datetime) -> None:
        """Begin to count, at this time of day, on the lines that have no count yet."""
        for line in self._lines.keys() - self._counts.keys():
            self.reset(line, at)

    def add(self, line: str, *, forward: bool) -> None:
        """Count one crossing of a line that has begun."""
        count = self._counts[line]
        self._counts[line] = (
            replace(count, forward=count.forward + 1)
            if forward
            else replace(count, backward=count.backward + 1)
        )

    @property
    def counts(self) -> tuple[LineCount, ...]:
        """Return the counts of all lines that have begun, in the order of the configuration."""
        return tuple(self._counts[line] for line in self._lines if line in self._counts)

    def reset(self, line: str, at: datetime) -> LineCount:
        """Begin again at 0 and return that.

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
        """Begin again where `reset_at` has passed since the counting began.

        Compared are readings of the local clock, so neither an hour that comes twice nor a clock
        that is set back makes a second reset on one day; only a restart on the day on which the
        clocks are set back may. Counting that began more than a day in the future was begun by
        a clock that was wrong.

        Args:
            at_local: the time of day where the camera is, aware.

        Returns:
            The counts that have begun again.
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
