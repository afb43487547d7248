"""The payloads of the MQTT contract, schema version 1: what is told of the service and its cameras.

Published as JSON in UTF-8. Times are RFC 3339 in UTC with microseconds, durations are in
milliseconds, boxes are fractions of the frame.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edgevision.errors import CameraFault  # noqa: TC001 - pydantic reads the annotations
from edgevision.messaging.payload import (
    CameraStatus,
    Count,
    Delayed,
    EventId,
    Fraction,
    Hertz,
    Milliseconds,
    PayloadMessage,
    Record,
    Timestamp,
)


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


class DetectionRecord(Record):
    """One object in one frame."""

    label: str
    score: Fraction
    box: tuple[Fraction, Fraction, Fraction, Fraction]
    """x, y of the left upper corner, width, height, as fractions of the frame."""
    track_id: str | None = None
    """The object's id in the events, once it has been told there."""


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
