"""The payloads of the MQTT contract, schema version 1: what is told of objects, zones and lines.

Events are kept on the disk until the broker has them and sent in order, at least once. Unlike in
other messages, a key without a value is there and reads null.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field, PlainSerializer

from edgevision.messaging.payload import (
    Count,
    Delayed,
    EventId,
    Fraction,
    PayloadMessage,
    Record,
    Timestamp,
)
from edgevision.tracks import Reason  # noqa: TC001 - pydantic reads the annotations


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
