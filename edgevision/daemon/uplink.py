"""The MQTT link: one connection to the broker, telemetry straight over it, facts by the outbox.

Also what goes through it in its own form: pictures, kept in memory until they are sent, and the
outbox's key-values, which are stored in one transaction with the messages they belong to. Two
kinds are written here: messages that the next start publishes if this run is interrupted, and the
counters of lines, which survive a restart.
"""

from __future__ import annotations

import json
import logging
import threading
import zlib
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeGuard

from edgevision.detection.snapshot import snapshot
from edgevision.events import LineCount, LineEvent, ObjectEvent
from edgevision.frames import DetectedObject
from edgevision.integrations import frigate
from edgevision.integrations.homeassistant import BIRTH_TOPIC
from edgevision.mqtt.client import MqttClient
from edgevision.mqtt.encoder import interrupted
from edgevision.mqtt.message import Message, is_topic
from edgevision.mqtt.outbox import Outbox
from edgevision.mqtt.publisher import Publisher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from edgevision.clock import Clock
    from edgevision.config.settings import Config
    from edgevision.events import CameraState, Event
    from edgevision.frames import Frame, FrameResult
    from edgevision.mqtt.encoder import Encoder
    from edgevision.mqtt.message import Topics
    from edgevision.mqtt.publisher import OutboxFigures

log = logging.getLogger(__name__)

OUTBOX_FILE = "outbox.sqlite"
# Of pictures in memory, topics and payloads together.
MAX_BYTES = 16 << 20

# Prefixes of keys. With the id of an object that has not ended: its `end`, in case this run is
# interrupted; with camera and line: the line's counter.
OPEN = "open/"
COUNTER = "line/"
# Of the line of JSON before the payload in a stored message.
_LONGEST_HEAD = 1 << 18


