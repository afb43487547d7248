"""What is retained at the broker: the last state of everything, re-encoded only when it changes.

Changes are what feeds it: a camera's state, events recorded for a camera, counters that were reset,
pictures, another configuration, a new connection. A turn in which nothing happened compares the
cameras' states and encodes nothing.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from edgevision import __version__
from edgevision.clock import SystemClock
from edgevision.daemon.uplink import Uplink, counter_values
from edgevision.events import DELIVERING, CameraState, EventIds, Occupancy
from edgevision.integrations import frigate
from edgevision.integrations.frigate import FrigateBridge
from edgevision.integrations.homeassistant import (
    decode_announced,
    discovery,
    encode_announced,
    labels_of,
    zone_labels_of,
)
from edgevision.mqtt.encoder import Encoder
from edgevision.mqtt.message import Message
from edgevision.mqtt.outbox_file import KeyValues
from edgevision.pipeline.camera_tracker import CameraTracker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from edgevision.config.settings import Config
    from edgevision.events import Event, LineCount, ObjectState, Reason
    from edgevision.mqtt.payloads import CameraStatus

log = logging.getLogger(__name__)

# Key of the entities announced to Home Assistant, so that those that no longer exist are removed.
ENTITIES_KEY = "homeassistant"
# Prefix of keys, with a topic on which something was retained: once it is no longer wanted it is
# removed, even after a restart.
TOPIC = "topic/"
# Value of such a key where the topic is the count of a label that no configuration names, but
# that was seen: its count stays and reads 0 after a restart.
SEEN = b"seen"


class CameraObjects(Protocol):
    """The objects of one camera, as far as state is concerned. Thread-safe."""

    def occupancy(self) -> tuple[Occupancy, ...]:
        """Return how many objects are where now."""

    def open_objects(self) -> tuple[ObjectState, ...]:
        """Return the objects that are published as new and have not ended."""

    def line_counts(self) -> tuple[LineCount, ...]:
        """Return how many times each line has been crossed; nothing before the first frame."""

    def reset_due(self, at_local: datetime, keep: Callable[[LineCount], None]) -> None:
        """Reset the counters whose `reset_at` has passed; `keep` gets each of them."""

    def close(self, reason: Reason) -> tuple[Event, ...]:
        """End every object."""


class ObservedCamera(Protocol):
    """A camera, as far as its state is concerned.

    Attributes:
        name: its name in the configuration.
        published_state: the state that was published last; None before.
    """

    name: str
    published_state: CameraState | None

    @property
    def enabled(self) -> bool:
        """Return whether it is read at all."""

    def state(self) -> CameraState:
        """Return what it is doing now."""

    def state_to_publish(self) -> CameraState:
        """Return the same, to be published, and keep it in `published_state`."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What the state is of.

    Attributes:
        config: the configuration in force.
        labels: the model's, without the background.
        model_name: name of the model.
        objects: the objects of each camera of the configuration.
    """

    config: Config
    labels: tuple[str, ...]
    model_name: str
    objects: Mapping[str, CameraObjects]


class RetainedState:
    """The only recorder of retained messages, so that nothing old can overtake what is newer.

    For the main thread. With it go Frigate's counts, which are published on change, not retained.

    Attributes:
        problems: what is wrong with the service, as text.
    """

    def __init__(self, values: Mapping[str, bytes]) -> None:
        """Start from what an earlier run has left at the broker."""
        self.problems: tuple[str, ...] = ()
        self._announced: tuple[str, ...] | None = None
        self._topics = RetainedTopics(values)
        self._entities = decode_announced(values.get(ENTITIES_KEY))
        # All that follows from one configuration; None before the first turn.
        self._config: Config | None = None
        self._frigate: FrigateBridge | None = None
        self._pictures: frozenset[str] = frozenset()
        self._resetting: tuple[str, ...] = ()
        # As last encoded: by camera, by (camera, zone, label), by (camera, line).
        self._statuses: dict[str, CameraStatus] = {}
        self._counts: dict[tuple[str, str | None, str], int] = {}
        self._lines: dict[tuple[str, str], LineCount] = {}
        # What may differ from it.
        self._statuses_changed = False
        self._changed: set[str] = set()
        # Cameras with lines, and how many: counting starts with the first frame, without an event.
        self._uncounted: dict[str, int] = {}

    def scene_changed(self, camera: str) -> None:
        """Check a camera's counts in the next turn: events were recorded or a line was reset."""
        self._changed.add(camera)

    def turn(
        self,
        uplink: Uplink,
        subject: Subject,
        cameras: Iterable[ObservedCamera],
        problems: tuple[str, ...],
        *,
        at_local: datetime,
        everything: bool,
    ) -> dict[str, CameraState]:
        """Publish what has changed, and everything after each connection: it may have been lost.

        Args:
            uplink: where to.
            subject: the configuration in force and the objects under it.
            cameras: all of the configuration.
            problems: what is wrong, besides what the outbox reports itself.
            at_local: the time of day where the cameras are, aware.
            everything: whether also what has not changed.

        Returns:
            The states of cameras that have changed, by the camera's name.
        """
        self._publish_service(uplink, problems, everything=everything)
        if subject.config is not self._config:
            self._configure(uplink, subject)
        changes = self._follow_cameras(uplink, subject, cameras)
        self._reset_lines(uplink, subject, at_local)
        self._publish(uplink, subject, online=True, everything=everything)
        return changes

    def publish_offline(
        self,
        uplink: Uplink,
        subject: Subject,
        cameras: Iterable[ObservedCamera],
        state: CameraState,
    ) -> None:
        """Publish that cameras are no longer read, and how many objects are left."""
        if subject.config is not self._config:
            self._configure(uplink, subject)
        for camera in cameras:
            if camera.enabled or camera.name not in self._statuses:
                self._set_status(uplink, camera.name, state if camera.enabled else camera.state())
        self._changed.update(subject.objects)
        self._statuses_changed = True
        self._publish(uplink, subject, online=False, everything=False)
        self._statuses_changed = True  # the service may continue under another prefix

    def _publish_service(
        self, uplink: Uplink, problems: tuple[str, ...], *, everything: bool
    ) -> None:
        """Publish that the service is online, and what is wrong with it."""
        for problem in problems:  # the outbox logs its own
            if problem not in self.problems:
                log.warning("%s", problem)
        self.problems = (*problems, *uplink.outbox.problems)
        if everything:
            self._announced = None
        if self.problems != self._announced and uplink.announce(self.problems):
            self._announced = self.problems

    def _configure(self, uplink: Uplink, subject: Subject) -> None:
        """Want exactly what there is under this configuration; statuses and counts follow."""
        config = self._config = subject.config
        encoder = uplink.encoder
        if self._frigate is not None:
            for message in self._frigate.farewell():
                uplink.telemetry(message)
        self._frigate = FrigateBridge(config, subject.labels)
        self._pictures = frozenset(_picture_topics(encoder, subject))
        uplink.pictures.keep_only(self._pictures)
        self._topics.hold(self._pictures, used=uplink.pictures.topics())
        self._resetting = tuple(
            name
            for name, camera in config.cameras.items()
            if any(line.reset_at is not None for line in camera.lines.values())
        )
        self._statuses, self._lines = {}, {}
        counts = [*_configured(subject), *self._seen_before(encoder, subject)]
        self._counts = {(each.camera, each.zone, each.label): 0 for each in counts}
        self._topics.want_only([*map(encoder.count, counts), *self._discovered(uplink, subject)])
        self._changed = set(subject.objects)
        self._uncounted = {
            name: len(camera.lines) for name, camera in config.cameras.items() if camera.lines
        }
        self._statuses_changed = True

    def _seen_before(self, encoder: Encoder, subject: Subject) -> Iterator[Occupancy]:
        """Yield the counts of labels that are not configured but were seen, in earlier runs too."""
        if self._topics.seen:
            for each in _possible(subject):
                topic = encoder.topics.count(each.camera, each.zone, each.label)
                if topic in self._topics.seen:
                    yield each

    def _follow_cameras(
        self, uplink: Uplink, subject: Subject, cameras: Iterable[ObservedCamera]
    ) -> dict[str, CameraState]:
        """Record each change of a camera's state; where frames have stopped, objects end."""
        changes: dict[str, CameraState] = {}
        for camera in cameras:
            last, state = camera.published_state, camera.state_to_publish()
            if state != last:
                changes[camera.name] = state
                if state.status not in DELIVERING:
                    subject.objects[camera.name].close("camera")
                    self._changed.add(camera.name)
                if camera.enabled:
                    uplink.camera_event(camera.name, state, last)
            if state != last or camera.name not in self._statuses:
                self._set_status(uplink, camera.name, state)
        return changes

    def _set_status(self, uplink: Uplink, camera: str, state: CameraState) -> None:
        self._topics.want(uplink.encoder.camera_status(camera, state))
        self._statuses[camera] = state.status
        self._statuses_changed = True

    def _reset_lines(self, uplink: Uplink, subject: Subject, at_local: datetime) -> None:
        """Reset the counters that are due."""

        def keep(count: LineCount) -> None:
            uplink.record(None, counter_values(count))
            self._changed.add(count.camera)
            log.info("camera %s: line %s starts from 0 again", count.camera, count.line)

        for name in self._resetting:
            subject.objects[name].reset_due(at_local, keep)

    def _publish(self, uplink: Uplink, subject: Subject, *, online: bool, everything: bool) -> None:
        for name, lines in [*self._uncounted.items()]:
            if len(subject.objects[name].line_counts()) == lines:
                del self._uncounted[name]
                self._changed.add(name)
        changed = self._changed & subject.objects.keys()
        self._changed = set()
        for name in changed:
            self._read_scene(uplink.encoder, subject.objects[name])
        self._read_pictures(uplink)
        self._publish_frigate(uplink, subject, changed, online=online, everything=everything)
        self._topics.publish(uplink.record, everything=everything)

    def _read_scene(self, encoder: Encoder, objects: CameraObjects) -> None:
        """Encode the counts of a camera that have changed."""
        for each in objects.occupancy():
            place = (each.camera, each.zone, each.label)
            before = self._counts.get(place)
            if before != each.count:
                self._counts[place] = each.count
                self._topics.want(encoder.count(each), seen=before is None)
        for count in objects.line_counts():
            line = (count.camera, count.line)
            if self._lines.get(line) != count:
                self._lines[line] = count
                self._topics.want(encoder.line_count(count))

    def _read_pictures(self, uplink: Uplink) -> None:
        """Record the topics that have received their first picture."""
        added = uplink.pictures.take_new_topics()
        if added:
            uplink.pictures.keep_only(self._pictures)
            self._topics.hold(self._pictures, used=added & self._pictures)

    def _publish_frigate(
        self,
        uplink: Uplink,
        subject: Subject,
        changed: set[str],
        *,
        online: bool,
        everything: bool,
    ) -> None:
        side, statuses = self._frigate, self._statuses
        if side is None or not (changed or everything or self._statuses_changed):
            return
        if self._statuses_changed:
            for message in side.retained(statuses, online=online):
                self._topics.want(message)
        self._statuses_changed = False
        objects = {name: subject.objects[name].open_objects() for name in changed}
        for message in side.passing(statuses, objects, everything=everything):
            uplink.telemetry(message)

    def _discovered(self, uplink: Uplink, subject: Subject) -> Iterator[Message]:
        """Yield what announces the board and its cameras to Home Assistant."""
        found = discovery(
            subject.config,
            subject.labels,
            version=__version__,
            model_name=subject.model_name,
            previous=self._entities,
        )
        self._entities = found.announced
        uplink.record(None, {ENTITIES_KEY: encode_announced(found.announced)})
        if found.left_out:
            log.warning(
                "Home Assistant: %d entities exceed the limit and are left out; list the "
                "labels you need in homeassistant.labels",
                found.left_out,
            )
        # An empty one removes a device, which `RetainedTopics` does itself.
        yield from (message for message in found.messages if message.payload)


