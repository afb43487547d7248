"""The payloads of the MQTT contract, schema version 1: what is told of the service and its cameras.

Published as JSON in UTF-8. Times are RFC 3339 in UTC with microseconds, durations are in
milliseconds, boxes are fractions of the frame.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer

from edgevision.errors import CameraFault  # noqa: TC001 - pydantic reads the annotations
from edgevision.events import Reason  # noqa: TC001 - pydantic reads the annotations

SCHEMA_VERSION: Literal[1] = 1


# FOLDED:
# The kinds of value that the payloads of the MQTT contract consist of.


class Record(BaseModel):
    """A part of a message: frozen, no other keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class PayloadMessage(Record):
    """What every message begins with."""

    schema_version: Literal[1] = SCHEMA_VERSION
    device: str
    """Name of the board."""

    def encode(self) -> bytes:
        """Return the message as JSON."""
        return self.model_dump_json(exclude_none=True, by_alias=True).encode()


def rfc3339(moment: datetime) -> str:
    """Return an aware time as RFC 3339, UTC, with six decimals: 2026-01-31T12:00:00.000000Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


Timestamp = Annotated[
    AwareDatetime,
    PlainSerializer(rfc3339, return_type=str, when_used="json"),
    Field(json_schema_extra={"type": "string", "format": "date-time"}),
]


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
    """What is wrong now, in words; empty: nothing."""


CameraStatus = Literal["online", "offline", "stalled", "frozen", "black", "disabled"]

Delayed = Annotated[
    Literal[True] | None,
    Field(description="Recorded before the connection over which it was sent; else absent."),
]


class CameraStatusMessage(PayloadMessage):
    """`<prefix>/<camera>/status`, retained."""

    camera: str
    status: CameraStatus
    """Frames arrive while it is `online`, `frozen` or `black`."""
    reason: str
    """What is going on, in words."""
    fault: CameraFault | None = None
    """What is wrong with a live camera, for programs."""
    since: Timestamp
    """When this status, with this fault, began."""
    frame_size: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | None = None
    """Width and height of the last frame in pixels, after rotation."""
    source: str
    """Where the frames come from, without user and password."""
    delayed: Delayed = None


EventId = Annotated[str, Field(pattern=r"^[0-9a-f]+-[0-9a-f]+$")]


class CameraEventMessage(PayloadMessage):
    """`<prefix>/<camera>/events` of type `status`: another status than before.

    Events are kept on the disk until the broker has them and sent in order, at least once.
    """

    camera: str
    id: EventId
    """Unique, so that an event that comes again can be told; ascending while the clock is right."""
    type: Literal["status"] = "status"
    """What kind of event; there are others, with other keys."""
    occurred_at: Timestamp
    """When it happened, however late it is sent."""
    status: CameraStatus
    previous_status: CameraStatus | None = None
    """None: the service has just started."""
    reason: str
    """What is going on, in words."""
    fault: CameraFault | None = None
    """What is wrong with a live camera, for programs."""
    delayed: Delayed = None


Milliseconds = Annotated[
    float, Field(ge=0), PlainSerializer(lambda value: round(value, 3), return_type=float)
]


class LatencyRecord(Record):
    """Where the time of one frame went."""

    capture: Milliseconds
    """Conversion to BGR, rotation, and waiting for the network."""
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


Fraction = Annotated[
    float, Field(ge=0, le=1), PlainSerializer(lambda value: round(value, 5), return_type=float)
]


class DetectionRecord(Record):
    """One object in one frame."""

    label: str
    score: Fraction
    box: tuple[Fraction, Fraction, Fraction, Fraction]
    """x, y of the left upper corner, width, height, as fractions of the frame."""
    track_id: str | None = None
    """The object's id in the events, once it has been told there."""


Count = Annotated[int, Field(ge=0)]


class DetectionsMessage(PayloadMessage):
    """`<prefix>/<camera>/detections`: one for each inferred frame, also without objects."""

    camera: str
    frame: Count
    """Sequence number at the camera; frames that were skipped leave gaps."""
    captured_at: Timestamp
    """When the frame arrived."""
    frame_size: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]
    """Width and height in pixels."""
    model: str
    """Name of the model."""
    backend: str
    """Inference engine in use."""
    latency_ms: LatencyRecord
    detections: tuple[DetectionRecord, ...]
    """Best score first."""


class PercentilesRecord(Record):
    """Three percentiles."""

    p50: Milliseconds
    p95: Milliseconds
    p99: Milliseconds


class LatencyPercentilesRecord(Record):
    """Percentiles of each stage; none while there were no frames."""

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
    """What became of the frames since the start of the service, or of the camera by a reload.

    captured = inferred + still + overwritten + unusable, but for frames on their way right now;
    inferred = published + unpublished.
    """

    captured: Count
    inferred: Count
    published: Count
    still: Count
    """Not inferred, because nothing moved in them."""
    overwritten: Count
    """Not inferred, because a newer frame had arrived or the service ended."""
    unusable: Count
    """Empty, of an unknown format, or refused by the network."""
    unpublished: Count
    """Inferred, but not sent: the broker was away or too slow."""


Hertz = Annotated[
    float, Field(ge=0), PlainSerializer(lambda value: round(value, 2), return_type=float)
]


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
    """How often the source was opened again."""
    latency_ms: LatencyPercentilesRecord | None = None


class DroppedRecord(Record):
    """Events and states that were dropped since the start of the service, by reason."""

    rows: Count = 0
    """The oldest, because more than outbox.max_rows waited."""
    bytes: Count = 0
    """The oldest, because more than outbox.max_bytes waited."""
    age: Count = 0
    """Waited longer than outbox.max_age_s."""
    oversize: Count = 0
    """Larger than the broker or the outbox takes."""
    overflow: Count = 0
    """The oldest, because too many were recorded while the disk was busy."""


