"""Our objects as Frigate publishes its own, on its own topics, for automations written for it.

Keys and conventions are those of Frigate's documentation of MQTT and of its tracked objects, as
of July 2026: boxes are pixels [x1, y1, x2, y2] of the frame, areas pixels, times Unix seconds,
labels lower case. What is not known here reads as it does in Frigate where it is not known.
"""

from __future__ import annotations

import hashlib
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


def label_of(label: str) -> str:
    """Return a label as Frigate writes it: lower case."""
    return label.lower()


def object_id(state: ObjectState) -> str:
    """Return the object's id in Frigate's form: `<start_time>-<6 of a-z, 0-9>`.

    It follows from our own id, so it is the same in every message and after a restart.
    """
    number = int.from_bytes(hashlib.sha256(state.id.encode()).digest()[:8], "big")
    suffix = "".join(_DIGITS[number // 36**place % 36] for place in range(6))
    return f"{_seconds(state.started_at)}-{suffix}"


def available(*, online: bool) -> Message:
    """Return the service's availability.

    A connection has one last will, and it is `<prefix>/status`: this one says `offline` only when
    the service ends in order.
    """
    return Message(f"{PREFIX}/available", b"online" if online else b"offline", qos=1, retain=True)


def camera_status(camera: str, status: CameraStatus) -> tuple[Message, ...]:
    """Return whether a camera delivers and whether its objects are detected."""
    told = {"online": "online", "disabled": "disabled"}.get(status, "offline")
    state = b"OFF" if status == "disabled" else b"ON"
    return (
        Message(f"{PREFIX}/{camera}/status/detect", told.encode()),
        Message(f"{PREFIX}/{camera}/detect/state", state, qos=1, retain=True),
    )


def event(told: ObjectEvent, *, snapshots: bool) -> Message:
    """Return an object's event on `frigate/events`.

    Frigate's `before` is never null: a new object was a false positive before, in no zone.

    Args:
        told: the event.
        snapshots: whether there is a picture of it.
    """
    after = tracked_object(told.after, has_snapshot=snapshots)
    if told.before is None:
        unsure = replace(told.after, current_zones=(), entered_zones=(), ended_at=None)
        before = tracked_object(unsure, has_snapshot=False, false_positive=True)
    else:
        before = tracked_object(told.before, has_snapshot=snapshots)
    payload = {"type": told.kind, "before": before, "after": after}
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


def _seconds(moment: datetime) -> float:
    return round(moment.timestamp(), 6)


def _pixel(fraction: float, size_px: int) -> int:
    return min(size_px, max(0, round(fraction * size_px)))


# FOLDED:
# How many objects there are, on the topics and by the rules of Frigate: not retained, on change.
#
# A zone is counted over all cameras that have one of its name, and shares its topics with cameras:
# a zone named as a camera is left out.


class FrigateCounts:
    """The counts of one configuration, as they were last told.

    Bounded: a figure for each camera or zone and label, of which a model has so many.
    """

    def __init__(self, config: Config, labels: Sequence[str]) -> None:
        """Begin with nobody anywhere.

        Args:
            config: cameras and zones.
            labels: the model's, without the background.
        """
        self._cameras = frozenset(config.cameras)
        self._zones = (
            frozenset(zone for camera in config.cameras.values() for zone in camera.zones)
            - self._cameras
        )
        self._objects: dict[str, tuple[ObjectState, ...]] = {}
        self._told: Counter[str] = Counter()
        for place in sorted(self._cameras | self._zones):
            self._told.update(dict.fromkeys(_topics(place, "all"), 0))
        for name in config.cameras:
            zones = self._zones.intersection(config.cameras[name].zones)
            for label in config.detection_of(name).labels or labels:
                for place in (name, *sorted(zones)):
                    self._told.update(dict.fromkeys(_topics(place, label), 0))

    def changes(self, camera: str, objects: Sequence[ObjectState]) -> tuple[Message, ...]:
        """Take the objects that are at a camera now and return the counts that are others."""
        self._objects[camera] = tuple(objects)
        now = self._count()
        before = self._told
        # What is no longer there stays known and reads 0.
        self._told = Counter({**dict.fromkeys(before, 0), **now})
        return tuple(
            _message(topic, count) for topic, count in self._told.items() if before[topic] != count
        )

    def everything(self) -> tuple[Message, ...]:
        """Return all counts, for a new connection."""
        return tuple(_message(topic, count) for topic, count in self._told.items())

    def nobody(self) -> tuple[Message, ...]:
        """Return zeros for what was told last to be there, for another configuration."""
        return tuple(_message(topic, 0) for topic, count in self._told.items() if count)

    def _count(self) -> Counter[str]:
        counts: Counter[str] = Counter()
        for camera, objects in self._objects.items():
            for each in objects:
                for place in (camera, *self._zones.intersection(each.current_zones)):
                    counts.update(_topics_of(place, each))
        return counts


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


# FOLDED:
# What is told on Frigate's topics besides our own, for `frigate_compat`.


class FrigateSide:
    """States and counts of one configuration as Frigate publishes them. For the main thread."""

    def __init__(self, config: Config, labels: Sequence[str]) -> None:
        """Begin with nothing told; without `frigate_compat` there is nothing to tell.

        Args:
            config: cameras, zones and labels.
            labels: the model's, without the background.
        """
        self._enabled = config.frigate_compat
        self._counts = FrigateCounts(config, labels)
        self._told: dict[str, CameraStatus] = {}

    def retained(self, statuses: Mapping[str, CameraStatus], *, online: bool) -> Iterator[Message]:
        """Yield what stays at the broker.

        Args:
            statuses: what each camera does.
            online: whether the service runs.
        """
        if self._enabled:
            yield available(online=online)
            for camera, status in statuses.items():
                yield from (m for m in camera_status(camera, status) if m.retain)

    def farewell(self) -> Iterator[Message]:
        """Yield zeros for what was there, before another configuration takes over."""
        if self._enabled:
            yield from self._counts.nobody()

    def passing(
        self,
        statuses: Mapping[str, CameraStatus],
        objects: Mapping[str, Sequence[ObjectState]],
        *,
        everything: bool,
    ) -> Iterator[Message]:
        """Yield what Frigate does not retain: states and counts that changed, or all of them.

        Args:
            statuses: what each camera does.
            objects: the open objects of each camera.
            everything: after a new connection.
        """
        if not self._enabled:
            return
        for camera, status in statuses.items():
            if everything or self._told.get(camera) != status:
                yield from (m for m in camera_status(camera, status) if not m.retain)
        self._told = dict(statuses)
        for camera, states in objects.items():
            changes = self._counts.changes(camera, states)
            if not everything:
                yield from changes
        if everything:
            yield from self._counts.everything()
