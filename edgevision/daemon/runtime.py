"""What one configuration needs: engine, pipeline, and the objects of each camera."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgevision.errors import RestartError
from edgevision.events import EventIds
from edgevision.inference.backend import load_engine
from edgevision.mqtt.encoder import Encoder
from edgevision.pipeline.camera_tracker import make_watchers, watch_settings
from edgevision.pipeline.pipeline import Pipeline, make_detectors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from edgevision.clock import Clock
    from edgevision.config.settings import Config
    from edgevision.events import LineCount
    from edgevision.frames import FrameResult
    from edgevision.inference.backend import LoadedModel
    from edgevision.pipeline.camera_tracker import OnEvents, Watcher

# What cannot be exchanged while the service runs.
_FIXED = ("state_folder",)

# What is made of a camera's frames; the camera itself does not mind.
_SCENE = frozenset({"detection", "zones", "lines", "masks", "motion", "regions"})


@dataclass(frozen=True, slots=True)
class Parts:
    """What works under one configuration."""

    config: Config
    engine: LoadedModel
    watchers: Mapping[str, Watcher]
    pipeline: Pipeline


# FOLDED:
# What differs between two configurations, by what has to be built again for it.


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


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """The parts of another configuration, and what has to change for them."""

    parts: Parts
    changes: Changes


class Builder:
    """Builds parts; ids and the start of the service go on from one to the next."""

    def __init__(
        self, clock: Clock, *, publish: Callable[[FrameResult], None], on_events: OnEvents
    ) -> None:
        """Begin the service now.

        Args:
            clock: where time comes from.
            publish: called with each result.
            on_events: called with what happens to objects.
        """
        self._clock = clock
        self._publish = publish
        self._on_events = on_events
        self._started_at = clock.wall()
        self._event_ids = EventIds(self._started_at)
        self._object_ids = EventIds(self._started_at)

    def encoder(self, config: Config, engine: LoadedModel) -> Encoder:
        """Return what encodes the messages."""
        return Encoder(
            config,
            model_name=engine.model.card.name,
            backend_name=engine.backend.name,
            started_at=self._started_at,
            event_ids=self._event_ids,
        )

    def build(self, config: Config, engine: LoadedModel, line_counts: Iterable[LineCount]) -> Parts:
        """Build the parts; counters of lines begin where an earlier run has left them.

        Raises:
            ConfigError: labels that the model lacks.
        """
        return self._assemble(config, engine, {}, line_counts)

    def rebuild(self, old: Parts, config: Config) -> Rebuilt:
        """Build what another configuration needs, beside what runs.

        A camera whose settings of detection, zones and lines are the same keeps its objects; those
        of the others end, once nothing can fail any more.

        Raises:
            ConfigError: labels that the model lacks; a key differs that only a restart can change.
            ModelError: the model cannot be used.
            BackendError: the engine cannot run it.
        """
        changes = changes_between(old.config, config)
        engine = load_engine(config) if changes.engine else old.engine
        make_detectors(engine.model, config)
        kept = {
            name: watcher
            for name, watcher in old.watchers.items()
            if name in config.cameras and watcher.settings == watch_settings(config, name)
        }
        for name in old.watchers.keys() - kept.keys():
            old.watchers[name].retire("reconfigured")
        counts = [count for watcher in old.watchers.values() for count in watcher.line_counts()]
        return Rebuilt(self._assemble(config, engine, kept, counts), changes)

    def _assemble(
        self,
        config: Config,
        engine: LoadedModel,
        kept: Mapping[str, Watcher],
        line_counts: Iterable[LineCount],
    ) -> Parts:
        watchers = make_watchers(
            config,
            new_id=self._object_ids.next,
            clock=self._clock,
            line_counts=tuple(line_counts),
            on_events=self._on_events,
            kept=kept,
        )
        pipeline = Pipeline(
            model=engine.model,
            backend=engine.backend,
            config=config,
            clock=self._clock,
            publish=self._publish,
            watchers=watchers,
        )
        return Parts(config, engine, watchers, pipeline)


def changes_between(old: Config, new: Config) -> Changes:
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
