"""Our objects as Frigate publishes its own, on its own topics, for automations written for it.

Keys and conventions are those of Frigate's documentation of MQTT and of its tracked objects, as
of July 2026: boxes are pixels [x1, y1, x2, y2] of the frame, areas pixels, times Unix seconds,
labels lower case. A key that has no counterpart here reads as Frigate's own does without a value.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import string
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from edgevision.mqtt.message import Message, level

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from edgevision.config.settings import Config
    from edgevision.events import ObjectEvent, ObjectState
    from edgevision.mqtt.payloads import CameraStatus

PREFIX = "frigate"
_DIGITS = string.ascii_lowercase + string.digits


class FrigateBridge:
    """Statuses and counts of one configuration as Frigate publishes them. For the main thread.

    Without `frigate_compat` nothing is published. A zone is counted over all cameras that have one
    of its name; since zones and cameras share topics, a zone named like a camera is left out.
    Bounded: one figure for each camera or zone and each label of the model.
    """

    def __init__(self, config: Config, labels: Sequence[str]) -> None:
        """Start with no objects anywhere.

        Args:
            config: cameras, zones and labels.
            labels: the model's, without the background.
        """
        self._enabled = config.frigate_compat
        self._zones = frozenset(
            zone for camera in config.cameras.values() for zone in camera.zones
        ) - frozenset(config.cameras)
        self._statuses: dict[str, CameraStatus] = {}
        self._objects: dict[str, tuple[ObjectState, ...]] = {}
        # By topic, as last published; what is no longer there stays and reads 0.
        self._counts = Counter(dict.fromkeys(self._initial_topics(config, labels), 0))

    def retained(self, statuses: Mapping[str, CameraStatus], *, online: bool) -> Iterator[Message]:
        """Yield what the broker retains.

        Args:
            statuses: of each camera.
            online: whether the service runs.
        """
        if self._enabled:
            yield available(online=online)
            for camera, status in statuses.items():
                yield from (m for m in camera_status(camera, status) if m.retain)

    def passing(
        self,
        statuses: Mapping[str, CameraStatus],
        objects: Mapping[str, Sequence[ObjectState]],
        *,
        everything: bool,
    ) -> Iterator[Message]:
        """Yield what is not retained: statuses and counts that changed, or all of them.

        Args:
            statuses: of each camera.
            objects: the open objects of each camera.
            everything: after a new connection.
        """
        if not self._enabled:
            return
        for camera, status in statuses.items():
            if everything or self._statuses.get(camera) != status:
                yield from (m for m in camera_status(camera, status) if not m.retain)
        self._statuses = dict(statuses)
        for camera, states in objects.items():
            changes = self._changes(camera, tuple(states))
            if not everything:
                yield from changes
        if everything:
            yield from itertools.starmap(_message, self._counts.items())

    def farewell(self) -> Iterator[Message]:
        """Yield a zero for every count above it, before another configuration takes over."""
        if self._enabled:
            yield from (_message(topic, 0) for topic, count in self._counts.items() if count)

    def _initial_topics(self, config: Config, labels: Sequence[str]) -> Iterator[str]:
        for place in sorted({*config.cameras, *self._zones}):
            yield from _topics(place, "all")
        for name, camera in config.cameras.items():
            for label in config.detection_of(name).labels or labels:
                for place in (name, *sorted(self._zones.intersection(camera.zones))):
                    yield from _topics(place, label)

    def _changes(self, camera: str, objects: tuple[ObjectState, ...]) -> list[Message]:
        """Take the open objects of a camera and return the counts that are different now."""
        if objects == self._objects.get(camera, ()):
            return []
        self._objects[camera] = objects
        before = self._counts
        self._counts = Counter({**dict.fromkeys(before, 0), **self._present()})
        return [_message(topic, n) for topic, n in self._counts.items() if before[topic] != n]

    def _present(self) -> Counter[str]:
        counts: Counter[str] = Counter()
        for camera, objects in self._objects.items():
            for each in objects:
                for place in (camera, *self._zones.intersection(each.current_zones)):
                    counts.update(_topics_of(place, each))
        return counts


def available(*, online: bool) -> Message:
    """Return the service's availability.

    A connection has one last will, and that is `<prefix>/status`: this topic reads `offline` only
    after an orderly stop.
    """
    return Message(f"{PREFIX}/available", b"online" if online else b"offline", qos=1, retain=True)


def camera_status(camera: str, status: CameraStatus) -> tuple[Message, ...]:
    """Return whether a camera delivers and whether its objects are detected."""
    shown = {"online": "online", "disabled": "disabled"}.get(status, "offline")
    state = b"OFF" if status == "disabled" else b"ON"
    return (
        Message(f"{PREFIX}/{camera}/status/detect", shown.encode()),
        Message(f"{PREFIX}/{camera}/detect/state", state, qos=1, retain=True),
    )


def event(change: ObjectEvent, *, snapshots: bool) -> Message:
    """Return an object's event on `frigate/events`.

    Frigate's `before` is never null: a new object was a false positive before, in no zone.

    Args:
        change: the event.
        snapshots: whether there is a picture of the object.
    """
    after = tracked_object(change.after, has_snapshot=snapshots)
    if change.before is None:
        unsure = replace(change.after, current_zones=(), entered_zones=(), ended_at=None)
        before = tracked_object(unsure, has_snapshot=False, false_positive=True)
    else:
        before = tracked_object(change.before, has_snapshot=snapshots)
    payload = {"type": change.kind, "before": before, "after": after}
    return Message(f"{PREFIX}/events", json.dumps(payload).encode(), qos=1)


def snapshot(camera: str, label: str, jpeg: bytes) -> Message:
    """Return the best view of a label's last object."""
    return Message(f"{PREFIX}/{camera}/{level(label_of(label))}/snapshot", jpeg, retain=True)


