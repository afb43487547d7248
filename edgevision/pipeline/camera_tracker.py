"""The objects of one camera over time: its tracker and its scene."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from edgevision.tracking.scene import Scene
from edgevision.tracking.tracker import Tracker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from edgevision.clock import Clock
    from edgevision.config.fields import Section
    from edgevision.config.settings import Config
    from edgevision.events import Event, LineCount, ObjectState, Occupancy, Reason, Track
    from edgevision.frames import DetectedObject, Frame


@dataclass(frozen=True, slots=True)
class Watched:
    """What one frame has added.

    Attributes:
        objects: the detections that are published, with the ids of their objects.
        tracks: the confirmed objects.
        events: what is to be told of them.
    """

    objects: tuple[DetectedObject, ...]
    tracks: tuple[Track, ...]
    events: tuple[Event, ...]


class OnEvents(Protocol):
    """Where events go."""

    def __call__(self, watcher: Watcher, events: Sequence[Event], frame: Frame | None, /) -> None:
        """Take what happened, and the frame in which it was seen, if it was in one."""
        ...


class Watcher:
    """Follows the objects of one camera.

    Frames come from the inference thread, still ones from the camera's thread, questions from
    the main thread; each call has the lock to itself.
    """

    def __init__(
        self,
        camera: str,
        config: Config,
        *,
        new_id: Callable[[], str],
        clock: Clock,
        line_counts: Iterable[LineCount] = (),
        on_events: OnEvents | None = None,
    ) -> None:
        """Begin with no object.

        Args:
            camera: the camera's name in the configuration.
            config: detection, tracking, zones and lines.
            new_id: gives ids that are unique across cameras and restarts.
            clock: for what happens without a frame.
            line_counts: where the counters of lines begin.
            on_events: called with what happened, in order, while nothing else can happen.
        """
        self.camera = camera
        self.settings = watch_settings(config, camera)
        detection = config.detection_of(camera)
        self._detection = detection
        self._clock = clock
        self._on_events = on_events
        self._retired = False
        # Questions from within `on_events` are allowed.
        self._lock = threading.RLock()
        self._tracking = config.tracking
        self._tracker = Tracker(detection, config.tracking)
        self._closed_ns = -1
        self._scene = Scene(
            camera,
            config.cameras[camera],
            detection,
            config.tracking,
            new_id=new_id,
            counts=line_counts,
        )
        self._now_ns = 0
        self._size_px = (1, 1)

    def step(
        self, frame: Frame, found: tuple[DetectedObject, ...], size_px: tuple[int, int]
    ) -> Watched:
        """Take what was found in an inferred frame.

        Args:
            frame: its picture tells objects apart.
            found: all boxes down to the weak ones at least, best score first.
            size_px: (width, height) of the frame.
        """
        weak = self._detection.weak_score_of
        found = tuple(each for each in found if each.score >= weak(each.label))
        with self._lock:
            if self._is_over(frame):
                return Watched(self._published(found, {}), (), ())
            self._size_px = size_px
            tracks = self._tracker.step(found, frame.image, size_px, self._later(frame))
            events = self._look(tracks, frame)
            ids = {
                track.detection: self._scene.object_id(track.number)
                for track in tracks
                if track.detection is not None
            }
        return Watched(self._published(found, ids), tracks, events)

    def keep(self, frame: Frame) -> Watched:
        """Take a frame in which nothing moves: what was there is still there."""
        with self._lock:
            if self._is_over(frame):
                return Watched((), (), ())
            tracks = self._tracker.keep(self._later(frame))
            return Watched((), tracks, self._look(tracks, frame))

    def close(self, reason: Reason) -> tuple[Event, ...]:
        """End every object: no frame will come for a while."""
        with self._lock:
            now_ns = self._now_ns = max(self._now_ns, self._clock.monotonic_ns())
            # What is on its way from before belongs to what has ended, and begins nothing.
            self._closed_ns = now_ns
            self._tracker = Tracker(self._detection, self._tracking)
            events = self._scene.close(reason, now_ns=now_ns, at=self._clock.wall())
            return self._tell(events, None)

    def retire(self, reason: Reason) -> None:
        """End every object for good: another watcher has this one's place, or the service stops."""
        with self._lock:
            self.close(reason)
            self._retired = True

    def occupancy(self) -> tuple[Occupancy, ...]:
        """Return how many objects are where now."""
        with self._lock:
            return self._scene.occupancy()

    def open_objects(self) -> tuple[ObjectState, ...]:
        """Return the objects that have been told as new and have not ended."""
        with self._lock:
            return self._scene.open_objects

    def line_counts(self) -> tuple[LineCount, ...]:
        """Return how often each line has been crossed."""
        with self._lock:
            return self._scene.line_counts()

    def reset(self, line: str, keep: Callable[[LineCount], None]) -> None:
        """Begin to count anew.

        Args:
            line: its name.
            keep: called with the counter before anything can cross the line.

        Raises:
            KeyError: there is no such line.
        """
        with self._lock:
            keep(self._scene.reset(line, self._clock.wall()))

    def reset_due(self, at_local: datetime, keep: Callable[[LineCount], None]) -> None:
        """Begin to count anew where it is the hour for it.

        Args:
            at_local: the time of day where the camera is, aware.
            keep: called with each such counter before anything can cross the line.
        """
        with self._lock:
            for count in self._scene.reset_due(at_local):
                keep(count)

    def _look(self, tracks: tuple[Track, ...], frame: Frame) -> tuple[Event, ...]:
        events = self._scene.step(
            tracks, now_ns=self._now_ns, at=frame.captured_at, frame_size_px=self._size_px
        )
        return self._tell(events, frame)

    def _is_over(self, frame: Frame) -> bool:
        return self._retired or frame.captured_ns <= self._closed_ns

    def _published(
        self, found: Sequence[DetectedObject], ids: Mapping[int, str | None]
    ) -> tuple[DetectedObject, ...]:
        """Return what is published of the detections, with the ids of their objects."""
        return tuple(
            replace(each, track_id=ids[index]) if ids.get(index) else each
            for index, each in enumerate(found)
            if each.score >= self._detection.min_score_of(each.label)
        )

    def _tell(self, events: tuple[Event, ...], frame: Frame | None) -> tuple[Event, ...]:
        if events and self._on_events is not None:
            self._on_events(self, events, frame)
        return events

    def _later(self, frame: Frame) -> int:
        """Return the frame's time; a still frame may have overtaken one that took long."""
        self._now_ns = max(self._now_ns, frame.captured_ns)
        return self._now_ns