class Uplink:
    """The MQTT link of one configuration: the connection to its broker, and the outbox behind it.

    Attributes:
        encoder: encodes the messages.
        pictures: those that were taken, as long as they may be sent again.
    """

    def __init__(
        self,
        config: Config,
        encoder: Encoder,
        *,
        folder: Path,
        clock: Clock,
        on_connected: Callable[[], None],
        on_request: Callable[[Message], None],
    ) -> None:
        """Open the outbox and prepare; `start` connects.

        Args:
            config: the broker and the outbox's bounds.
            encoder: encodes the messages.
            folder: where the outbox is.
            clock: where stamps come from.
            on_connected: called on the network thread after each connection, and when Home
                Assistant has started: everything is to be published again.
            on_request: called on the network thread with each request.

        Raises:
            ConfigError: a certificate or the password cannot be read.
        """
        self.pictures = Pictures()
        self.use(config, encoder)
        outbox = Outbox(folder / OUTBOX_FILE, config.outbox, clock=clock)
        self._publisher = Publisher(outbox, clock=clock)
        self._client = MqttClient(
            config.mqtt,
            client_id=config.mqtt.client_id or f"edgevision-{config.device}",
            will=encoder.offline("connection lost"),
            on_connected=on_connected,
            subscribe=list(subscriptions(config, encoder.topics)),
            retained=False,
            on_message=self._arrived,
            on_news=self._publisher.wake,
        )
        self._on_connected, self._on_request = on_connected, on_request
        self._lost = 0

    @property
    def broker(self) -> str:
        """Return the broker as host:port."""
        return self._client.address

    @property
    def connected(self) -> bool:
        """Return whether the broker has accepted the present connection."""
        return self._client.connected

    @property
    def reconnects(self) -> int:
        """Return how many times the connection was made again."""
        return self._client.reconnects

    @property
    def lost(self) -> int:
        """Return how many telemetry messages were not sent: the broker was away or too slow."""
        return self._lost

    @property
    def outbox(self) -> OutboxFigures:
        """Return the figures of the outbox."""
        return self._publisher.figures

    def healthy(self, now_ns: int) -> bool:
        """Return whether the publisher drains, or knows that the broker is away."""
        return self._publisher.healthy(now_ns)

    def use(self, config: Config, encoder: Encoder) -> None:
        """Encode by another configuration of the same broker and topics."""
        self.encoder = encoder
        self._snapshots = config.snapshots
        self._frigate = config.frigate_compat

    def start(self) -> None:
        """Start to store, to connect and to send."""
        self._publisher.start(self._client)
        self._client.start()

    def stop(self, reason: str, timeout_s: float) -> None:
        """Store everything recorded on the disk, publish `offline` and disconnect.

        Half of the time is for sending what the outbox holds.
        """
        self._publisher.stop(timeout_s / 2)
        self._client.stop(last=self.encoder.offline(reason), timeout_s=timeout_s / 2)

    def announce(self, problems: tuple[str, ...]) -> bool:
        """Publish that the service is online, with its present problems; False if not taken."""
        return self._client.send(self.encoder.online(problems))

    def detections(self, result: FrameResult) -> bool:
        """Publish one frame's detections; False if they were not taken."""
        return self._client.send(self.encoder.detections(result))

    def stored_values(self) -> dict[str, bytes]:
        """Return the stored key-values; call it before `start`."""
        return self._publisher.stored_values()

    def record(self, message: Message | None, values: Mapping[str, bytes | None]) -> None:
        """Store what must not be lost, a message together with key-values, and send it."""
        self._publisher.record(message, values)

    def camera_event(self, camera: str, state: CameraState, previous: CameraState | None) -> None:
        """Record that a camera's state has changed: each change counts."""
        self._publisher.record(self.encoder.camera_event(camera, state, previous))

    def record_event(self, event: Event, line_counts: Iterable[LineCount]) -> None:
        """Record what has happened to an object.

        Stored with it are its `end`, which the next start publishes if this run is interrupted,
        and the counter of a line that was crossed.
        """
        values: dict[str, bytes | None] = {}
        if isinstance(event, ObjectEvent):
            closing = self.encoder.closing(event.after)
            values[OPEN + event.after.id] = None if event.kind == "end" else value_of(closing)
        elif isinstance(event, LineEvent):
            for count in line_counts:
                if count.line == event.line:
                    values.update(counter_values(count))
        self._publisher.record(self.encoder.event(event), values)
        if self._frigate and isinstance(event, ObjectEvent):
            self._record_for_frigate(event)

    def take_picture(self, event: Event, frame: Frame) -> None:
        """Keep a picture of an object for its topics, when this frame shows it best so far.

        Call it once all events of the frame are recorded, and without a lock: cutting and encoding
        take milliseconds. Does not raise: a picture that fails is logged once and counted.
        """
        if not (self._snapshots.enabled and _is_best_view(event)):
            return
        state = event.after
        found = DetectedObject(state.label, state.score, state.box_frac)
        try:
            jpeg = snapshot(frame.image, found, self._snapshots)
        except Exception:  # whatever is wrong with the image, its events are recorded
            if not self.pictures.failed:
                text = "camera %s: no picture could be made of a %s"
                log.exception(text, state.camera, state.label)
            self.pictures.failed += 1
            return
        self.pictures.add(self.encoder.snapshot(state.camera, state.label, jpeg))
        if self._frigate:
            self.pictures.add(frigate.snapshot(state.camera, state.label, jpeg))

    def _record_for_frigate(self, event: ObjectEvent) -> None:
        """Record the event as Frigate publishes it, with its own `end` for the next start."""
        snapshots, state = self._snapshots.enabled, event.after
        closing = interrupted(state)
        value = (
            None if event.kind == "end" else value_of(frigate.event(closing, snapshots=snapshots))
        )
        message = frigate.event(event, snapshots=snapshots)
        self._publisher.record(message, {f"{OPEN}{state.id}/frigate": value})

    def answer(self, response: Message) -> bool:
        """Publish a response; False if it was not taken."""
        return self._client.send(response)

    def send_pictures(self, *, again: bool) -> None:
        """Send the pictures that wait, or all of them again."""
        if again:
            self.pictures.send_again()
        self.pictures.send(self._client.send)

    def telemetry(self, message: Message) -> None:
        """Publish what is soon out of date; counted as lost if the connection does not take it."""
        if not self._client.send(message):
            self._lost += 1

    def _arrived(self, message: Message) -> None:
        if message.topic != BIRTH_TOPIC:
            self._on_request(message)
        elif message.payload == b"online":
            self._on_connected()


