"""What one configuration needs: engine, pipeline, and the objects of each camera."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgevision.service.changes import compare
from edgevision.service.engine import load_engine
from edgevision.service.objectwriter import ObjectWriter
from edgevision.service.pipeline import Pipeline, make_detectors
from edgevision.service.watcher import make_watchers, watch_settings
from edgevision.service.writer import EventIds, MessageWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from edgevision.clock import Clock
    from edgevision.config import Config
    from edgevision.records import FrameResult
    from edgevision.service.changes import Changes
    from edgevision.service.engine import Engine
    from edgevision.service.watcher import OnEvents, Watcher
    from edgevision.tracks import LineCount


@dataclass(frozen=True, slots=True)
class Parts:
    """What works under one configuration."""

    config: Config
    engine: Engine
    watchers: Mapping[str, Watcher]
    pipeline: Pipeline


@dataclass(frozen=True, slots=True)
class Writers:
    """What writes the messages of one configuration."""

    service: MessageWriter
    objects: ObjectWriter


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

    def writers(self, config: Config, engine: Engine) -> Writers:
        """Return what writes the messages."""
        service = MessageWriter(
            config,
            model_name=engine.model.card.name,
            backend_name=engine.backend.name,
            started_at=self._started_at,
            event_ids=self._event_ids,
        )
        return Writers(service, ObjectWriter(config, self._event_ids))

    def build(self, config: Config, engine: Engine, line_counts: Iterable[LineCount]) -> Parts:
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
        changes = compare(old.config, config)
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
        engine: Engine,
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
