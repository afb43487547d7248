"""From what the service knows to the messages of the contract."""

from __future__ import annotations

import itertools
import secrets
from dataclasses import asdict
from typing import TYPE_CHECKING

from edgevision import __version__
from edgevision.messaging.message import Message
from edgevision.messaging.payloads import (
    BoardMetricsMessage,
    CameraEventMessage,
    CameraMetricsMessage,
    CameraStatusMessage,
    DetectionRecord,
    DetectionsMessage,
    LatencyRecord,
    StatusMessage,
)
from edgevision.messaging.topics import Topics

if TYPE_CHECKING:
    from datetime import datetime

    from edgevision.capture.reader import CameraState
    from edgevision.config import Config
    from edgevision.records import FrameResult


class EventIds:
    """The ids of the events of one run: unique across runs, numbered without gaps within one."""

    def __init__(self, started_at: datetime, *, salt: str | None = None) -> None:
        """Begin with 1.

        Args:
            started_at: what the ids begin with.
            salt: lower-case hexadecimal digits that tell runs apart on a board that always wakes
                at the same time of day; default: random ones. A replay gives its own, so that it
                tells the same each time.
        """
        moment = max(0, round(started_at.timestamp() * 1000))
        self._run = f"{moment:011x}{secrets.token_hex(4) if salt is None else salt}"
        self._numbers = itertools.count(1)

    def next(self) -> str:
        """Return an id that has not been used."""
        return f"{self._run}-{next(self._numbers):08x}"


class MessageWriter:
    """Writes messages under one configuration: device, model and backend are always the same."""

    def __init__(
        self,
        config: Config,
        *,
        model_name: str,
        backend_name: str,
        started_at: datetime,
        event_ids: EventIds | None = None,
    ) -> None:
        """Keep what every message repeats; `event_ids` go on from one writer to the next."""
        self.topics = Topics(config.prefix)
        self.device = config.device
        self._cameras = config.cameras
        self._model = model_name
        self._backend = backend_name
        self.started_at = started_at
        self._event_ids = event_ids or EventIds(started_at)

    def online(self, problems: tuple[str, ...] = ()) -> Message:
        """Return the service's status while it runs."""
        return self._status("online", None, problems)

    def offline(self, reason: str) -> Message:
        """Return the service's status when it has ended; also its last will."""
        return self._status("offline", reason)

    def camera_status(self, camera: str, state: CameraState) -> Message:
        """Return one camera's status."""
        message = CameraStatusMessage(
            device=self.device,
            camera=camera,
            status=state.status,
            reason=state.reason,
            fault=state.fault,
            since=state.since,
            frame_size=state.frame_size,
            source=self._cameras[camera].shown_source,
        )
        return Message(self.topics.camera_status(camera), message.encode(), qos=1, retain=True)

    def camera_event(
        self, camera: str, state: CameraState, previous: CameraState | None
    ) -> Message:
        """Return the event of one camera's change of status, each time with another id."""
        message = CameraEventMessage(
            device=self.device,
            camera=camera,
            id=self._event_ids.next(),
            occurred_at=state.since,
            status=state.status,
            previous_status=previous.status if previous else None,
            reason=state.reason,
            fault=state.fault,
        )
        return Message(self.topics.events(camera), message.encode(), qos=1)

    def detections(self, result: FrameResult) -> Message:
        """Return one frame's detections."""
        message = DetectionsMessage(
            device=self.device,
            camera=result.camera,
            frame=result.frame,
            captured_at=result.captured_at,
            frame_size=result.frame_size_px,
            model=self._model,
            backend=self._backend,
            latency_ms=LatencyRecord(**asdict(result.latency_ms)),
            detections=tuple(
                DetectionRecord(
                    label=found.label,
                    score=found.score,
                    box=found.box_frac,
                    track_id=found.track_id,
                )
                for found in result.objects
            ),
        )
        return Message(self.topics.detections(result.camera), message.encode())

    def camera_metrics(self, metrics: CameraMetricsMessage) -> Message:
        """Return one camera's metrics."""
        return Message(self.topics.camera_metrics(metrics.camera), metrics.encode())

    def board_metrics(self, metrics: BoardMetricsMessage) -> Message:
        """Return the board's metrics."""
        return Message(self.topics.metrics, metrics.encode())

    def _status(self, status: str, reason: str | None, problems: tuple[str, ...] = ()) -> Message:
        message = StatusMessage.model_validate(
            {
                "device": self.device,
                "status": status,
                "reason": reason,
                "version": __version__,
                "model": self._model,
                "backend": self._backend,
                "started_at": self.started_at,
                "problems": problems,
            }
        )
        return Message(self.topics.status, message.encode(), qos=1, retain=True)
