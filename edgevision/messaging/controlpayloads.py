"""The payloads of requests and responses, schema version 1.

A request is a JSON object on `<prefix>/request/<verb>`, an empty payload stands for an empty one.
Each is answered on `<prefix>/response/<verb>`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from edgevision.configtypes import Score  # noqa: TC001 - pydantic reads the annotations
from edgevision.messaging.payload import Count, PayloadMessage, Record, Timestamp

# Whole numbers that every reader of JSON can tell apart (RFC 8259, section 6).
MAX_INTEGER = 2**53 - 1
MAX_TRANSACTION_CHARACTERS = 128

Transaction = (
    Annotated[str, Field(max_length=MAX_TRANSACTION_CHARACTERS)]
    | Annotated[int, Field(ge=-MAX_INTEGER, le=MAX_INTEGER)]
    | None
)


class RequestPayload(Record):
    """What every request may hold."""

    model_config = ConfigDict(strict=True)

    transaction: Transaction = None
    """Comes back in the response, so that it can be told from others."""


class CameraRequest(RequestPayload):
    """`camera`: switch a camera on or off."""

    camera: str
    enabled: bool


class OneCameraRequest(RequestPayload):
    """`enable`, `disable`, or `snapshot`: publish the camera's picture as it is now."""

    camera: str


class ThresholdRequest(RequestPayload):
    """`threshold`: the score from which objects are published."""

    camera: str | None = None
    """Only for this camera; default: for all that have none of their own."""
    label: str | None = None
    """Only for this label; default: for all that have none of their own."""
    min_score: Score


class ResetRequest(RequestPayload):
    """`reset`: begin again to count what crosses the lines of a camera."""

    camera: str
    line: str | None = None
    """Only this line; default: all of this camera."""


class EmptyRequest(RequestPayload):
    """`reload`: read the configuration file again. `info`: what this service is and does."""


class ChangeData(Record):
    """What is to be known about a change."""

    warning: str
    """Why it will not survive a restart."""


class SnapshotData(Record):
    """A picture that was published."""

    topic: str
    bytes: Count


class InfoData(Record):
    """What this service is and does."""

    version: str
    """Version of edgevision."""
    model: str
    """Name of the model."""
    backend: str
    """Inference engine in use."""
    started_at: Timestamp
    """When the service started."""
    restart_required: bool
    """Whether the configuration file asks for what only a restart can change."""
    restart_reasons: tuple[str, ...] = ()
    """What that is."""
    config: dict[str, Any]
    """Configuration in force, without secrets."""
    config_schema: dict[str, Any]
    """Its JSON Schema."""


class ResponseMessage(PayloadMessage):
    """`<prefix>/response/<verb>`, not retained: what came of a request."""

    verb: str | None = None
    """The request's; absent, and the topic ends in `unknown`, where it can be none."""
    status: Literal["ok", "error"]
    error: str | None = None
    """Why nothing was done."""
    transaction: Transaction = None
    """The request's."""
    data: InfoData | SnapshotData | ChangeData | None = None