class BoardMetricsMessage(PayloadMessage):
    """`<prefix>/metrics`."""

    measured_at: Timestamp
    uptime_s: Annotated[float, Field(ge=0)]
    """Seconds since the service started."""
    cpu_percent: Annotated[float, Field(ge=0)]
    """Of all cores together, whole board."""
    process_cpu_percent: Annotated[float, Field(ge=0)]
    """Of the service; 100 is one core."""
    memory_percent: Annotated[float, Field(ge=0, le=100)]
    """Of the board's memory."""
    process_memory_bytes: Count
    """Resident memory of the service."""
    soc_temperature_c: float | None = None
    """Where the board has a sensor."""
    throttled: tuple[str, ...] | None = None
    """What slows a Raspberry Pi down now or did since boot; empty: nothing."""
    outbox_depth: Count
    """Events and states that the broker has not acknowledged yet."""
    outbox_bytes: Count
    """Bytes of their topics and payloads."""
    outbox_storage: Literal["disk", "memory"]
    """Where they are; memory: the disk cannot be written."""
    outbox_dropped: DroppedRecord
    outbox_refused: Count
    """How many times the broker refused one since the start; they are kept and tried again."""
    unpublished: Count
    """Telemetry messages not sent since the start: the broker was away or too slow."""
    mqtt_reconnects: Count
    """How often the connection to the broker was made again."""


# FOLDED:
# The payloads of the MQTT contract, schema version 1: what is told of objects, zones and lines.
#
# Events are kept on the disk until the broker has them and sent in order, at least once. Unlike in
# other messages, a key without a value is there and reads null.


def _named(key: str, attribute: str) -> Any:  # noqa: ANN401 - as pydantic's Field
    """Return a field under a key that Python has a word of its own for."""
    choices = AliasChoices(key, attribute)
    return Field(validation_alias=choices, serialization_alias=key)


_Pixels = Annotated[int, Field(ge=1)]

_Seconds = Annotated[
    float, Field(ge=0), PlainSerializer(lambda value: round(value, 3), return_type=float)
]

_Ratio = Annotated[
    float, Field(ge=0), PlainSerializer(lambda value: round(value, 3), return_type=float)
]


class ObjectRecord(Record):
    """An object at one moment."""

    id: str
    """Unique across cameras and restarts; the same in every message about this object."""
    label: str
    """By vote over its life."""
    score: Fraction
    """Of the last detection that belonged to it."""
    top_score: Fraction
    """The highest so far."""
    box: tuple[Fraction, Fraction, Fraction, Fraction]
    """x, y of the left upper corner, width, height, as fractions of the frame."""
    frame_size: tuple[_Pixels, _Pixels]
    """Width and height of the frame in pixels."""
    area: Fraction
    """The box's share of the frame."""
    ratio: _Ratio
    """Width of the box by its height, in pixels."""
    start_time: Timestamp
    """When it was first seen; never changes."""
    end_time: Timestamp | None
    """When it was last seen, once it has ended; else null."""
    duration_s: _Seconds
    """From when it was first seen to when it was last seen, whatever the clock did."""
    current_zones: tuple[str, ...]
    """The zones it is in."""
    entered_zones: tuple[str, ...]
    """All zones it has been in, in the order of entering."""
    loitering_zones: tuple[str, ...]
    """Those of current_zones where it has stayed for loiter_after_s."""
    stationary: bool
    """It has not moved for tracking.stationary_after_s."""
    position_changes: Count
    """How often it has begun to move again."""
    path: tuple[tuple[Fraction, Fraction, Timestamp], ...]
    """x, y of the middle of its box's lower edge, and when; thinned, first and last exact."""


class EventMessage(PayloadMessage):
    """What every event about an object begins with, on `<prefix>/<camera>/events`."""

    camera: str
    id: EventId
    """Unique, so that an event that comes again can be told; ascending while the clock is right."""
    occurred_at: Timestamp
    """When it happened, however late it is sent."""
    delayed: Delayed = None

    def encode(self) -> bytes:
        """Return the message as JSON, with its nulls; `delayed` is added where it is sent late."""
        return self.model_dump_json(exclude={"delayed"}, by_alias=True).encode()


class ObjectEventMessage(EventMessage):
    """`<prefix>/<camera>/events` of type `new`, `update` or `end`: the life of an object.

    One `new` and one `end` for each object, whatever happens between.
    """

    type: Literal["new", "update", "end"]
    reason: Reason
    """Why it is told."""
    before: ObjectRecord | None
    """As it was last told; null for `new`."""
    after: ObjectRecord
    """As it is."""


class ZoneEventMessage(EventMessage):
    """`<prefix>/<camera>/events` of type `zone`: an object has entered or left a zone."""

    type: Literal["zone"] = "zone"
    zone: str
    action: Literal["enter", "leave"]
    dwell_s: _Seconds
    """How long it was in the zone; 0 when it enters."""
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
    """`<prefix>/<camera>/lines/<line>/count`, retained: how often a line has been crossed."""

    camera: str
    line: str
    from_side: Annotated[str, _named("from", "from_side")]
    """Name of the one side."""
    to_side: Annotated[str, _named("to", "to_side")]
    """Name of the other side."""
    forward: Count
    """Crossings from the one side to the other."""
    backward: Count
    """Crossings the other way."""
    total: Count
    """Both together."""
    since: Timestamp
    """When the counting began."""
