"""The kinds of value that the payloads of the MQTT contract consist of."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer

SCHEMA_VERSION: Literal[1] = 1


def rfc3339(moment: datetime) -> str:
    """Return an aware time as RFC 3339, UTC, with six decimals: 2026-01-31T12:00:00.000000Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


Timestamp = Annotated[
    AwareDatetime,
    PlainSerializer(rfc3339, return_type=str, when_used="json"),
    Field(json_schema_extra={"type": "string", "format": "date-time"}),
]
Milliseconds = Annotated[
    float, Field(ge=0), PlainSerializer(lambda value: round(value, 3), return_type=float)
]
Hertz = Annotated[
    float, Field(ge=0), PlainSerializer(lambda value: round(value, 2), return_type=float)
]
Fraction = Annotated[
    float, Field(ge=0, le=1), PlainSerializer(lambda value: round(value, 5), return_type=float)
]
Count = Annotated[int, Field(ge=0)]
EventId = Annotated[str, Field(pattern=r"^[0-9a-f]+-[0-9a-f]+$")]
CameraStatus = Literal["online", "offline", "stalled", "frozen", "black", "disabled"]
Delayed = Annotated[
    Literal[True] | None,
    Field(description="Recorded before the connection over which it was sent; else absent."),
]


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
