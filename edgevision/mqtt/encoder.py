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
        """Return an event, each time with another id."""
        message = self._message(event, self._event_ids.next())
        return Message(self.topics.events(message.camera), message.encode(), qos=1)

    def closing(self, state: ObjectState) -> Message:
        """Return the `end` that is told at the next start if the service cannot tell it itself.

        Its id is the object's own with a digit more, so it is unique, and the same however often
        this is written.
        """
        message = self._message(interrupted(state), f"{state.id}e")
        return Message(self.topics.events(message.camera), message.encode(), qos=1)

    def count(self, occupancy: Occupancy) -> Message:
        """Return how many objects of a label are there now: a number as text."""
        topic = self.topics.count(occupancy.camera, occupancy.zone, occupancy.label)
        return Message(topic, b"%d" % occupancy.count, qos=1, retain=True)

    def line_count(self, count: LineCount) -> Message:
        """Return how often a line has been crossed."""
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
        """Return the best view of a label's object; label None: the picture as it is now."""
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
                    object=_record(event.object),
                )

    def _object_event(self, event: ObjectEvent, event_id: str) -> ObjectEventMessage:
        return ObjectEventMessage(
            device=self.device,
            camera=event.after.camera,
            id=event_id,
            occurred_at=event.occurred_at,
            type=event.kind,
            reason=event.reason,
            before=None if event.before is None else _record(event.before),
            after=_record(event.after),
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
                object=_record(event.object),
            )
        return ZoneEventMessage(
            device=self.device,
            camera=event.object.camera,
            id=event_id,
            occurred_at=event.occurred_at,
            zone=event.zone,
            action=event.kind,
            dwell_s=event.dwell_s,
            object=_record(event.object),
        )


def interrupted(state: ObjectState) -> ObjectEvent:
    """Return the end of an object whose service broke off: it ended when it was last seen."""
    ended_at = state.started_at + timedelta(seconds=state.duration_s)
    after = replace(state, ended_at=ended_at)
    return ObjectEvent("end", "interrupted", state, after, occurred_at=ended_at)


def _record(state: ObjectState) -> ObjectRecord:
    x, y, width, height = map(_within, state.box_frac)
    return ObjectRecord(
        id=state.id,
        label=state.label,
        score=_within(state.score),
        top_score=_within(state.top_score),
        box=(x, y, width, height),
        frame_size=state.frame_size_px,
        area=_within(state.area_frac),
        ratio=max(0.0, state.ratio),
        start_time=state.started_at,
        end_time=state.ended_at,
        duration_s=max(0.0, state.duration_s),
        current_zones=state.current_zones,
        entered_zones=state.entered_zones,
        loitering_zones=state.loitering_zones,
        stationary=state.stationary,
        position_changes=state.position_changes,
        path=tuple(
            (_within(point.x_frac), _within(point.y_frac), point.at) for point in state.path
        ),
    )


def _within(fraction: float) -> float:
    """Return a fraction as the contract has it: rounding may have carried it past 0 or 1."""
    return min(1.0, max(0.0, fraction))
