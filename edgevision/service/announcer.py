"""Says how things are: what has changed, and after each connection everything."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from edgevision import __version__
from edgevision.capture.reader import DELIVERING
from edgevision.labels import known_labels
from edgevision.messaging import frigate
from edgevision.messaging.homeassistant import decode_announced, discovery, encode_announced
from edgevision.service.frigateside import FrigateSide
from edgevision.service.linecounts import count_notes
from edgevision.service.retained import Retained
from edgevision.tracks import Occupancy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from edgevision.capture.reader import CameraState
    from edgevision.config import Config
    from edgevision.messaging.message import Message
    from edgevision.messaging.payload import CameraStatus
    from edgevision.service.cameras import Camera
    from edgevision.service.parts import Parts, Writers
    from edgevision.service.uplink import Uplink
    from edgevision.tracks import LineCount

log = logging.getLogger(__name__)

# Which entities Home Assistant has been told of, so that those that have gone are taken back.
ENTITIES_NOTE = "homeassistant"


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
        self._frigate: tuple[Config, FrigateSide] | None = None
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
                message = uplink.writers.service.camera_status(camera.name, state)
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
                *_counts(uplink.writers, parts),
                *side.retained(states, online=self._online),
                *self._discovered(uplink, parts),
            ]
        )
        topics = frozenset(_picture_topics(uplink.writers, parts))
        uplink.pictures.keep_only(topics)
        self._retained.hold(topics, used=uplink.pictures.topics())
        self._retained.tell(uplink.record, everything=everything)
        for message in side.passing(states, parts.watchers, everything=everything):
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
        writer = uplink.writers.service
        for camera in cameras:
            if camera.enabled:
                message = writer.camera_status(camera.name, state)
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

    def _frigate_side(self, uplink: Uplink, parts: Parts) -> FrigateSide:
        if self._frigate is not None:
            config, side = self._frigate
            if config is parts.config:
                return side
            for message in side.farewell():
                uplink.telemetry(message)
        side = FrigateSide(parts.config, known_labels(parts.engine.model))
        self._frigate = parts.config, side
        return side


def _counts(writers: Writers, parts: Parts) -> Iterator[Message]:
    """Yield the present count of every label that a camera looks for, and of every line."""
    for name, watcher in parts.watchers.items():
        found = {(each.zone, each.label): each for each in watcher.occupancy()}
        for zone, label in _expected(parts, name):
            found.setdefault((zone, label), Occupancy(name, zone, label, 0))
        yield from map(writers.objects.count, found.values())
        yield from map(writers.objects.line_count, watcher.line_counts())


def _expected(parts: Parts, camera: str) -> Iterator[tuple[str | None, str]]:
    """Yield zone and label of every count that there may be; None is the whole picture."""
    labels = parts.config.detection_of(camera).labels or known_labels(parts.engine.model)
    yield from ((None, label) for label in labels)
    for name, zone in parts.config.cameras[camera].zones.items():
        yield from ((name, label) for label in labels if label in (zone.labels or labels))


def _picture_topics(writers: Writers, parts: Parts) -> Iterator[str]:
    """Yield every topic on which there may be a picture."""
    config, topics = parts.config, writers.objects.topics
    for camera in config.cameras:
        yield topics.snapshot(camera, None)
        if config.snapshots.enabled:
            for label in known_labels(parts.engine.model):
                yield topics.snapshot(camera, label)
                if config.frigate_compat:
                    yield frigate.snapshot(camera, label, b"").topic
