"""The payloads of the MQTT contract, schema version 1: service, cameras, objects, zones, lines.

Published as JSON in UTF-8. Times are RFC 3339 in UTC with microseconds, boxes are fractions of the
frame, and a key names its unit: `_s` seconds, `_ms` milliseconds. Events are kept on the disk until
the broker has acknowledged them and are sent in order, at least once. A key without a value is
absent; only in events about an object it is present and null.
"""

from __future__ import annotations

from datetime import UTC, datetime
from math import inf
from typing import Annotated, Any, Literal

from pydantic import (
    AliasChoices,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationInfo,
)

from edgevision.errors import CameraFault  # noqa: TC001 - pydantic reads the annotations
from edgevision.events import Reason  # noqa: TC001 - pydantic reads the annotations

SCHEMA_VERSION: Literal[1] = 1


def rfc3339(moment: datetime) -> str:
    """Return an aware time as RFC 3339, UTC, with six decimals: 2026-01-31T12:00:00.000000Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _rounded(decimals: int) -> PlainSerializer:
    return PlainSerializer(lambda value: round(value, decimals), return_type=float)


def _named(key: str, attribute: str) -> Any:  # noqa: ANN401 - as pydantic's Field
    """Return a field whose key in JSON differs from the attribute's name."""
    choices = AliasChoices(key, attribute)
    return Field(validation_alias=choices, serialization_alias=key)


def _clamped(low: float, high: float) -> BeforeValidator:
    """Return what brings our own figures within bounds that rounding may have carried them past.

    JSON is only checked.
    """

    def clamp(value: Any, info: ValidationInfo) -> Any:  # noqa: ANN401 - as pydantic has it
        return value if info.mode == "json" else min(high, max(low, value))

    return BeforeValidator(clamp)


def _coordinates(point: Any, info: ValidationInfo) -> Any:  # noqa: ANN401 - as pydantic has it
    """Return a `PathPoint` as the contract has it; JSON is that already."""
    return point if info.mode == "json" else (point.x_frac, point.y_frac, point.at)


Timestamp = Annotated[
    AwareDatetime,
    PlainSerializer(rfc3339, return_type=str, when_used="json"),
    Field(json_schema_extra={"type": "string", "format": "date-time"}),
]
EventId = Annotated[str, Field(pattern=r"^[0-9a-f]+-[0-9a-f]+$")]
CameraStatus = Literal["online", "offline", "stalled", "frozen", "black", "disabled"]
Delayed = Annotated[
    Literal[True] | None,
    Field(description="True: recorded before the connection that it was sent over; else absent."),
]
Count = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1), _rounded(5)]
Hertz = Annotated[float, Field(ge=0), _rounded(2)]
Milliseconds = Annotated[float, Field(ge=0), _rounded(3)]
_Pixels = Annotated[int, Field(ge=1)]
_Ratio = Annotated[float, Field(ge=0), _clamped(0.0, inf), _rounded(3)]
_Seconds = Annotated[float, Field(ge=0), _clamped(0.0, inf), _rounded(3)]
_Within = Annotated[float, Field(ge=0, le=1), _clamped(0.0, 1.0), _rounded(5)]
_PathPoint = Annotated[tuple[_Within, _Within, Timestamp], BeforeValidator(_coordinates)]


class Record(BaseModel):
    """A part of a message: frozen, no other keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class PayloadMessage(Record):
    """What every message starts with."""

    schema_version: Literal[1] = SCHEMA_VERSION
    device: str
    """Name of the board."""

    def encode(self) -> bytes:
        """Return the message as JSON."""
        return self.model_dump_json(exclude_none=True, by_alias=True).encode()


class StatusMessage(PayloadMessage):
    """`<prefix>/status`, retained: the service as a whole; `offline` is also the last will."""

    status: Literal["online", "offline"]
    reason: str | None = None
    """Why it is offline."""
    version: str
    """Version of edgevision."""
    model: str
    """Name of the model."""
    backend: str
    """Inference engine in use."""
    started_at: Timestamp
    """When the service started."""
    problems: tuple[str, ...] = ()
    """What is wrong now, as text; empty: nothing."""


class CameraStatusMessage(PayloadMessage):
    """`<prefix>/<camera>/status`, retained."""

    camera: str
    status: CameraStatus
    """Frames arrive while it is `online`, `frozen` or `black`."""
    reason: str
    """Why it has this status, as text."""
    fault: CameraFault | None = None
    """What is wrong with a live camera, for programs."""
    since: Timestamp
    """When the camera entered this status with this fault."""
    frame_size: tuple[_Pixels, _Pixels] | None = None
    """Width and height of the last frame in pixels, after rotation."""
    source: str
    """Where the frames come from, without user and password."""
    delayed: Delayed = None


class CameraEventMessage(PayloadMessage):
    """`<prefix>/<camera>/events` of type `status`: a camera's status has changed.

    Events are kept on the disk until the broker has acknowledged them and are sent in order, at
    least once.
    """

    camera: str
    id: EventId
    """Unique, to detect an event that is delivered twice; ascending while the clock is right."""
    type: Literal["status"] = "status"
    """The kind of event; those of other kinds have other keys."""
    occurred_at: Timestamp
    """When it happened, however late it is sent."""
    status: CameraStatus
    previous_status: CameraStatus | None = None
    """Absent: the service has just started."""
    reason: str
    """Why it has this status, as text."""
    fault: CameraFault | None = None
    """What is wrong with a live camera, for programs."""
    delayed: Delayed = None


class LatencyRecord(Record):
    """The time that each stage took for one frame."""

    capture: Milliseconds
    """Conversion to BGR, rotation, and the wait for the network."""
    preprocess: Milliseconds
    """Resize to the model input."""
    inference: Milliseconds
    """The network."""
    decode: Milliseconds
    """Thresholds, box decoding, non-maximum suppression."""
    tracking: Milliseconds
    """Objects over time, zones, lines and their events."""
    total: Milliseconds
    """From arrival to the finished result."""


class DetectionRecord(Record):
    """One object in one frame."""

    label: str
    score: Fraction
    box: tuple[Fraction, Fraction, Fraction, Fraction]
    """x, y of the top left corner, width, height, as fractions of the frame."""
    track_id: str | None = None
    """The object's id in the events, once its first event is published."""


