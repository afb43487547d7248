"""One camera's scene: from tracks to events, occupancy and line counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from edgevision.clock import NS_PER_S
from edgevision.events import LineEvent, ObjectEvent, ObjectState, Occupancy, ZoneEvent
from edgevision.tracking.history import History, Moment
from edgevision.tracking.lines import LineCounters, LineCrossings
from edgevision.tracking.zones import ZoneVisits, is_masked, passes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from edgevision.config.camera import CameraConfig, DetectionConfig, TrackingConfig
    from edgevision.events import Event, LineCount, Reason, Track
    from edgevision.tracking.lines import Crossing
    from edgevision.tracking.zones import ZoneChange

# A zone, or the whole frame (None), and a label.
OccupancyKey: TypeAlias = tuple[str | None, str]

# A view is better if its quality is this many times that of the best published one; it is
# published this long after the last event at the earliest.
_BETTER = 1.1
_BETTER_AFTER_NS = 5 * NS_PER_S


class Scene:
    """One camera's objects, zones, lines and counts. Not thread-safe: the caller locks.

    An object is published as `new` in the first frame in which it is seen, passes the filter of
    its label and is not in a mask; from then on neither matters. It ends once, when its track is
    gone. Monotonic time decides everything; the time of day is only copied.
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
        """Start with an empty scene.

        Args:
            camera: its name in the configuration.
            config: its zones, lines and masks.
            detection: its detection settings, of which labels and filters count here.
            tracking: when an object is stationary, and how often an update is published.
            new_id: called once for each object that is published.
            counts: stored ones; continued for lines that still exist with the same names of
                sides. The others start with the first frame.
        """
        self._camera = camera
        self._config = config
        self._filters = detection.filters
        self._tracking = tracking
        self._new_id = new_id
        # By number of the track: those not published yet, and those that are.
        self._candidates: dict[int, History] = {}
        self._objects: dict[int, SceneObject] = {}
        self._occupancy = OccupancyCounter(camera, config, detection)
        self._counters = LineCounters(camera, config.lines, counts)

    @property
    def open_objects(self) -> tuple[ObjectState, ...]:
        """Return the objects published and not ended, in their current state, by number."""
        return tuple(self._objects[number].state() for number in sorted(self._objects))

    def object_id(self, number: int) -> str | None:
        """Return the id of a track's object; None unless it is published and has not ended."""
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
        """Take the tracks of the next frame, inferred or not.

        Args:
            tracks: all live confirmed ones; the object of an absent one ends.
            now_ns: monotonic stamp of the frame.
            at: time of day of the frame, UTC.
            frame_size_px: (width, height) of the frame.

        Returns:
            By number of the track, and for each: new, zones left and entered, update, lines
            crossed, loitering, end.
        """
        when = Moment(now_ns, at, frame_size_px)
        self._counters.start(at)
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
        self._occupancy.count(self._objects.values())
        return tuple(events)

    def close(
        self,
        reason: Reason,
        *,
        now_ns: int,  # noqa: ARG002 - durations end with the last frame it was seen in
        at: datetime,
    ) -> tuple[Event, ...]:
        """End every object; none of their ids is used again.

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
        self._occupancy.count(())
        return tuple(events)

    def occupancy(self) -> tuple[Occupancy, ...]:
        """Return how many objects are there now, in the whole frame and in each zone.

        Zeros are included: for labels that the configuration names from the start, for others
        after the first object of that label.
        """
        return self._occupancy.counts

    def line_counts(self) -> tuple[LineCount, ...]:
        """Return the counts of all lines; before the first frame only those that were stored."""
        return self._counters.counts

    def reset(self, line: str, at: datetime) -> LineCount:
        """Set the counter of a line to 0 and return it.

        Raises:
            KeyError: there is no such line.
        """
        return self._counters.reset(line, at)

    def reset_due(self, at_local: datetime) -> tuple[LineCount, ...]:
        """Reset the counters whose `reset_at` has passed since they started.

        Args:
            at_local: the time of day where the camera is, aware.

        Returns:
            The counters that were reset.
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
        if not self._is_admitted(history):
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

    def _is_admitted(self, history: History) -> bool:
        masks = self._config.masks.values()
        return passes(self._filters, history) and not is_masked(masks, history)

    def _end(self, number: int, reason: Reason, at: datetime) -> tuple[Event, ...]:
        self._candidates.pop(number, None)
        one = self._objects.pop(number, None)
        return () if one is None else one.end(reason, at)


