"""Says how things are: what has changed, and after each connection everything."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from edgevision import __version__
from edgevision.daemon.uplink import count_notes
from edgevision.events import DELIVERING, Occupancy
from edgevision.integrations import frigate
from edgevision.integrations.frigate import FrigateBridge
from edgevision.integrations.homeassistant import decode_announced, discovery, encode_announced
from edgevision.model_card import known_labels
from edgevision.mqtt.message import Message

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from edgevision.config.settings import Config
    from edgevision.daemon.runtime import Parts
    from edgevision.daemon.uplink import Uplink
    from edgevision.events import CameraState, LineCount
    from edgevision.mqtt.encoder import Encoder
    from edgevision.mqtt.payloads import CameraStatus
    from edgevision.pipeline.cameras import Camera

log = logging.getLogger(__name__)

# Which entities Home Assistant has been told of, so that those that have gone are taken back.
ENTITIES_NOTE = "homeassistant"

# Notes that a topic has been used; what is no longer wanted is taken back, also after a restart.
NOTE = "topic/"


class Announcer:
    """The only one to record what is retained, so that nothing old can overtake what is new.

    Attributes:
        problems: what is wrong with the service, in words.
    """

    def __init__(self, notes: Mapping[str, bytes]) -> None:
        """Begin with what an earlier run has left at the broker."""
        self.problems: tuple[str, ...] = ()
        self._announced: tuple[str, ...] | None = None
        self._retained = Retained(notes)
        self._statuses: dict[str, tuple[CameraStatus, Message]] = {}
        self._online = True
        self._frigate: tuple[Config, FrigateBridge] | None = None
        self._entities = decode_announced(notes.get(ENTITIES_NOTE))
        self._discovery: tuple[Config, tuple[Message, ...]] | None = None

    def service(self, uplink: Uplink, problems: tuple[str, ...], *, everything: bool) -> None:
        """Say that the service is online, and what is wrong with it."""
        for problem in problems:  # the outbox logs its own
            if problem not in self.problems:
                log.warning("%s", problem)
        self.problems = (*problems, *uplink.outbox.problems)
        if everything:
            self._announced = None
        if self.problems != self._announced and uplink.announce(self.problems):
            self._announced = self.problems

    def cameras(
        self, uplink: Uplink, parts: Parts, cameras: Iterable[Camera], *, everything: bool
    ) -> None:
        """Say what each camera does now; where no frame comes any more, its objects end."""
        statuses: dict[str, tuple[CameraStatus, Message]] = {}
        for camera in cameras:
            last, state = camera.told, camera.tell()
            changed = state != last
            if changed and state.status not in DELIVERING:
                parts.watchers[camera.name].close("camera")
            if changed and camera.enabled:
                uplink.camera_event(camera.name, state, last)
            if changed or everything or camera.name not in self._statuses:
                message = uplink.encoder.camera_status(camera.name, state)
                statuses[camera.name] = state.status, message
            else:
                statuses[camera.name] = self._statuses[camera.name]
        self._statuses = statuses

    def scenes(self, uplink: Uplink, parts: Parts, *, everything: bool) -> None:
        """Say how many objects are where, and what lines have counted; take back what has gone."""
        side = self._frigate_side(uplink, parts)
        states = {name: status for name, (status, _) in self._statuses.items()}
        self._retained.want_only(
            [
                *(message for _, message in self._statuses.values()),
                *_counts(uplink.encoder, parts),
                *side.retained(states, online=self._online),
                *self._discovered(uplink, parts),
            ]
        )
        topics = frozenset(_picture_topics(uplink.encoder, parts))
        uplink.pictures.keep_only(topics)
        self._retained.hold(topics, used=uplink.pictures.topics())
        self._retained.tell(uplink.record, everything=everything)
        objects = {name: watcher.open_objects() for name, watcher in parts.watchers.items()}
        for message in side.passing(states, objects, everything=everything):
            uplink.telemetry(message)

    def reset_lines(self, uplink: Uplink, parts: Parts, at_local: datetime) -> None:
        """Begin to count anew where it is the hour for it."""

        def keep(count: LineCount) -> None:
            uplink.record(None, count_notes(count))
            log.info("camera %s: counters of line %s begin again", count.camera, count.line)

        for watcher in parts.watchers.values():
            watcher.reset_due(at_local, keep)

    def good_bye(
        self, uplink: Uplink, parts: Parts, cameras: Iterable[Camera], state: CameraState
    ) -> None:
        """Say that no camera is read any more, and how many objects are left."""
        encoder = uplink.encoder
        for camera in cameras:
            if camera.enabled:
                message = encoder.camera_status(camera.name, state)
                self._statuses[camera.name] = state.status, message
        self._online = False
        self.scenes(uplink, parts, everything=False)
        self._online = True  # under another prefix, if this was not the end

    def _discovered(self, uplink: Uplink, parts: Parts) -> tuple[Message, ...]:
        """Return what Home Assistant is told; written anew for each configuration."""
        if self._discovery is None or self._discovery[0] is not parts.config:
            model = parts.engine.model
            found = discovery(
                parts.config,
                known_labels(model),
                version=__version__,
                model_name=model.card.name,
                previous=self._entities,
            )
            self._entities = found.announced
            uplink.record(None, {ENTITIES_NOTE: encode_announced(found.announced)})
            if found.left_out:
                log.warning(
                    "Home Assistant: %d entities do not fit and are left out; name the "
                    "labels you need: homeassistant.labels",
                    found.left_out,
                )
            # What is empty takes back; `Retained` does that itself.
            self._discovery = parts.config, tuple(m for m in found.messages if m.payload)
        return self._discovery[1]

    def _frigate_side(self, uplink: Uplink, parts: Parts) -> FrigateBridge:
        if self._frigate is not None:
            config, side = self._frigate
            if config is parts.config:
                return side
            for message in side.farewell():
                uplink.telemetry(message)
        side = FrigateBridge(parts.config, known_labels(parts.engine.model))
        self._frigate = parts.config, side
        return side


def _counts(encoder: Encoder, parts: Parts) -> Iterator[Message]:
    """Yield the present count of every label that a camera looks for, and of every line."""
    for name, watcher in parts.watchers.items():
        found = {(each.zone, each.label): each for each in watcher.occupancy()}
        for zone, label in _expected(parts, name):
            found.setdefault((zone, label), Occupancy(name, zone, label, 0))
        yield from map(encoder.count, found.values())
        yield from map(encoder.line_count, watcher.line_counts())


def _expected(parts: Parts, camera: str) -> Iterator[tuple[str | None, str]]:
    """Yield zone and label of every count that there may be; None is the whole picture."""
    labels = parts.config.detection_of(camera).labels or known_labels(parts.engine.model)
    yield from ((None, label) for label in labels)
    for name, zone in parts.config.cameras[camera].zones.items():
        yield from ((name, label) for label in labels if label in (zone.labels or labels))


def _picture_topics(encoder: Encoder, parts: Parts) -> Iterator[str]:
    """Yield every topic on which there may be a picture."""
    config, topics = parts.config, encoder.topics
    for camera in config.cameras:
        yield topics.snapshot(camera, None)
        if config.snapshots.enabled:
            for label in known_labels(parts.engine.model):
                yield topics.snapshot(camera, label)
                if config.frigate_compat:
                    yield frigate.snapshot(camera, label, b"").topic


# FOLDED:
# What is retained at the broker: the last state of everything, and nothing of what has gone.


class RecordMessage(Protocol):
    """Where messages go that must not be lost."""

    def __call__(self, message: Message | None, notes: Mapping[str, bytes | None], /) -> None:
        """Store a message, if there is one, together with notes."""
        ...


class Retained:
    """Retained messages by topic: recorded when they change, all of them after a connection."""

    def __init__(self, notes: Mapping[str, bytes]) -> None:
        """Begin with the topics of earlier runs; nothing is wanted yet."""
        self._known = {key.removeprefix(NOTE) for key in notes if key.startswith(NOTE)}
        self._wanted: dict[str, Message] = {}
        self._told: dict[str, bytes] = {}
        self._held: frozenset[str] = frozenset()
        self._used: frozenset[str] = frozenset()

    def want_only(self, messages: Iterable[Message]) -> None:
        """Keep these and nothing else: what is left out is taken back."""
        self._wanted = {message.topic: message for message in messages}

    def hold(self, topics: frozenset[str], used: frozenset[str]) -> None:
        """Leave topics alone that somebody else writes, until they are no longer held.

        Args:
            topics: all that may be written.
            used: those that have been, in this run.
        """
        self._held = topics
        self._used = used

    def tell(self, record: RecordMessage, *, everything: bool) -> None:
        """Record what differs from what was told last, or everything; take back the rest."""
        for topic, message in self._wanted.items():
            if everything or self._told.get(topic) != message.payload:
                record(message, {} if topic in self._known else {NOTE + topic: b""})
                self._told[topic] = message.payload
                self._known.add(topic)
        for topic in self._used - self._known:
            record(None, {NOTE + topic: b""})
            self._known.add(topic)
        for topic in sorted(self._known - self._wanted.keys() - self._held):
            record(Message(topic, b"", qos=1, retain=True), {NOTE + topic: None})
            self._known.discard(topic)
            self._told.pop(topic, None)