class DetectionsMessage(PayloadMessage):
    """`<prefix>/<camera>/detections`: one for each inferred frame, even without objects."""

    camera: str
    frame: Count
    """Sequence number at the camera; skipped frames leave gaps."""
    captured_at: Timestamp
    """When the frame arrived."""
    frame_size: tuple[_Pixels, _Pixels]
    """Width and height in pixels."""
    model: str
    """Name of the model."""
    backend: str
    """Inference engine in use."""
    latency_ms: LatencyRecord
    detections: tuple[DetectionRecord, ...]
    """Best score first."""


class PercentilesRecord(Record):
    """Three percentiles of one stage."""

    p50: Milliseconds
    p95: Milliseconds
    p99: Milliseconds


class LatencyPercentilesRecord(Record):
    """Percentiles of each stage; absent while no frames arrive."""

    capture: PercentilesRecord
    preprocess: PercentilesRecord
    inference: PercentilesRecord
    decode: PercentilesRecord
    tracking: PercentilesRecord
    total: PercentilesRecord
    """From arrival to the finished result."""
    capture_to_publish: PercentilesRecord
    """From arrival until the message was handed to the MQTT connection."""


class FramesRecord(Record):
    """Frames since the start of the service, or since a reload started the camera.

    captured = inferred + still + overwritten + unusable, apart from frames in the pipeline now;
    inferred = published + unpublished.
    """

    captured: Count
    inferred: Count
    published: Count
    still: Count
    """Not inferred, because nothing moved in them."""
    overwritten: Count
    """Not inferred, because a newer frame had arrived or the service stopped."""
    unusable: Count
    """Empty, of an unknown format, or refused by the network."""
    unpublished: Count
    """Inferred, but not sent: the broker was unreachable or too slow."""


class CameraMetricsMessage(PayloadMessage):
    """`<prefix>/<camera>/metrics`."""

    camera: str
    measured_at: Timestamp
    capture_fps: Hertz
    """The three rates read 0 while no frames arrive."""
    inference_fps: Hertz
    publish_fps: Hertz
    frames: FramesRecord
    reconnects: Count
    """How many times the source was reopened."""
    latency_ms: LatencyPercentilesRecord | None = None


class DroppedRecord(Record):
    """Events and states that were dropped since the start of the service, by reason."""

    rows: Count = 0
    """The oldest, because more than outbox.max_rows were waiting."""
    bytes: Count = 0
    """The oldest, because more than outbox.max_bytes were waiting."""
    age: Count = 0
    """Waited longer than outbox.max_age_s."""
    oversize: Count = 0
    """Larger than the broker or the outbox accepts."""
    overflow: Count = 0
    """The oldest, because too many were recorded while the disk was busy."""


class BoardMetricsMessage(PayloadMessage):
    """`<prefix>/metrics`."""

    measured_at: Timestamp
    uptime_s: Annotated[float, Field(ge=0)]
    """Seconds since the service started."""
    cpu_percent: Annotated[float, Field(ge=0)]
    """Of the whole board; 100 is all cores."""
    process_cpu_percent: Annotated[float, Field(ge=0)]
    """Of the service; 100 is one core."""
    memory_percent: Annotated[float, Field(ge=0, le=100)]
    """Of the board's memory."""
    process_memory_bytes: Count
    """Resident memory of the service."""
    soc_temperature_c: float | None = None
    """Absent on a board without a sensor."""
    throttled: tuple[str, ...] | None = None
    """What throttles a Raspberry Pi now, or has since boot; empty: nothing. Absent elsewhere."""
    outbox_depth: Count
    """Events and states that the broker has not acknowledged yet."""
    outbox_bytes: Count
    """Size of their topics and payloads."""
    outbox_storage: Literal["disk", "memory"]
    """Where they are stored; memory: the disk cannot be written."""
    outbox_dropped: DroppedRecord
    outbox_refused: Count
    """How many times the broker has refused one since the start; they are kept and sent again."""
    unpublished: Count
    """Telemetry messages not sent since the start: the broker was unreachable or too slow."""
    mqtt_reconnects: Count
    """How many times the connection to the broker was re-established."""


