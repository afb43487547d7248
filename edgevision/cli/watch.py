"""`edgevision watch`: subscribe to a board's topics and show what arrives.

`View` shows messages as a live table on a terminal and as plain lines elsewhere; `edgevision demo`
uses it too.
"""

from __future__ import annotations

import json
import os
import queue
import re
import time
from collections import Counter, deque
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, TypeAlias

from pydantic import Field, TypeAdapter, ValidationError
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from edgevision.cli.console import out, plain, print_json, print_lines
from edgevision.clock import Percentiles, percentiles
from edgevision.mqtt.client import MqttClient
from edgevision.mqtt.message import Topics
from edgevision.mqtt.payloads import (
    BoardMetricsMessage,
    CameraEventMessage,
    CameraMetricsMessage,
    CameraStatusMessage,
    DetectionsMessage,
    LineEventMessage,
    LoiteringEventMessage,
    ObjectEventMessage,
    StatusMessage,
    ZoneEventMessage,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from rich.console import RenderableType

    from edgevision.config.settings import Config
    from edgevision.mqtt.message import Message
    from edgevision.mqtt.payloads import ObjectRecord

CONNECT_S = 10.0
MAX_WAITING = 64
ROWS = 14
MAX_LATENCIES = 10_000
# Names of labels and cameras counted separately; the broker could send new ones without end.
MAX_NAMES = 1000
OTHER = "others"

AnyEvent: TypeAlias = (
    CameraEventMessage
    | ObjectEventMessage
    | ZoneEventMessage
    | LoiteringEventMessage
    | LineEventMessage
)

_EVENTS: TypeAdapter[AnyEvent] = TypeAdapter(Annotated[AnyEvent, Field(discriminator="type")])
_COUNT = re.compile(rb"[0-9]{1,9}")  # the count of a line is JSON


def watch(config: Config, *, as_json: bool, seconds: float | None) -> None:
    """Show messages until Ctrl-C or for a number of seconds.

    Raises:
        BrokerError: the first connection fails. Later ones are retried.
    """
    topics = Topics(config.prefix)
    # When it is full, the network thread waits and so does the broker: nothing is lost and memory
    # stays bounded.
    arrived: queue.Queue[Message] = queue.Queue(MAX_WAITING)
    client = MqttClient(
        config.mqtt,
        client_id=f"edgevision-watch-{os.getpid()}",
        subscribe=[topics.everything],
        on_message=arrived.put,
    )
    client.start()
    view = View(topics)
    fancy = out.is_terminal and not as_json
    live = Live(view.draw(), console=out, auto_refresh=False)
    deadline_s = time.monotonic() + seconds if seconds is not None else float("inf")
    try:
        client.wait_connected(CONNECT_S)
        with live if fancy else nullcontext():
            while time.monotonic() < deadline_s:
                try:
                    message = arrived.get(timeout=0.2)
                except queue.Empty:
                    continue
                if as_json:
                    print_json({"topic": message.topic, "payload": _parsed(message.payload)})
                    continue
                lines = view.take(message.topic, message.payload)
                if fancy:
                    live.update(view.draw(), refresh=arrived.empty())
                else:
                    print_lines(lines)
    except KeyboardInterrupt:
        return
    finally:
        client.stop()


class View:
    """Keeps what a person wants to see of the messages received, and draws it."""

    def __init__(self, topics: Topics) -> None:
        """Start empty."""
        self.seen = Seen()
        self._topics = topics
        self._rows: deque[tuple[str, str, str, str, str, str]] = deque(maxlen=ROWS)
        self._status = Text("waiting for messages …")

    def take(self, topic: str, payload: bytes) -> list[str]:
        """Count one message and return it as plain lines.

        A payload that violates the contract becomes a line that says so. Control characters are
        shown as escapes.
        """
        try:
            lines = self._take(topic, payload)
        except (ValidationError, OverflowError):  # a time that does not exist in this time zone
            self.seen.messages["unknown"] += 1
            lines = [f"{topic}: {len(payload)} bytes that are not a message of schema version 1"]
        return [plain(line) for line in lines]

    def draw(self) -> RenderableType:
        """Return the live table with the status line below it."""
        table = Table("time", "camera", "label", "score", "box x y w h", "latency", expand=True)
        for row in self._rows:
            table.add_row(*(Text(plain(cell)) for cell in row))
        return Group(table, self._status)

    def _take(self, topic: str, payload: bytes) -> list[str]:
        level = topic.rpartition("/")[2]
        if level == "detections":
            return self._detections(DetectionsMessage.model_validate_json(payload))
        if topic == self._topics.status:
            return self._service(StatusMessage.model_validate_json(payload))
        if level == "status":
            return self._camera(CameraStatusMessage.model_validate_json(payload))
        if level == "metrics":
            return self._metrics(topic, payload)
        if level == "events":
            self.seen.messages["events"] += 1
            return [event_text(_EVENTS.validate_json(payload))]
        return self._plain(topic, level, payload)

    def _plain(self, topic: str, level: str, payload: bytes) -> list[str]:
        """Count a message that is not JSON of the contract: a count, a picture, or unknown."""
        kind = {"count": "counts", "snapshot": "pictures"}.get(level, "other")
        self.seen.messages[kind] += 1
        if kind != "counts":
            return [f"{topic}: {len(payload)} bytes"]
        number = _COUNT.fullmatch(payload)
        return [f"{topic}: {number[0].decode()}"] if number else []

    def _detections(self, message: DetectionsMessage) -> list[str]:
        seen = self.seen
        time = message.captured_at.astimezone().strftime("%H:%M:%S.%f")[:-3]
        seen.messages["detections"] += 1
        seen.frames += 1
        seen.latencies_ms.append(message.latency_ms.total)
        seen.span = (seen.span or (message.captured_at,))[0], message.captured_at
        rows = []
        for found in message.detections:
            label = _name(found.label, seen.labels)
            seen.labels[label] += 1
            seen.best_score[label] = max(found.score, seen.best_score.get(label, 0.0))
            box = " ".join(f"{value:.2f}" for value in found.box)
            latency = f"{message.latency_ms.total:.1f} ms"
            rows.append((time, message.camera, found.label, f"{found.score:.2f}", box, latency))
        self._rows.extend(rows)
        return ["  ".join(row) for row in rows]

    def _metrics(self, topic: str, payload: bytes) -> list[str]:
        self.seen.messages["metrics"] += 1
        if topic == self._topics.metrics:
            BoardMetricsMessage.model_validate_json(payload)
            return []
        message = CameraMetricsMessage.model_validate_json(payload)
        self.seen.metrics[_name(message.camera, self.seen.metrics)] = message
        line = (
            f"{message.camera}: {message.capture_fps:.1f} fps captured, "
            f"{message.publish_fps:.1f} published, {message.frames.overwritten} skipped"
        )
        if message.latency_ms is not None:
            total = message.latency_ms.capture_to_publish
            line += f", to publish p50 {total.p50:.1f} p95 {total.p95:.1f} ms"
        self._status = Text(plain(line))
        return [line]

    def _service(self, message: StatusMessage) -> list[str]:
        self.seen.messages["status"] += 1
        self.seen.service = message
        line = f"{message.device}: {message.status}, {message.model} on {message.backend}"
        if message.reason:
            line += f": {message.reason}"
        self._status = Text(plain(line))
        return [line]

    def _camera(self, message: CameraStatusMessage) -> list[str]:
        self.seen.messages["status"] += 1
        self.seen.cameras[_name(message.camera, self.seen.cameras)] = message
        line = f"{message.camera}: {message.status}: {message.reason}"
        self._status = Text(plain(line))
        return [line]


@dataclass
class Seen:
    """What has been received so far."""

    messages: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    best_score: dict[str, float] = field(default_factory=dict)
    frames: int = 0
    latencies_ms: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_LATENCIES))
    span: tuple[datetime, datetime] | None = None
    service: StatusMessage | None = None
    cameras: dict[str, CameraStatusMessage] = field(default_factory=dict)
    metrics: dict[str, CameraMetricsMessage] = field(default_factory=dict)

    @property
    def fps(self) -> float:
        """Return frames per second between the first and the last frame received."""
        if self.span is None:
            return 0.0
        seconds = (self.span[1] - self.span[0]).total_seconds()
        return (self.frames - 1) / seconds if seconds > 0 else 0.0

    @property
    def latency_ms(self) -> Percentiles | None:
        """Return percentiles of the total latency of the last frames received."""
        return percentiles(self.latencies_ms)


def event_text(event: AnyEvent) -> str:
    """Return an event as one line."""
    match event:
        case CameraEventMessage():
            before = event.previous_status or "new"
            what = f"{before} to {event.status}: {event.reason}"
        case ObjectEventMessage():
            stayed = f" after {event.after.duration_s:.1f} s" if event.type == "end" else ""
            what = f"{event.type} {_of(event.after)}{stayed} ({event.reason})"
        case LineEventMessage():
            way = f"{event.from_side} to {event.to_side}"
            what = f"{_of(event.object)} crosses {event.line}, {way}"
        case ZoneEventMessage():
            what = f"{_of(event.object)} {event.action}s {event.zone}"
        case LoiteringEventMessage():
            what = f"{_of(event.object)} stays in {event.zone}: {event.dwell_s:.0f} s"
    return f"{event.camera}: event: {what}"


def _of(record: ObjectRecord) -> str:
    zones = f" in {', '.join(record.current_zones)}" if record.current_zones else ""
    return f"{record.label}{zones}"


def _name(name: str, known: Mapping[str, object]) -> str:
    return name if name in known or len(known) < MAX_NAMES else OTHER


def _parsed(payload: bytes) -> object:
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        return payload.decode(errors="replace")