def tracked_object(
    state: ObjectState, *, has_snapshot: bool, false_positive: bool = False
) -> dict[str, Any]:
    """Return an object with all keys that Frigate's have."""
    width, height = state.frame_size_px
    x0, y0, across, down = state.box_frac
    box = [
        _pixel(x0, width),
        _pixel(y0, height),
        _pixel(x0 + across, width),
        _pixel(y0 + down, height),
    ]
    area = (box[2] - box[0]) * (box[3] - box[1])
    region = [0, 0, width, height]
    seen_at = round(_seconds(state.started_at) + state.duration_s, 6)
    score, top_score = round(state.score, 5), round(state.top_score, 5)
    return {
        "id": object_id(state),
        "camera": state.camera,
        "frame_time": seen_at,
        "snapshot": {
            "frame_time": seen_at,
            "box": box,
            "area": area,
            "region": region,
            "score": top_score,
            "attributes": [],
        },
        "label": label_of(state.label),
        "sub_label": None,
        "top_score": top_score,
        "computed_score": score,
        "false_positive": false_positive,
        "start_time": _seconds(state.started_at),
        "end_time": None if state.ended_at is None else _seconds(state.ended_at),
        "score": score,
        "box": box,
        "area": area,
        "ratio": round(state.ratio, 2),
        "region": region,
        "current_zones": list(state.current_zones),
        "entered_zones": list(state.entered_zones),
        "pending_loitering": False,
        "max_severity": None,
        "thumbnail": None,
        "has_snapshot": has_snapshot,
        "snapshot_clean": False,
        "has_clip": False,
        "active": not state.stationary,
        "stationary": state.stationary,
        "motionless_count": state.motionless_frames,
        "position_changes": state.position_changes,
        "attributes": {},
        "current_attributes": [],
        "current_estimated_speed": 0,
        "average_estimated_speed": 0,
        "velocity_angle": 0,
        "path_data": [
            [[round(point.x_frac, 5), round(point.y_frac, 5)], _seconds(point.at)]
            for point in state.path
        ],
        "recognized_license_plate": None,
        "recognized_license_plate_score": None,
    }


def label_of(label: str) -> str:
    """Return a label as Frigate writes it: lower case."""
    return label.lower()


def object_id(state: ObjectState) -> str:
    """Return the object's id in Frigate's form: `<start_time>-<6 of a-z, 0-9>`.

    It is derived from our own id, so it is the same in every message and after a restart.
    """
    number = int.from_bytes(hashlib.sha256(state.id.encode()).digest()[:8], "big")
    suffix = "".join(_DIGITS[number // 36**place % 36] for place in range(6))
    return f"{_seconds(state.started_at)}-{suffix}"


def _topics_of(place: str, state: ObjectState) -> Iterable[str]:
    """Return the topics in which an object counts: its label's and all labels', also if active."""
    total, active = zip(_topics(place, state.label), _topics(place, "all"), strict=True)
    return total if state.stationary else (*total, *active)


def _topics(place: str, label: str) -> tuple[str, str]:
    """Return the topics of all objects and of those that are active, in Frigate's sense."""
    topic = f"{PREFIX}/{place}/{level(label_of(label))}"
    return topic, f"{topic}/active"


def _message(topic: str, count: int) -> Message:
    return Message(topic, b"%d" % count)


def _seconds(moment: datetime) -> float:
    return round(moment.timestamp(), 6)


def _pixel(fraction: float, size_px: int) -> int:
    return min(size_px, max(0, round(fraction * size_px)))