class ObjectRecord(Record):
    """An object at one moment."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    """Unique across cameras and restarts; the same in every message about this object."""
    label: str
    """By vote over its lifetime."""
    score: _Within
    """Of the last detection that belonged to it."""
    top_score: _Within
    """The highest so far."""
    box: Annotated[tuple[_Within, _Within, _Within, _Within], _named("box", "box_frac")]
    """x, y of the top left corner, width, height, as fractions of the frame."""
    frame_size: Annotated[tuple[_Pixels, _Pixels], _named("frame_size", "frame_size_px")]
    """Width and height of the frame in pixels."""
    area: Annotated[_Within, _named("area", "area_frac")]
    """The box's share of the frame."""
    ratio: _Ratio
    """Width of the box by its height, in pixels."""
    start_time: Annotated[Timestamp, _named("start_time", "started_at")]
    """When it was first seen; never changes."""
    end_time: Annotated[Timestamp | None, _named("end_time", "ended_at")]
    """When it was last seen, once it has ended; else null."""
    duration_s: _Seconds
    """From when it was first seen to when it was last seen, unaffected by clock changes."""
    current_zones: tuple[str, ...]
    """The zones it is in."""
    entered_zones: tuple[str, ...]
    """All zones it has been in, in the order of entering."""
    loitering_zones: tuple[str, ...]
    """Those of current_zones where it has stayed for loiter_after_s."""
    stationary: bool
    """Whether it has not moved for tracking.stationary_after_s."""
    position_changes: Count
    """How many times it has started to move again."""
    path: tuple[_PathPoint, ...]
    """x, y of the middle of its box's lower edge, and when; thinned, first and last are exact."""


class EventMessage(PayloadMessage):
    """What every event about an object starts with, on `<prefix>/<camera>/events`."""

    camera: str
    id: EventId
    """Unique, to detect an event that is delivered twice; ascending while the clock is right."""
    occurred_at: Timestamp
    """When it happened, however late it is sent."""
    delayed: Delayed = None

    def encode(self) -> bytes:
        """Return the message as JSON with its nulls; `Message.delayed` adds `delayed`."""
        return self.model_dump_json(exclude={"delayed"}, by_alias=True).encode()


class ObjectEventMessage(EventMessage):
    """`<prefix>/<camera>/events` of type `new`, `update` or `end`: the life of an object.

    One `new` and one `end` for each object, whatever happens in between.
    """

    type: Literal["new", "update", "end"]
    reason: Reason
    """Why it is published."""
    before: ObjectRecord | None
    """The object as last published; null for `new`."""
    after: ObjectRecord
    """The object now."""


class ZoneEventMessage(EventMessage):
    """`<prefix>/<camera>/events` of type `zone`: an object has entered or left a zone."""

    type: Literal["zone"] = "zone"
    zone: str
    action: Literal["enter", "leave"]
    dwell_s: _Seconds
    """How long it was in the zone; 0 for `enter`."""
    object: ObjectRecord


class LoiteringEventMessage(EventMessage):
    """`<prefix>/<camera>/events` of type `loitering`: an object stays in a zone."""

    type: Literal["loitering"] = "loitering"
    zone: str
    dwell_s: _Seconds
    """How long it has been in the zone."""
    object: ObjectRecord


class LineEventMessage(EventMessage):
    """`<prefix>/<camera>/events` of type `line`: an object has crossed a line."""

    type: Literal["line"] = "line"
    line: str
    from_side: Annotated[str, _named("from", "from_side")]
    """Name of the side it came from."""
    to_side: Annotated[str, _named("to", "to_side")]
    """Name of the side it went to."""
    object: ObjectRecord


class LineCountMessage(PayloadMessage):
    """`<prefix>/<camera>/lines/<line>/count`, retained: how many times a line has been crossed."""

    camera: str
    line: str
    from_side: Annotated[str, _named("from", "from_side")]
    """Name of the first side."""
    to_side: Annotated[str, _named("to", "to_side")]
    """Name of the second side."""
    forward: Count
    """Crossings from the first side to the second."""
    backward: Count
    """Crossings the other way."""
    total: Count
    """Both directions."""
    since: Timestamp
    """When the counters were last reset."""