class Pictures:
    """Retained pictures in memory: the newest of each topic, sent again after each connection.

    Any thread adds, the main thread sends.

    Attributes:
        dropped: pictures that were never sent, because more than `MAX_BYTES` waited.
        failed: pictures that could not be made.
    """

    def __init__(self) -> None:
        """Start without any."""
        self.dropped = 0
        self.failed = 0
        self._lock = threading.Lock()
        self._newest: dict[str, Message] = {}
        self._waiting: set[str] = set()
        self._new_topics: set[str] = set()
        self._bytes = 0

    def take_new_topics(self) -> frozenset[str]:
        """Return the topics that got a picture where there was none, since the last call."""
        with self._lock:
            new, self._new_topics = frozenset(self._new_topics), set()
        return new

    def topics(self) -> frozenset[str]:
        """Return the topics on which there are pictures."""
        with self._lock:
            return frozenset(self._newest)

    def add(self, picture: Message) -> None:
        """Keep a picture in place of its topic's former one; drop the oldest beyond `MAX_BYTES`."""
        with self._lock:
            if picture.topic not in self._newest:
                self._new_topics.add(picture.topic)
            self._remove(picture.topic)
            self._newest[picture.topic] = picture
            self._waiting.add(picture.topic)
            self._bytes += picture.size_bytes
            while self._bytes > MAX_BYTES:
                oldest = next(iter(self._newest))
                self.dropped += oldest in self._waiting
                self._remove(oldest)

    def send_again(self) -> None:
        """Queue all of them again: the broker may have lost them."""
        with self._lock:
            self._waiting = set(self._newest)

    def send(self, send: Callable[[Message], bool]) -> None:
        """Send what waits until one is not taken."""
        with self._lock:
            waiting = [m for topic, m in self._newest.items() if topic in self._waiting]
        for picture in waiting:
            if not send(picture):
                return
            with self._lock:
                if self._newest.get(picture.topic) is picture:
                    self._waiting.discard(picture.topic)

    def keep_only(self, topics: frozenset[str]) -> None:
        """Drop pictures on other topics."""
        with self._lock:
            for topic in self._newest.keys() - topics:
                self._remove(topic)

    def _remove(self, topic: str) -> None:
        old = self._newest.pop(topic, None)
        self._waiting.discard(topic)
        self._bytes -= old.size_bytes if old else 0


def subscriptions(config: Config, topics: Topics) -> Iterator[str]:
    """Yield the topic filters to subscribe to: requests, and Home Assistant's start."""
    if config.control.enabled:
        yield topics.requests
    if config.homeassistant.enabled:
        yield BIRTH_TOPIC


def value_of(message: Message) -> bytes:
    """Return a message as a value: CRC-32, topic, QoS and retain as a line of JSON, the payload."""
    head = [_checksum(message), message.topic, message.qos, message.retain]
    return json.dumps(head, separators=(",", ":")).encode() + b"\n" + message.payload


def message_of(value: bytes) -> Message:
    """Return the message that `value_of` was given.

    Raises:
        ValueError: the value is damaged, or was never a message.
    """
    head, _, payload = value.partition(b"\n")
    try:
        checksum, topic, qos, retain = json.loads(head[:_LONGEST_HEAD])
        message = Message(topic, payload, qos, retain)
        if is_topic(topic) and checksum == _checksum(message):
            return message
    except (ValueError, TypeError, AttributeError, RecursionError):
        pass
    msg = f"expected a message, got {len(value)} damaged bytes"
    raise ValueError(msg)


def messages_in(values: Mapping[str, bytes], prefix: str = OPEN) -> dict[str, Message]:
    """Return the messages among key-values by key; damaged ones are logged and left out."""
    found: dict[str, Message] = {}
    for key, value in values.items():
        if key.startswith(prefix):
            try:
                found[key] = message_of(value)
            except ValueError as error:
                log.warning("outbox: the value of %s is ignored: %s", key, error)
    return found


def _checksum(message: Message) -> int:
    head = f"{message.topic}\n{message.qos}\n{message.retain}\n"
    return zlib.crc32(message.payload, zlib.crc32(head.encode()))


def counter_values(count: LineCount) -> dict[str, bytes]:
    """Return a counter as a value under its key."""
    value = json.dumps(asdict(count) | {"since": count.since.isoformat()})
    return {f"{COUNTER}{count.camera}/{count.line}": value.encode()}


def counts_in(values: Mapping[str, bytes]) -> list[LineCount]:
    """Return the counters among key-values; damaged ones are logged and left out."""
    counts = []
    for key, value in values.items():
        if key.startswith(COUNTER):
            try:
                counts.append(_count(json.loads(value)))
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                log.warning("outbox: the value of %s is damaged; the counter starts from 0", key)
    return counts


def _count(stored: dict[str, Any]) -> LineCount:
    count = LineCount(**stored | {"since": datetime.fromisoformat(stored["since"])})
    names = (count.camera, count.line, count.from_side, count.to_side)
    numbers = (count.forward, count.backward)
    if (
        not all(isinstance(name, str) for name in names)
        or not all(isinstance(number, int) and number >= 0 for number in numbers)
        or count.since.tzinfo is None
    ):
        msg = f"expected a counter, got {count}"
        raise ValueError(msg)
    return count


def _is_best_view(event: Event) -> TypeGuard[ObjectEvent]:
    return isinstance(event, ObjectEvent) and (event.kind == "new" or event.reason == "better_view")
