"""Our objects as Frigate publishes its own, on its own topics, for automations written for it.

Keys and conventions are those of Frigate's documentation of MQTT and of its tracked objects, as
of July 2026: boxes are pixels [x1, y1, x2, y2] of the frame, areas pixels, times Unix seconds,
labels lower case. What is not known here reads as it does in Frigate where it is not known.
"""

from __future__ import annotations

import hashlib
import json
import string
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from edgevision.messaging.message import Message
from edgevision.messaging.topics import level

if TYPE_CHECKING:
    from datetime import datetime

    from edgevision.messaging.payload import CameraStatus
    from edgevision.tracks import ObjectEvent, ObjectState

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