class RecordMessage(Protocol):
    """Takes messages that must not be lost."""

    def __call__(self, message: Message | None, values: Mapping[str, bytes | None], /) -> None:
        """Store a message, if there is one, together with key-values."""
        ...


class RetainedTopics:
    """Retained messages by topic: recorded when they change, all of them after a connection.

    Attributes:
        seen: topics of counts that are not configured but were seen once, in this run or before.
    """

    def __init__(self, values: Mapping[str, bytes]) -> None:
        """Start with the topics of earlier runs; nothing is wanted yet."""
        self._known = {key.removeprefix(TOPIC) for key in values if key.startswith(TOPIC)}
        self.seen = {topic for topic in self._known if values[TOPIC + topic] == SEEN}
        self._wanted: dict[str, Message] = {}
        self._published: dict[str, bytes] = {}
        self._held: frozenset[str] = frozenset()
        self._used: set[str] = set()
        # Topics to look at in the next `publish`, in order; and whether some may be stale.
        self._due: dict[str, None] = {}
        self._removals_due = True

    def want(self, message: Message, *, seen: bool = False) -> None:
        """Keep this message, in place of another on its topic.

        Args:
            message: what is to be retained.
            seen: whether it counts a label that no configuration names.
        """
        self._wanted[message.topic] = message
        self._due[message.topic] = None
        if seen:
            self.seen.add(message.topic)

    def want_only(self, messages: Iterable[Message]) -> None:
        """Keep these and nothing else: what is left out is removed."""
        self._wanted = {message.topic: message for message in messages}
        self._due = dict.fromkeys(self._wanted)
        self._removals_due = True

    def hold(self, topics: frozenset[str], used: Iterable[str]) -> None:
        """Leave topics alone that others publish on, until they are no longer held.

        Args:
            topics: all that may be published on.
            used: those that were, since the last call.
        """
        self._removals_due |= topics is not self._held
        self._held = topics
        self._used.update(used)

    def publish(self, record: RecordMessage, *, everything: bool) -> None:
        """Record what differs from what was recorded last, or everything; remove the rest."""
        for topic in self._wanted if everything else self._due:
            message = self._wanted[topic]
            if everything or self._published.get(topic) != message.payload:
                value = SEEN if topic in self.seen else b""
                record(message, {} if topic in self._known else {TOPIC + topic: value})
                self._published[topic] = message.payload
                self._known.add(topic)
        self._due = {}
        for topic in self._used - self._known:
            record(None, {TOPIC + topic: b""})
            self._known.add(topic)
        self._used = set()
        if self._removals_due:
            self._remove(record)
            self._removals_due = False

    def _remove(self, record: RecordMessage) -> None:
        for topic in sorted(self._known - self._wanted.keys() - self._held):
            record(Message(topic, b"", qos=1, retain=True), {TOPIC + topic: None})
            self._known.discard(topic)
            self.seen.discard(topic)
            self._published.pop(topic, None)


