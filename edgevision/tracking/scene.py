"""What happens before one camera: from tracks to events and counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from edgevision.clock import NS_PER_S
from edgevision.events import LineEvent, ObjectEvent, ObjectState, Occupancy, ZoneEvent
from edgevision.tracking.history import History, Moment
from edgevision.tracking.lines import Crossings, LineCounters
from edgevision.tracking.zones import Stays, is_masked, passes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from edgevision.config.camera import CameraConfig, DetectionConfig, TrackingConfig
    from edgevision.events import Event, LineCount, Reason, Track
    from edgevision.tracking.history import Sighting
    from edgevision.tracking.lines import Crossing
    from edgevision.tracking.zones import ZoneChange

# The whole picture (None) or a zone, and a label.
Place: TypeAlias = tuple[str | None, str]

# A view is better if its quality is this many times that of the best told so far, and this long
# after the last event.
_BETTER = 1.1

_BETTER_AFTER_NS = 5 * NS_PER_S


class Scene:
    """One camera's objects, zones, lines and counts. Not thread-safe: the caller locks.

    An object is told as new in the first frame in which it is seen, passes the filter of its
    label and does not stand in a mask; from then on neither matters. It ends when its track has
    gone, once. Monotonic time decides everything; the time of day is only copied.
    """

    def __init__(
        self,
        camera: str,
        config: CameraConfig,
        detection: DetectionConfig,
        tracking: TrackingConfig,
        *,
        new_id: Callable[[], str],
        counts: Iterable[LineCount] = (),
    ) -> None:
        """Begin with an empty scene.

        Args:
            camera: its name in the configuration.
            config: its zones, lines and masks.
            detection: its detection settings, of which labels and filters count here.
            tracking: when an object is at rest, and how often an update is told.
            new_id: called once for each object that is told.
            counts: stored ones; they go on for lines that are still there with the same names
                of sides. The others begin with the first frame.
        """
        self._camera = camera
        self._config = config
        self._filters = detection.filters
        self._tracking = tracking
        self._new_id = new_id
        # By number of the track: those not told yet, and those that are.
        self._candidates: dict[int, History] = {}
        self._objects: dict[int, SceneObject] = {}
        self._attendance = Attendance(camera, config, detection)
        self._counters = LineCounters(camera, config.lines, counts)

    @property
    def open_objects(self) -> tuple[ObjectState, ...]:
        """Return the objects that are told and have not ended, as they are now, by number."""
        return tuple(self._objects[number].state() for number in sorted(self._objects))

    def object_id(self, number: int) -> str | None:
        """Return the id of the object of a track; None unless it is told and has not ended."""
        one = self._objects.get(number)
        return None if one is None else one.id

    def step(
        self,
        tracks: Sequence[Track],
        *,
        now_ns: int,
        at: datetime,
        frame_size_px: tuple[int, int],
    ) -> tuple[Event, ...]:
        """Follow the tracks into the next frame, also one that was not inferred.

        Args:
            tracks: all live confirmed ones; one that is absent has gone.
            now_ns: monotonic stamp of the frame.
            at: time of day of the frame, UTC.
            frame_size_px: (width, height) of the frame.

        Returns:
            By number of the track, and for each: new, zones left and entered, update, lines
            crossed, loitering, end.
        """
        when = Moment(now_ns, at, frame_size_px)
        self._counters.begin(at)
        live = {track.number: track for track in tracks}
        events: list[Event] = []
        for number in sorted({*self._candidates, *self._objects, *live}):
            track = live.get(number)
            if track is None:
                events += self._end(number, "lost", at)
            else:
                events += self._follow(track, when)
        for event in events:
            if isinstance(event, LineEvent):
                from_side = self._config.lines[event.line].from_side
                self._counters.add(event.line, forward=event.from_side == from_side)
        self._attendance.count(self._objects.values())
        return tuple(events)

    def close(
        self,
        reason: Reason,
        *,
        now_ns: int,  # noqa: ARG002 - durations end with the last sighting, here too
        at: datetime,
    ) -> tuple[Event, ...]:
        """End every object; none of their ids comes back.

        Args:
            reason: why.
            now_ns: monotonic stamp of this moment.
            at: time of day of this moment, UTC.
        """
        events = [
            event
            for number in sorted({*self._candidates, *self._objects})
            for event in self._end(number, reason, at)
        ]
        self._attendance.count(())
        return tuple(events)

    def occupancy(self) -> tuple[Occupancy, ...]:
        """Return how many objects are there now, in the whole picture and in each zone.

        With zeros: for labels that the configuration names from the start, for others once
        there has been one.
        """
        return self._attendance.counts

    def line_counts(self) -> tuple[LineCount, ...]:
        """Return the counts of all lines; before the first frame only those that were stored."""
        return self._counters.counts

    def reset(self, line: str, at: datetime) -> LineCount:
        """Let a line's counter begin again and return it.

        Raises:
            KeyError: there is no such line.
        """
        return self._counters.reset(line, at)

    def reset_due(self, at_local: datetime) -> tuple[LineCount, ...]:
        """Let the counters begin again whose `reset_at` has passed since they began.

        Args:
            at_local: the time of day where the camera is, aware.

        Returns:
            The counters that have begun again.
        """
        return self._counters.reset_due(at_local)

    def _follow(self, track: Track, when: Moment) -> tuple[Event, ...]:
        one = self._objects.get(track.number)
        if one is not None:
            if track.seen:
                one.history.see(track, when)
            return one.step(when, self._tracking.update_interval_s, seen=track.seen)
        if not track.seen:
            return ()
        history = self._see_candidate(track, when)
        if not self._is_admitted(history.sighting):
            return ()
        del self._candidates[track.number]
        one = SceneObject(self._new_id(), self._camera, self._config, history, when)
        self._objects[track.number] = one
        return one.opening

    def _see_candidate(self, track: Track, when: Moment) -> History:
        history = self._candidates.get(track.number)
        if history is None:
            history = History(track, when, self._tracking.stationary_after_s)
            self._candidates[track.number] = history
        else:
            history.see(track, when)
        return history

    def _is_admitted(self, sighting: Sighting) -> bool:
        masks = self._config.masks.values()
        return passes(self._filters, sighting) and not is_masked(masks, sighting)

    def _end(self, number: int, reason: Reason, at: datetime) -> tuple[Event, ...]:
        self._candidates.pop(number, None)
        one = self._objects.pop(number, None)
        return () if one is None else one.end(reason, at)


# FOLDED:
# One object's life as it is told: one `new`, updates, one `end`, and what it does meanwhile.


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


# FOLDED:
# How many objects of which label are where.


class Attendance:
    """The occupancy counts of one camera.

    A count that has once been above zero is given ever after, so that a subscriber sees the
    zero; there is at most one for the picture and each zone, and each label.
    """

    def __init__(self, name: str, camera: CameraConfig, detection: DetectionConfig) -> None:
        """Begin with zeros for the labels that the configuration names."""
        self._name = name
        self._order = {zone: at for at, zone in enumerate((None, *camera.zones))}
        named: list[Place] = [(None, label) for label in detection.labels or ()]
        for zone, config in camera.zones.items():
            named += [(zone, label) for label in config.labels or detection.labels or ()]
        self._counts: dict[Place, int] = dict.fromkeys(named, 0)

    def count(self, objects: Iterable[SceneObject]) -> None:
        """Count the objects that are there now."""
        now = Counter(place for one in objects for place in one.places)
        self._counts = dict.fromkeys(self._counts, 0) | now

    @property
    def counts(self) -> tuple[Occupancy, ...]:
        """Return all counts: the whole picture, then zones as configured, each by label."""
        return tuple(
            Occupancy(self._name, zone, label, self._counts[zone, label])
            for zone, label in sorted(
                self._counts, key=lambda place: (self._order[place[0]], place[1])
            )
        )
