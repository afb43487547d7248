"""The objects of one camera over time: its tracker and its scene, behind one lock."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

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

    OnEvents: TypeAlias = Callable[[str, Sequence[Event], Sequence[LineCount]], None]


@dataclass(frozen=True, slots=True)
class TrackedFrame:
    """What one frame has added.

    Attributes:
        objects: the detections that are published, with the ids of their objects.
        tracks: the confirmed objects.
        events: what has happened to objects, in order.
    """

    objects: tuple[DetectedObject, ...]
    tracks: tuple[Track, ...]
    events: tuple[Event, ...]


class CameraTracker:
    """Tracks the objects of one camera.

    Frames come from the postprocess thread, still ones from the camera's thread, queries from
    the main thread; each call holds the lock.

    Attributes:
        camera: the camera's name.
        settings: what decides how its objects are tracked; with others all start over.
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
        """Start without an object.

        Args:
            camera: the camera's name in the configuration.
            config: detection, tracking, zones and lines.
            new_id: gives ids that are unique across cameras and restarts.
            clock: for what happens without a frame.
            line_counts: where the counters of lines start; those of other cameras are ignored.
            on_events: called with the camera, what happened there and the counters of its lines
                after it. The lock is held: nothing else happens there, so events are in order.
        """
        self.camera = camera
        self.settings = tracking_settings(config, camera)
        detection = config.detection_of(camera)
        self._detection = detection
        self._clock = clock
        self._on_events = on_events
        self._retired = False
        self._lock = threading.RLock()  # `retire` closes
        self._tracking = config.tracking
        self._tracker = Tracker(detection, config.tracking)
        self._closed_ns = -1
        self._scene = Scene(
            camera,
            config.cameras[camera],
            detection,
            config.tracking,
            new_id=new_id,
            counts=[count for count in line_counts if count.camera == camera],
        )
        self._now_ns = 0
        self._size_px = (1, 1)

    def follow(
        self, frame: Frame, found: tuple[DetectedObject, ...], size_px: tuple[int, int]
    ) -> TrackedFrame:
        """Take what was found in an inferred frame.

        Args:
            frame: its picture distinguishes objects.
            found: all boxes down to the weak ones at least, best score first.
            size_px: (width, height) of the frame.
        """
        weak = self._detection.weak_score_of
        found = tuple(each for each in found if each.score >= weak(each.label))
        with self._lock:
            if self._is_over(frame):
                return TrackedFrame(self._published(found, {}), (), ())
            self._size_px = size_px
            tracks = self._tracker.step(found, frame.image, size_px, self._later(frame))
            events = self._update(tracks, frame)
            ids = {
                track.detection: self._scene.object_id(track.number)
                for track in tracks
                if track.detection is not None
            }
        return TrackedFrame(self._published(found, ids), tracks, events)

    def keep(self, frame: Frame) -> TrackedFrame:
        """Take a frame in which nothing moves: what was there is still there."""
        with self._lock:
            if self._is_over(frame):
                return TrackedFrame((), (), ())
            tracks = self._tracker.keep(self._later(frame))
            return TrackedFrame((), tracks, self._update(tracks, frame))

    def close(self, reason: Reason) -> tuple[Event, ...]:
        """End every object: no frame will come for a while."""
        with self._lock:
            now_ns = self._now_ns = max(self._now_ns, self._clock.monotonic_ns())
            # What is on its way from before belongs to what has ended, and begins nothing.
            self._closed_ns = now_ns
            self._tracker = Tracker(self._detection, self._tracking)
            events = self._scene.close(reason, now_ns=now_ns, at=self._clock.wall())
            return self._recorded(events)

    def retire(self, reason: Reason) -> None:
        """End every object for good: another tracker takes over, or the service stops."""
        with self._lock:
            self.close(reason)
            self._retired = True

    def occupancy(self) -> tuple[Occupancy, ...]:
        """Return how many objects are where now."""
        with self._lock:
            return self._scene.occupancy()

    def open_objects(self) -> tuple[ObjectState, ...]:
        """Return the objects that have had their `new` and not yet their `end`."""
        with self._lock:
            return self._scene.open_objects

    def line_counts(self) -> tuple[LineCount, ...]:
        """Return how many times each line has been crossed."""
        with self._lock:
            return self._scene.line_counts()

    def reset(self, line: str, keep: Callable[[LineCount], None]) -> None:
        """Set the counters of a line to zero.

        Args:
            line: its name.
            keep: called with the counter before anything can cross the line.

        Raises:
            KeyError: there is no such line.
        """
        with self._lock:
            keep(self._scene.reset(line, self._clock.wall()))

    def reset_due(self, at_local: datetime, keep: Callable[[LineCount], None]) -> None:
        """Set to zero the counters whose daily reset is due.

        Args:
            at_local: the time of day where the camera is, aware.
            keep: called with each such counter before anything can cross the line.
        """
        with self._lock:
            for count in self._scene.reset_due(at_local):
                keep(count)

    def _update(self, tracks: tuple[Track, ...], frame: Frame) -> tuple[Event, ...]:
        events = self._scene.step(
            tracks, now_ns=self._now_ns, at=frame.captured_at, frame_size_px=self._size_px
        )
        return self._recorded(events)

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

    def _recorded(self, events: tuple[Event, ...]) -> tuple[Event, ...]:
        if events and self._on_events is not None:
            self._on_events(self.camera, events, self._scene.line_counts())
        return events

    def _later(self, frame: Frame) -> int:
        """Return the frame's time; a still frame may have overtaken one that took long."""
        self._now_ns = max(self._now_ns, frame.captured_ns)
        return self._now_ns


def tracking_settings(config: Config, camera: str) -> Mapping[str, Section | object]:
    """Return what decides how a camera's objects are tracked; with others all start over."""
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
