"""One object's life as it is told: one `new`, updates, one `end`, and what it does meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from edgevision.clock import NS_PER_S
from edgevision.tracking.lines import Crossings
from edgevision.tracking.zones import Stays
from edgevision.tracks import LineEvent, ObjectEvent, ObjectState, ZoneEvent

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from edgevision.cameraconfig import CameraConfig
    from edgevision.tracking.history import History
    from edgevision.tracking.lines import Crossing
    from edgevision.tracking.sighting import Moment
    from edgevision.tracking.zones import ZoneChange
    from edgevision.tracks import Event, Reason

# The whole picture (None) or a zone, and a label.
Place: TypeAlias = tuple[str | None, str]

# A view is better if its quality is this many times that of the best told so far, and this long
# after the last event.
_BETTER = 1.1
_BETTER_AFTER_NS = 5 * NS_PER_S


@dataclass(frozen=True, slots=True)
class _Told:
    """What was last told: at which monotonic stamp, the state, the quality of the best view."""

    at_ns: int
    state: ObjectState
    quality: float


class SceneObject:
    """One object that is told, from its `new` to its `end`.

    Attributes:
        id: unique across cameras and restarts.
        history: what is known of it; the caller lets it see each frame first.
        opening: the events with which it begins.
    """

    def __init__(
        self, object_id: str, camera: str, config: CameraConfig, history: History, when: Moment
    ) -> None:
        """Tell it as new. Zones in which it already is are entered and part of that state."""
        self.id = object_id
        self.history = history
        self._camera = camera
        self._lines = config.lines
        self._stays = Stays(config.zones)
        self._crossings = Crossings(config.lines)
        changes = self._stays.step(history.sighting)
        self._crossings.step(history.sighting)
        state = self.state()
        self._told = _Told(when.now_ns, state, history.sighting.quality)
        self.opening: tuple[Event, ...] = (
            ObjectEvent("new", "appeared", None, state, when.at),
            *_zone_events(changes, state, when.at),
        )

    @property
    def places(self) -> tuple[Place, ...]:
        """Return where it counts."""
        return tuple((zone, self.history.sighting.label) for zone in (None, *self._stays.current))

    def step(self, when: Moment, update_interval_s: float, *, seen: bool) -> tuple[Event, ...]:
        """Tell what has happened since the last frame: zones, update, lines, loitering.

        All events of a frame show the object as it is after all of them.

        Args:
            when: the frame.
            update_interval_s: an update is told at least this often.
            seen: whether it is seen in this frame; else it is taken to be where it was.
        """
        changes = self._stays.step(self.history.sighting) if seen else ()
        crossings = self._crossings.step(self.history.sighting) if seen else ()
        reason = self._due(when.now_ns, update_interval_s, seen=seen)
        if not changes and not crossings and reason is None:
            return ()
        state = self.state()
        moves = [change for change in changes if change.kind != "loitering"]
        loiters = [change for change in changes if change.kind == "loitering"]
        return (
            *_zone_events(moves, state, when.at),
            *self._update(reason, state, when),
            *self._line_events(crossings, state, when.at),
            *_zone_events(loiters, state, when.at),
        )

    def end(self, reason: Reason, at: datetime) -> tuple[Event, ...]:
        """Leave all zones and tell its end, as of the last frame in which it was seen."""
        last = self.history.sighting.when
        changes = self._stays.close(last.now_ns)
        after = self.state(ended_at=last.at)
        return (
            *_zone_events(changes, self.state(), at),
            ObjectEvent("end", reason, self._told.state, after, at),
        )

    def state(self, ended_at: datetime | None = None) -> ObjectState:
        """Return it as it is now; while it is not seen, as it was last seen."""
        sighting, stillness = self.history.sighting, self.history.stillness
        return ObjectState(
            id=self.id,
            camera=self._camera,
            label=sighting.label,
            score=sighting.score,
            top_score=sighting.top_score,
            box_frac=sighting.box_frac,
            frame_size_px=sighting.when.frame_size_px,
            started_at=self.history.started_at,
            ended_at=ended_at,
            duration_s=self.history.duration_s,
            current_zones=self._stays.current,
            entered_zones=self._stays.entered,
            loitering_zones=self._stays.loitering,
            stationary=stillness.stationary,
            motionless_frames=stillness.motionless_frames,
            position_changes=stillness.position_changes,
            path=self.history.path.points,
        )

    def _due(self, now_ns: int, update_interval_s: float, *, seen: bool) -> Reason | None:
        """Return the first reason for an update, if there is one."""
        told, sighting = self._told, self.history.sighting
        since_ns = now_ns - told.at_ns
        if self._stays.current != told.state.current_zones:
            return "zone"
        if self.history.stillness.stationary != told.state.stationary:
            return "stationary"
        if sighting.label != told.state.label:
            return "label"
        better = 0 < told.quality * _BETTER <= sighting.quality
        if seen and better and since_ns >= _BETTER_AFTER_NS:
            return "better_view"
        return "interval" if since_ns >= update_interval_s * NS_PER_S else None

    def _update(self, reason: Reason | None, after: ObjectState, when: Moment) -> tuple[Event, ...]:
        if reason is None:
            return ()
        before = self._told.state
        best = max(self._told.quality, self.history.sighting.quality)
        self._told = _Told(when.now_ns, after, best)
        return (ObjectEvent("update", reason, before, after, when.at),)

    def _line_events(
        self, crossings: Iterable[Crossing], state: ObjectState, at: datetime
    ) -> tuple[LineEvent, ...]:
        lines = [(crossing, self._lines[crossing.line]) for crossing in crossings]
        return tuple(
            LineEvent(crossing.line, line.from_side, line.to_side, state, at)
            if crossing.forward
            else LineEvent(crossing.line, line.to_side, line.from_side, state, at)
            for crossing, line in lines
        )


def _zone_events(
    changes: Iterable[ZoneChange], state: ObjectState, at: datetime
) -> tuple[ZoneEvent, ...]:
    return tuple(
        ZoneEvent(change.kind, change.zone, state, change.dwell_s, at) for change in changes
    )