class SceneObject:
    """One published object, from its `new` to its `end`.

    Attributes:
        id: unique across cameras and restarts.
        history: what is known of it; the caller adds each frame to it first.
        opening: its first events.
    """

    def __init__(
        self, object_id: str, camera: str, config: CameraConfig, history: History, when: Moment
    ) -> None:
        """Publish it as new. The zones it is in already are entered and part of that state."""
        self.id = object_id
        self.history = history
        self._camera = camera
        self._lines = config.lines
        self._visits = ZoneVisits(config.zones)
        self._crossings = LineCrossings(config.lines)
        changes = self._visits.step(history)
        self._crossings.step(history)
        state = self.state()
        self._published = _Published(when.now_ns, state, history.quality)
        self.opening: tuple[Event, ...] = (
            ObjectEvent("new", "appeared", None, state, when.at),
            *_zone_events(changes, state, when.at),
        )

    @property
    def places(self) -> tuple[OccupancyKey, ...]:
        """Return where it is counted."""
        return tuple((zone, self.history.label) for zone in (None, *self._visits.current))

    def step(self, when: Moment, update_interval_s: float, *, seen: bool) -> tuple[Event, ...]:
        """Return the events of a frame: zones, update, lines, loitering.

        All of them carry the state of the object after all of them.

        Args:
            when: the frame.
            update_interval_s: an update is published at least this often.
            seen: whether it is seen in this frame; otherwise it is assumed to be where it was.
        """
        changes = self._visits.step(self.history) if seen else ()
        crossings = self._crossings.step(self.history) if seen else ()
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
        """Return its last events: it leaves all zones and ends, as of when it was last seen."""
        last = self.history.when
        changes = self._visits.close(last.now_ns)
        after = self.state(ended_at=last.at)
        return (
            *_zone_events(changes, self.state(), at),
            ObjectEvent("end", reason, self._published.state, after, at),
        )

    def state(self, ended_at: datetime | None = None) -> ObjectState:
        """Return its current state; while it is not seen, the state when it was last seen."""
        history, motion = self.history, self.history.motion
        return ObjectState(
            id=self.id,
            camera=self._camera,
            label=history.label,
            score=history.score,
            top_score=history.top_score,
            box_frac=history.box_frac,
            frame_size_px=history.when.frame_size_px,
            started_at=history.started_at,
            ended_at=ended_at,
            duration_s=history.duration_s,
            current_zones=self._visits.current,
            entered_zones=self._visits.entered,
            loitering_zones=self._visits.loitering,
            stationary=motion.stationary,
            motionless_frames=motion.motionless_frames,
            position_changes=motion.position_changes,
            path=history.trajectory.points,
        )

    def _due(self, now_ns: int, update_interval_s: float, *, seen: bool) -> Reason | None:
        """Return the first reason for an update, if there is one."""
        published, history = self._published, self.history
        since_ns = now_ns - published.at_ns
        if self._visits.current != published.state.current_zones:
            return "zone"
        if history.motion.stationary != published.state.stationary:
            return "stationary"
        if history.label != published.state.label:
            return "label"
        better = 0 < published.quality * _BETTER <= history.quality
        if seen and better and since_ns >= _BETTER_AFTER_NS:
            return "better_view"
        return "interval" if since_ns >= update_interval_s * NS_PER_S else None

    def _update(self, reason: Reason | None, after: ObjectState, when: Moment) -> tuple[Event, ...]:
        if reason is None:
            return ()
        before = self._published.state
        best = max(self._published.quality, self.history.quality)
        self._published = _Published(when.now_ns, after, best)
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


class OccupancyCounter:
    """The occupancy counts of one camera.

    A count that has once been above zero is always included from then on, so that a subscriber
    sees the zero; there is at most one for each label in the frame and in each zone.
    """

    def __init__(self, name: str, camera: CameraConfig, detection: DetectionConfig) -> None:
        """Start with zeros for the labels that the configuration names."""
        self._name = name
        self._order = {zone: at for at, zone in enumerate((None, *camera.zones))}
        named: list[OccupancyKey] = [(None, label) for label in detection.labels or ()]
        for zone, config in camera.zones.items():
            named += [(zone, label) for label in config.labels or detection.labels or ()]
        self._counts: dict[OccupancyKey, int] = dict.fromkeys(named, 0)

    def count(self, objects: Iterable[SceneObject]) -> None:
        """Count the objects that are there now."""
        now = Counter(place for one in objects for place in one.places)
        self._counts = dict.fromkeys(self._counts, 0) | now

    @property
    def counts(self) -> tuple[Occupancy, ...]:
        """Return all counts: the whole frame, then zones as configured, each by label."""
        return tuple(
            Occupancy(self._name, zone, label, self._counts[zone, label])
            for zone, label in sorted(self._counts, key=lambda key: (self._order[key[0]], key[1]))
        )


@dataclass(frozen=True, slots=True)
class _Published:
    """What was last published of an object.

    Attributes:
        at_ns: monotonic stamp of the event.
        state: the object's state in it.
        quality: of the best view published so far, 0..1.
    """

    at_ns: int
    state: ObjectState
    quality: float


def _zone_events(
    changes: Iterable[ZoneChange], state: ObjectState, at: datetime
) -> tuple[ZoneEvent, ...]:
    return tuple(
        ZoneEvent(change.kind, change.zone, state, change.dwell_s, at) for change in changes
    )
