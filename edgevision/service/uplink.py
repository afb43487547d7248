"""Everything on its way to the broker: one connection, telemetry over it, facts by the outbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevision.messaging.client import MqttClient
from edgevision.messaging.outbox import Outbox
from edgevision.messaging.publisher import Publisher

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from edgevision.capture.reader import CameraState
    from edgevision.clock import Clock
    from edgevision.config import Config
    from edgevision.messaging.message import Message
    from edgevision.messaging.publisher import OutboxFigures
    from edgevision.records import FrameResult
    from edgevision.service.writer import MessageWriter

OUTBOX_FILE = "outbox.sqlite"


class Uplink:
    """A connection to the broker of one configuration, and the outbox behind it."""

    def __init__(
        self,
        config: Config,
        writer: MessageWriter,
        *,
        folder: Path,
        clock: Clock,
        on_connected: Callable[[], None],
        on_request: Callable[[Message], None] = lambda _message: None,
    ) -> None:
        """Prepare; opens the outbox; `start` connects.

        Args:
            config: the broker and the outbox's bounds.
            writer: writes the messages.
            folder: where the outbox lies.
            clock: where stamps come from.
            on_connected: called on the network thread after each connection.
            on_request: called on the network thread with each request, where they are taken.

        Raises:
            ConfigError: a certificate or the password cannot be read.
        """
        self.writer = writer
        outbox = Outbox(folder / OUTBOX_FILE, config.outbox, clock=clock)
        self._publisher = Publisher(outbox, clock=clock)
        self._client = MqttClient(
            config.mqtt,
            client_id=config.mqtt.client_id or f"edgevision-{config.device}",
            will=writer.offline("connection lost"),
            on_connected=on_connected,
            subscribe=[writer.topics.requests] if config.control.enabled else [],
            retained=False,
            on_message=on_request,
            on_news=self._publisher.wake,
        )
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
        """Return how many metrics messages were not sent: the broker was away or too slow."""
        return self._lost

    @property
    def outbox(self) -> OutboxFigures:
        """Return how the outbox is."""
        return self._publisher.figures

    def healthy(self, now_ns: int) -> bool:
        """Return whether the publisher drains, or knows that the broker is away."""
        return self._publisher.healthy(now_ns)

    def notes(self) -> dict[str, bytes]:
        """Return the notes that earlier runs have left; to be asked before `start`."""
        return self._publisher.notes()

    def start(self) -> None:
        """Begin to connect, to store and to send."""
        self._publisher.start(self._client)
        self._client.start()

    def stop(self, reason: str, timeout_s: float) -> None:
        """Put everything recorded on disk, publish `offline` and disconnect.

        What can be sent of the outbox within half the time is.
        """
        self._publisher.stop(timeout_s / 2)
        self._client.stop(last=self.writer.offline(reason), timeout_s=timeout_s / 2)

    def announce(self, problems: tuple[str, ...]) -> bool:
        """Publish that the service is online, with its present problems; False if not taken."""
        return self._client.send(self.writer.online(problems))

    def detections(self, result: FrameResult) -> bool:
        """Publish one frame's detections; False if they were not taken."""
        return self._client.send(self.writer.detections(result))

    def state(self, camera: str, state: CameraState) -> None:
        """Record a camera's state, retained: the last one counts."""
        self._publisher.record(self.writer.camera_status(camera, state))

    def event(self, camera: str, state: CameraState, previous: CameraState | None) -> None:
        """Record that a camera's state has changed: each change counts."""
        self._publisher.record(self.writer.camera_event(camera, state, previous))

    def forget(self, camera: str) -> None:
        """Take back what is retained of a camera that is no longer configured."""
        self._publisher.record(self.writer.forgotten(camera))

    def record(
        self, message: Message | None, notes: Mapping[str, bytes | None] | None = None
    ) -> None:
        """Record a message and changes of notes together; see `Publisher.record`."""
        self._publisher.record(message, notes)

    def answer(self, response: Message) -> bool:
        """Publish a response; False if it was not taken."""
        return self._client.send(response)

    def metrics(self, message: Message) -> None:
        """Publish metrics; what is not taken is counted."""
        if not self._client.send(message):
            self._lost += 1