def make_watchers(
    config: Config,
    *,
    new_id: Callable[[], str],
    clock: Clock,
    line_counts: Sequence[LineCount] = (),
    on_events: OnEvents | None = None,
    kept: Mapping[str, Watcher] | None = None,
) -> dict[str, Watcher]:
    """Return a watcher for each camera: one that is kept, or a new one.

    Args:
        config: the cameras and what decides how their objects are followed.
        new_id: gives ids that are unique across cameras and restarts.
        clock: for what happens without a frame.
        line_counts: where the counters of lines begin, of any of the cameras.
        on_events: called with what happened.
        kept: watchers that go on.
    """
    kept = kept or {}
    return {
        name: kept.get(name)
        or Watcher(
            name,
            config,
            new_id=new_id,
            clock=clock,
            line_counts=[count for count in line_counts if count.camera == name],
            on_events=on_events,
        )
        for name in config.cameras
    }


def watch_settings(config: Config, camera: str) -> Mapping[str, Section | object]:
    """Return what decides how a camera's objects are followed; with other ones all begin anew."""
    own = config.cameras[camera]
    return {
        "topics": (config.prefix, config.frigate_compat),
        "detection": config.detection_of(camera),
        "tracking": config.tracking,
        "zones": own.zones,
        "lines": own.lines,
        "masks": own.masks,
        "rotation": own.rotation,
        "source": own.source,
    }
