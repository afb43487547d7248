"""Everything on its way to the broker: one connection, telemetry over it, facts by the outbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

from edgevision.detection.snapshot import snapshot
from edgevision.messaging import frigate
from edgevision.messaging.client import MqttClient
from edgevision.messaging.homeassistant import BIRTH_TOPIC
from edgevision.messaging.outbox import Outbox
from edgevision.messaging.publisher import Publisher
from edgevision.records import DetectedObject
from edgevision.service.linecounts import count_notes
from edgevision.service.notes import OPEN, note_of
from edgevision.service.objectwriter import interrupted
from edgevision.service.pictures import Pictures
from edgevision.tracks import LineEvent, ObjectEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from edgevision.capture.reader import CameraState
    from edgevision.clock import Clock
    from edgevision.config import Config
    from edgevision.messaging.message import Message
    from edgevision.messaging.publisher import OutboxFigures
    from edgevision.messaging.topics import Topics
    from edgevision.records import Frame, FrameResult
    from edgevision.service.parts import Writers
    from edgevision.tracks import Event, LineCount

OUTBOX_FILE = "outbox.sqlite"


class Uplink:
    """A connection to the broker of one configuration, and the outbox behind it.

    Attributes:
        writers: write the messages.
        pictures: those that were taken, as long as they may be sent again.
    """

    def __init__(
        self,
        config: Config,
        writers: Writers,
        *,
        folder: Path,
        clock: Clock,
        on_connected: Callable[[], None],
        on_request: Callable[[Message], None],
    ) -> None:
        """Open the outbox and prepare; `start` connects.

        Args:
            config: the broker and the outbox's bounds.
            writers: write the messages.
            folder: where the outbox lies.
            clock: where stamps come from.
            on_connected: called on the network thread after each connection, and when Home
                Assistant has started: everything is to be said again.
            on_request: called on the network thread with each request.

        Raises:
            ConfigError: a certificate or the password cannot be read.
        """
        self.pictures = Pictures()
        self.use(config, writers)
        outbox = Outbox(folder / OUTBOX_FILE, config.outbox, clock=clock)
        self._publisher = Publisher(outbox, clock=clock)
        self._client = MqttClient(
            config.mqtt,
            client_id=config.mqtt.client_id or f"edgevision-{config.device}",
            will=writers.service.offline("connection lost"),
            on_connected=on_connected,
            subscribe=list(subscriptions(config, writers.service.topics)),
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
        """Return how the outbox is."""
        return self._publisher.figures

    def healthy(self, now_ns: int) -> bool:
        """Return whether the publisher drains, or knows that the broker is away."""
        return self._publisher.healthy(now_ns)

    def use(self, config: Config, writers: Writers) -> None:
        """Write by another configuration of the same broker and topics."""
        self.writers = writers
        self._snapshots = config.snapshots
        self._frigate = config.frigate_compat

    def start(self) -> None:
        """Open the outbox and begin to connect."""
        self._publisher.start(self._client)
        self._client.start()

    def stop(self, reason: str, timeout_s: float) -> None:
        """Put everything recorded on disk, publish `offline` and disconnect.

        What can be sent of the outbox within half the time is.
        """
        self._publisher.stop(timeout_s / 2)
        self._client.stop(last=self.writers.service.offline(reason), timeout_s=timeout_s / 2)

    def announce(self, problems: tuple[str, ...]) -> bool:
        """Publish that the service is online, with its present problems; False if not taken."""
        return self._client.send(self.writers.service.online(problems))

    def detections(self, result: FrameResult) -> bool:
        """Publish one frame's detections; False if they were not taken."""
        return self._client.send(self.writers.service.detections(result))

    def notes(self) -> dict[str, bytes]:
        """Return the notes that are stored; to be asked before `start`."""
        return self._publisher.notes()

    def record(self, message: Message | None, notes: Mapping[str, bytes | None]) -> None:
        """Store what must not be lost, a message together with notes, and send it."""
        self._publisher.record(message, notes)

    def camera_event(self, camera: str, state: CameraState, previous: CameraState | None) -> None:
        """Record that a camera's state has changed: each change counts."""
        self._publisher.record(self.writers.service.camera_event(camera, state, previous))

    def happened(self, event: Event, line_counts: Iterable[LineCount], frame: Frame | None) -> None:
        """Record what has happened to an object, and take its picture when it is worth one.

        With it goes a note of what has to be told at the next start if this run breaks off, and
        the counter of a line that was crossed.
        """
        objects = self.writers.objects
        notes: dict[str, bytes | None] = {}
        if isinstance(event, ObjectEvent):
            closing = objects.closing(event.after)
            notes[OPEN + event.after.id] = None if event.kind == "end" else note_of(closing)
        elif isinstance(event, LineEvent):
            for count in line_counts:
                if count.line == event.line:
                    notes.update(count_notes(count))
        self._publisher.record(objects.event(event), notes)
        if self._frigate and isinstance(event, ObjectEvent):
            self._tell_frigate(event)
        if frame is not None and self._snapshots.enabled and _is_best_view(event):
            state = event.after
            found = DetectedObject(state.label, state.score, state.box_frac)
            jpeg = snapshot(frame.image, found, self._snapshots)
            self.pictures.add(objects.snapshot(state.camera, state.label, jpeg))
            if self._frigate:
                self.pictures.add(frigate.snapshot(state.camera, state.label, jpeg))

    def _tell_frigate(self, event: ObjectEvent) -> None:
        """Record it as Frigate would, with a note of its own for the next start."""
        snapshots, state = self._snapshots.enabled, event.after
        closing = interrupted(state)
        note = None if event.kind == "end" else note_of(frigate.event(closing, snapshots=snapshots))
        message = frigate.event(event, snapshots=snapshots)
        self._publisher.record(message, {f"{OPEN}{state.id}/frigate": note})

    def answer(self, response: Message) -> bool:
        """Publish a response; False if it was not taken."""
        return self._client.send(response)

    def send_pictures(self, *, again: bool) -> None:
        """Send pictures that wait, or all there are."""
        if again:
            self.pictures.again()
        self.pictures.send(self._client.send)

    def telemetry(self, message: Message) -> None:
        """Publish what is soon out of date; what is not taken is counted."""
        if not self._client.send(message):
            self._lost += 1

    def _arrived(self, message: Message) -> None:
        if message.topic != BIRTH_TOPIC:
            self._on_request(message)
        elif message.payload == b"online":
            self._on_connected()


def subscriptions(config: Config, topics: Topics) -> Iterator[str]:
    """Yield the topic filters of what is listened to: requests, and Home Assistant's start."""
    if config.control.enabled:
        yield topics.requests
    if config.homeassistant.enabled:
        yield BIRTH_TOPIC


def _is_best_view(event: Event) -> TypeGuard[ObjectEvent]:
    return isinstance(event, ObjectEvent) and (event.kind == "new" or event.reason == "better_view")