@dataclass(frozen=True, slots=True)
class IdleTurn:
    """What a turn of `RetainedState` costs while nothing happens.

    Attributes:
        first_ms: duration of the first turn, which encodes everything.
        idle_ms: mean duration of the turns after it.
        first_messages: how many messages the first turn recorded.
        idle_messages: how many all the turns after it recorded.
        values: how many key-values are stored for it all.
        refused_values: how many exceeded the bounds.
    """

    first_ms: float
    idle_ms: float
    first_messages: int
    idle_messages: int
    values: int
    refused_values: int


def measure_idle_turn(
    folder: Path, config: Config, labels: Sequence[str], *, turns: int = 100
) -> IdleTurn:
    """Return what idle turns cost under a configuration; no camera is read, no broker needed.

    Args:
        folder: an existing folder, where an outbox is created.
        config: the cameras.
        labels: the model's, without the background.
        turns: over how many the mean is taken.
    """
    clock = SystemClock()
    at = clock.wall()
    ids = EventIds(at)
    encoder = Encoder(config, model_name="m", backend_name="b", started_at=at, event_ids=ids)
    uplink = _RecordingUplink(
        config,
        encoder,
        folder=folder,
        clock=clock,
        on_connected=lambda: None,
        on_request=lambda _message: None,
    )
    objects = {
        name: CameraTracker(name, config, new_id=ids.next, clock=clock) for name in config.cameras
    }
    subject = Subject(config, tuple(labels), "m", objects)
    starting = CameraState("offline", "starting", at)
    cameras = [_StillCamera(name, starting) for name in config.cameras]
    state = RetainedState({})

    def turn() -> None:
        state.turn(uplink, subject, cameras, (), at_local=at, everything=False)

    begin_ns = clock.monotonic_ns()
    turn()
    first_ns, first = clock.monotonic_ns(), uplink.recorded
    for _ in range(turns):
        turn()
    idle_ns = clock.monotonic_ns() - first_ns
    return IdleTurn(
        first_ms=(first_ns - begin_ns) / 1e6,
        idle_ms=idle_ns / 1e6 / turns,
        first_messages=first,
        idle_messages=uplink.recorded - first,
        values=len(uplink.kept.values),
        refused_values=uplink.kept.refused,
    )


