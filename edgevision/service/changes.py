"""What differs between two configurations, by what has to be built again for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgevision.errors import RestartError

if TYPE_CHECKING:
    from edgevision.config import Config

# What cannot be exchanged while the service runs.
_FIXED = ("state_folder",)
# What is made of a camera's frames; the camera itself does not mind.
_SCENE = frozenset({"detection", "zones", "lines", "masks", "motion", "regions"})


@dataclass(frozen=True, slots=True)
class Changes:
    """Parts that a new configuration needs anew.

    Attributes:
        engine: model, backend or its settings: the network is loaded again.
        uplink: broker, topics or the outbox's bounds: the connection is made again.
        cameras: names of cameras to start, stop or replace.
    """

    engine: bool
    uplink: bool
    cameras: frozenset[str]


def compare(old: Config, new: Config) -> Changes:
    """Return what changes. A camera goes on while only what is made of its frames differs.

    Raises:
        RestartError: a key differs that only a restart can change.
    """
    fixed = [
        f"{key}: expected the same as before, got a new one: systemctl restart edgevision"
        for key in _FIXED
        if getattr(old, key) != getattr(new, key)
    ]
    if fixed:
        raise RestartError(*fixed)
    names = old.cameras.keys() | new.cameras.keys()
    return Changes(
        engine=_differ(old, new, "model", "backend", "runtime"),
        uplink=_differ(old, new, "mqtt", "device", "outbox", "control", "homeassistant"),
        cameras=frozenset(name for name in names if _reading(old, name) != _reading(new, name)),
    )


def _differ(old: Config, new: Config, *keys: str) -> bool:
    return any(getattr(old, key) != getattr(new, key) for key in keys)


def _reading(config: Config, name: str) -> dict[str, object] | None:
    """Return what decides how a camera is read; None for a camera that is not there."""
    camera = config.cameras.get(name)
    if camera is None:
        return None
    return {key: getattr(camera, key) for key in type(camera).model_fields if key not in _SCENE}
