"""An object as it is published, for tests of payloads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from edgevision.config.settings import Config
from edgevision.events import ObjectState, PathPoint

START = datetime(2026, 1, 31, 7, 41, 3, 250000, tzinfo=UTC)
OBJECT_ID = "019c12345670123abcd-0000000a"


def an_object(**changed: Any) -> ObjectState:
    """A person of 64 x 240 pixels in a frame of 640 x 480, 24 s after it appeared."""
    fields: dict[str, Any] = {
        "id": OBJECT_ID,
        "camera": "yard",
        "label": "Person",
        "score": 0.71,
        "top_score": 0.876543,
        "box_frac": (0.1, 0.25, 0.1, 0.5),
        "frame_size_px": (640, 480),
        "started_at": START,
        "ended_at": None,
        "duration_s": 24.0,
        "current_zones": ("drive",),
        "entered_zones": ("street", "drive"),
        "loitering_zones": (),
        "stationary": False,
        "motionless_frames": 3,
        "position_changes": 1,
        "path": (
            PathPoint(0.5, 0.9, START),
            PathPoint(0.15, 0.75, START + timedelta(seconds=24)),
        ),
    }
    return ObjectState(**fields | changed)


def a_config(cameras: dict[str, dict[str, Any]] | None = None, **changed: Any) -> Config:
    """A configuration of the device `porch` with the camera `yard`, or with others."""
    cameras = {"yard": {}} if cameras is None else cameras
    sources = {name: {"source": f"rtsp://{name}/", **own} for name, own in cameras.items()}
    return Config.model_validate({"device": "porch", "cameras": sources, **changed})
