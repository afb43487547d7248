"""Turns frame results, events and states into the messages of the contract."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from edgevision import __version__
from edgevision.events import EventIds, LineEvent, ObjectEvent, ZoneEvent
from edgevision.mqtt.message import Message, Topics
from edgevision.mqtt.payloads import (
    BoardMetricsMessage,
    CameraEventMessage,
    CameraMetricsMessage,
    CameraStatusMessage,
    DetectionRecord,
    DetectionsMessage,
    FramesRecord,
    LatencyPercentilesRecord,
    LatencyRecord,
    LineCountMessage,
    LineEventMessage,
    LoiteringEventMessage,
    ObjectEventMessage,
    ObjectRecord,
    PercentilesRecord,
    StatusMessage,
    ZoneEventMessage,
)

if TYPE_CHECKING:
    from datetime import datetime

    from edgevision.config.settings import Config
    from edgevision.events import CameraState, Event, LineCount, ObjectState, Occupancy
    from edgevision.frames import CameraMetrics, FrameResult
    from edgevision.mqtt.payloads import EventMessage


class Encoder:
    """Encodes the messages of one configuration: device, model and backend are always the same.

    Attributes:
        topics: every topic of the device.
        device: name of the board.
        started_at: when the service started, UTC.
    """

    def __init__(
        self,
        config: Config,
        *,
        model_name: str,
        backend_name: str,
        started_at: datetime,
        event_ids: EventIds | None = None,
    ) -> None:
        """Keep what every message repeats.

        Args:
            config: names the device, its topics and its cameras.
            model_name: as published.
            backend_name: as published.
            started_at: when the service started, UTC.
            event_ids: continued from one encoder to the next; default: those of a new run.
        """
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
        """Return the service's status once it has stopped; also its last will."""
        return self._status("offline", reason)

    def camera_status(self, camera: str, state: CameraState) -> Message:
        """Return one camera's status, retained."""
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
        """Return the event of a camera's change of status, with a new id each time."""
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

    def camera_metrics(self, metrics: CameraMetrics) -> Message:
        """Return one camera's metrics."""
        latency = metrics.latency_ms
        message = CameraMetricsMessage(
            device=self.device,
            camera=metrics.camera,
            measured_at=metrics.measured_at,
            capture_fps=metrics.capture_fps,
            inference_fps=metrics.inference_fps,
            publish_fps=metrics.publish_fps,
            frames=FramesRecord(**asdict(metrics.frames)),
            reconnects=metrics.reconnects,
            latency_ms=None
            if latency is None
            else LatencyPercentilesRecord(
                **{stage: PercentilesRecord(**asdict(each)) for stage, each in latency.items()}
            ),
        )
        return Message(self.topics.camera_metrics(metrics.camera), message.encode())

    def board_metrics(self, metrics: BoardMetricsMessage) -> Message:
        """Return the board's metrics."""
        return Message(self.topics.metrics, metrics.encode())

    def event(self, event: Event) -> Message:
        """Return an event about an object, with a new id each time."""
        message = self._message(event, self._event_ids.next())
        return Message(self.topics.events(message.camera), message.encode(), qos=1)

    def closing(self, state: ObjectState) -> Message:
        """Return the `end` to publish at the next start, in case this run is interrupted.

        Its id is the object's with one more digit: unique, and the same at every call.
        """
        message = self._message(interrupted(state), f"{state.id}e")
        return Message(self.topics.events(message.camera), message.encode(), qos=1)

    def count(self, occupancy: Occupancy) -> Message:
        """Return how many objects of a label are present now: a number as text, retained."""
        topic = self.topics.count(occupancy.camera, occupancy.zone, occupancy.label)
        return Message(topic, b"%d" % occupancy.count, qos=1, retain=True)

    def line_count(self, count: LineCount) -> Message:
        """Return how many times a line has been crossed, retained."""
        message = LineCountMessage(
            device=self.device,
            camera=count.camera,
            line=count.line,
            from_side=count.from_side,
            to_side=count.to_side,
            forward=count.forward,
            backward=count.backward,
            total=count.forward + count.backward,
            since=count.since,
        )
        topic = self.topics.line_count(count.camera, count.line)
        return Message(topic, message.encode(), qos=1, retain=True)

    def snapshot(self, camera: str, label: str | None, jpeg: bytes) -> Message:
        """Return the best view of a label's object; without a label, the current picture."""
        return Message(self.topics.snapshot(camera, label), jpeg, retain=True)

    def _status(
        self,
        status: Literal["online", "offline"],
        reason: str | None,
        problems: tuple[str, ...] = (),
    ) -> Message:
        message = StatusMessage(
            device=self.device,
            status=status,
            reason=reason,
            version=__version__,
            model=self._model,
            backend=self._backend,
            started_at=self.started_at,
            problems=problems,
        )
        return Message(self.topics.status, message.encode(), qos=1, retain=True)

    def _message(self, event: Event, event_id: str) -> EventMessage:
        match event:
            case ObjectEvent():
                return self._object_event(event, event_id)
            case ZoneEvent():
                return self._zone_event(event, event_id)
            case LineEvent():
                return LineEventMessage(
                    device=self.device,
                    camera=event.object.camera,
                    id=event_id,
                    occurred_at=event.occurred_at,
                    line=event.line,
                    from_side=event.from_side,
                    to_side=event.to_side,
                    object=ObjectRecord.model_validate(event.object),
                )

    def _object_event(self, event: ObjectEvent, event_id: str) -> ObjectEventMessage:
        return ObjectEventMessage(
            device=self.device,
            camera=event.after.camera,
            id=event_id,
            occurred_at=event.occurred_at,
            type=event.kind,
            reason=event.reason,
            before=None if event.before is None else ObjectRecord.model_validate(event.before),
            after=ObjectRecord.model_validate(event.after),
        )

    def _zone_event(
        self, event: ZoneEvent, event_id: str
    ) -> ZoneEventMessage | LoiteringEventMessage:
        if event.kind == "loitering":
            return LoiteringEventMessage(
                device=self.device,
                camera=event.object.camera,
                id=event_id,
                occurred_at=event.occurred_at,
                zone=event.zone,
                dwell_s=event.dwell_s,
                object=ObjectRecord.model_validate(event.object),
            )
        return ZoneEventMessage(
            device=self.device,
            camera=event.object.camera,
            id=event_id,
            occurred_at=event.occurred_at,
            zone=event.zone,
            action=event.kind,
            dwell_s=event.dwell_s,
            object=ObjectRecord.model_validate(event.object),
        )


def interrupted(state: ObjectState) -> ObjectEvent:
    """Return the end of an object whose run was interrupted: it ended when it was last seen."""
    ended_at = state.started_at + timedelta(seconds=state.duration_s)
    after = replace(state, ended_at=ended_at)
    return ObjectEvent("end", "interrupted", state, after, occurred_at=ended_at)
