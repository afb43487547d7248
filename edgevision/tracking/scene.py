"""What happens before one camera: from tracks to events and counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevision.tracking.attendance import Attendance
from edgevision.tracking.filters import is_masked, passes
from edgevision.tracking.history import History
from edgevision.tracking.linecounters import LineCounters
from edgevision.tracking.objects import SceneObject
from edgevision.tracking.sighting import Moment
from edgevision.tracks import LineEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from edgevision.cameraconfig import CameraConfig, DetectionConfig
    from edgevision.sceneconfig import TrackingConfig
    from edgevision.tracking.sighting import Sighting
    from edgevision.tracks import Event, LineCount, ObjectState, Occupancy, Reason, Track


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
