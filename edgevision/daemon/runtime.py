"""What runs under one configuration: the loaded model and a pipeline for each camera."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgevision.errors import RestartError
from edgevision.events import EventIds
from edgevision.inference.backend import load_engine
from edgevision.mqtt.encoder import Encoder
from edgevision.pipeline.camera_pipeline import CameraPipeline, check_labels
from edgevision.pipeline.camera_tracker import CameraTracker, tracking_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from edgevision.clock import Clock
    from edgevision.config.settings import Config
    from edgevision.events import Event, LineCount
    from edgevision.inference.backend import LoadedModel

# What cannot be exchanged while the service runs.
_FIXED = ("state_folder",)
# What is made of a camera's frames; the reader of the camera does not depend on it.
_SCENE = frozenset({"detection", "zones", "lines", "masks", "motion", "regions"})


class Session:
    """What stays the same for as long as the service runs: its clock, its start, its ids."""

    def __init__(
        self,
        clock: Clock,
        on_events: Callable[[str, Sequence[Event], Sequence[LineCount]], None],
    ) -> None:
        """Start the session now.

        Args:
            clock: where time comes from.
            on_events: called with a camera, what happened to its objects, in order, and the
                counters of its lines; on any thread.
        """
        self.clock = clock
        self.on_events = on_events
        self.started_at: datetime = clock.wall()
        self.event_ids = EventIds(self.started_at)
        self.object_ids = EventIds(self.started_at)


def make_encoder(config: Config, loaded: LoadedModel, session: Session) -> Encoder:
    """Return what encodes the messages of a configuration."""
    return Encoder(
        config,
        model_name=loaded.model.card.name,
        backend_name=loaded.backend.name,
        started_at=session.started_at,
        event_ids=session.event_ids,
    )


@dataclass(frozen=True, slots=True)
class Runtime:
    """What runs under one configuration.

    Attributes:
        config: the configuration in force.
        loaded: the model and the backend that has loaded it.
        pipelines: by the camera's name.
        session: what all runtimes of this service share.
    """

    config: Config
    loaded: LoadedModel
    pipelines: Mapping[str, CameraPipeline]
    session: Session

    @classmethod
    def build(
        cls,
        config: Config,
        loaded: LoadedModel,
        session: Session,
        line_counts: Iterable[LineCount],
    ) -> Runtime:
        """Build everything; counters of lines start where an earlier run has left them.

        Raises:
            ConfigError: labels that the model lacks.
        """
        check_labels(loaded.model, config)
        return cls(config, loaded, _pipelines(config, loaded, session, {}, line_counts), session)

    def replaced(self, config: Config) -> Runtime:
        """Build what another configuration needs, beside what runs.

        A camera whose settings of detection, zones and lines are the same keeps its objects; those
        of the others end, once nothing can fail any more.

        Raises:
            ConfigError: labels that the model lacks; a key differs that only a restart can change.
            ModelError: the model cannot be used.
            BackendError: the engine cannot run it.
        """
        loaded = load_engine(config) if changes_between(self.config, config).engine else self.loaded
        check_labels(loaded.model, config)
        kept = {
            name: pipeline.tracker
            for name, pipeline in self.pipelines.items()
            if name in config.cameras
            and pipeline.tracker.settings == tracking_settings(config, name)
        }
        for name in self.pipelines.keys() - kept.keys():
            self.pipelines[name].tracker.retire("reconfigured")
        counts = [
            count
            for pipeline in self.pipelines.values()
            for count in pipeline.tracker.line_counts()
        ]
        pipelines = _pipelines(config, loaded, self.session, kept, counts)
        return replace(self, config=config, loaded=loaded, pipelines=pipelines)

    @property
    def trackers(self) -> Mapping[str, CameraTracker]:
        """Return the tracker of each camera, by the camera's name."""
        return {name: pipeline.tracker for name, pipeline in self.pipelines.items()}


def _pipelines(
    config: Config,
    loaded: LoadedModel,
    session: Session,
    kept: Mapping[str, CameraTracker],
    line_counts: Iterable[LineCount],
) -> dict[str, CameraPipeline]:
    counts = tuple(line_counts)

    def tracker(name: str) -> CameraTracker:
        return kept.get(name) or CameraTracker(
            name,
            config,
            new_id=session.object_ids.next,
            clock=session.clock,
            line_counts=counts,
            on_events=session.on_events,
        )

    return {
        name: CameraPipeline(name, config, loaded, tracker(name), clock=session.clock)
        for name in config.cameras
    }


@dataclass(frozen=True, slots=True)
class Changes:
    """What a new configuration needs to be built again.

    Attributes:
        engine: model, backend or its settings: the network is loaded again.
        uplink: broker, topics or the outbox's bounds: the connection is made again.
        cameras: names of cameras to start, stop or replace.
    """

    engine: bool
    uplink: bool
    cameras: frozenset[str]


def changes_between(old: Config, new: Config) -> Changes:
    """Return what changes. A camera continues if only the processing of its frames differs.

    Raises:
        RestartError: a key differs that only a restart can change.
    """
    fixed = [
        f"{key}: expected no change, got a new value; apply it with: systemctl restart edgevision"
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