def _configured(subject: Subject) -> Iterator[Occupancy]:
    """Yield a 0 for each count that is published from the start.

    Those of the labels that detection or a zone name, and those that have an entity in Home
    Assistant, which reads unknown until there is a message. Of a large model's other labels there
    is a count once an object was seen: 80 zeros for each zone would be of no use.
    """
    config = subject.config
    for name, camera in config.cameras.items():
        named = config.detection_of(name).labels or ()
        entities = labels_of(config, name, subject.labels) if config.homeassistant.enabled else ()
        for label in dict.fromkeys((*named, *entities)):
            yield Occupancy(name, None, label, 0)
        for zone, own in camera.zones.items():
            entities = (
                zone_labels_of(config, name, zone, subject.labels)
                if config.homeassistant.enabled
                else ()
            )
            for label in dict.fromkeys((*(own.labels or named), *entities)):
                yield Occupancy(name, zone, label, 0)


def _possible(subject: Subject) -> Iterator[Occupancy]:
    """Yield a 0 for each count that there may ever be under this configuration."""
    config = subject.config
    for name, camera in config.cameras.items():
        labels = config.detection_of(name).labels or subject.labels
        for zone in (None, *camera.zones):
            own = labels if zone is None else camera.zones[zone].labels or labels
            yield from (Occupancy(name, zone, label, 0) for label in own)


def _picture_topics(encoder: Encoder, subject: Subject) -> Iterator[str]:
    """Yield every topic on which there may be a picture."""
    config, topics = subject.config, encoder.topics
    for camera in config.cameras:
        yield topics.snapshot(camera, None)
        if config.snapshots.enabled:
            for label in subject.labels:
                yield topics.snapshot(camera, label)
                if config.frigate_compat:
                    yield frigate.snapshot(camera, label, b"").topic


@dataclass
class _StillCamera:
    """A camera whose state stays the same."""

    name: str
    is_in: CameraState
    published_state: CameraState | None = None
    enabled: bool = True

    def state(self) -> CameraState:
        return self.is_in

    def state_to_publish(self) -> CameraState:
        self.published_state = self.is_in
        return self.is_in


class _RecordingUplink(Uplink):
    """An MQTT link that counts what is recorded and sends nothing."""

    recorded = 0

    def record(self, message: Message | None, values: Mapping[str, bytes | None]) -> None:
        self.recorded += message is not None
        self.kept.take(values)

    @cached_property
    def kept(self) -> KeyValues:
        return KeyValues()
