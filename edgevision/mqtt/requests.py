"""Requests and responses over MQTT, schema version 1; a request is parsed from untrusted bytes.

A request is a JSON object on `<prefix>/request/<verb>`; an empty payload stands for an empty
object. Each is answered on `<prefix>/response/<verb>`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NoReturn

from pydantic import ConfigDict, Field, ValidationError

from edgevision.config.faults import Fault, shown
from edgevision.config.fields import Score  # noqa: TC001 - pydantic reads the annotations
from edgevision.mqtt.payloads import Count, PayloadMessage, Record, Timestamp

MAX_REQUEST_BYTES = 4096
_VERB = re.compile(r"[a-z_]{1,32}")
_RETAINED = "expected a request that is not retained: it would be repeated with each connection"

# Integers that every JSON parser represents exactly (RFC 8259, section 6).
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
    """Returned in the response, to match it to its request."""


class CameraRequest(RequestPayload):
    """`camera`: enable or disable a camera."""

    camera: str
    enabled: bool


class EmptyRequest(RequestPayload):
    """`reload`: read the configuration file again. `info`: version, model and configuration."""


class OneCameraRequest(RequestPayload):
    """`enable`, `disable`, or `snapshot`: publish the camera's current picture."""

    camera: str


class ResetRequest(RequestPayload):
    """`reset`: set the counters of a camera's lines to zero."""

    camera: str
    line: str | None = None
    """Only this line; default: all of this camera."""


class ThresholdRequest(RequestPayload):
    """`threshold`: the score from which objects are published."""

    camera: str | None = None
    """Only for this camera; default: for all without a threshold of their own."""
    label: str | None = None
    """Only for this label; default: for all without a threshold of their own."""
    min_score: Score


VERBS: dict[str, type[RequestPayload]] = {
    "camera": CameraRequest,
    "enable": OneCameraRequest,
    "disable": OneCameraRequest,
    "threshold": ThresholdRequest,
    "snapshot": OneCameraRequest,
    "reset": ResetRequest,
    "reload": EmptyRequest,
    "info": EmptyRequest,
}


@dataclass(frozen=True, slots=True)
class Request:
    """A request whose payload has the right keys and types; its names are not checked yet."""

    verb: str
    payload: RequestPayload


class RequestError(Exception):
    """A request that cannot be accepted, with its `transaction` if that could be parsed."""

    def __init__(self, text: str, transaction: Transaction = None) -> None:
        """Keep what is wrong, in one line."""
        super().__init__(text)
        self.transaction = transaction


def verb_of(topic: str) -> str | None:
    """Return the last level of a topic if a response can be published under it, else None."""
    last = topic.rpartition("/")[2]
    return last if _VERB.fullmatch(last) else None


def parse_request(verb: str | None, payload: bytes, *, retained: bool = False) -> Request:
    """Parse a request.

    Args:
        verb: from `verb_of`.
        payload: a JSON object of at most `MAX_REQUEST_BYTES`; empty: an object without keys.
        retained: whether the broker retains it.

    Raises:
        RequestError: it cannot be accepted.
    """
    if len(payload) > MAX_REQUEST_BYTES:
        msg = f"expected a payload of at most {MAX_REQUEST_BYTES} bytes, got a larger one"
        raise RequestError(msg)
    tree = _object(payload)
    transaction = _transaction(tree)
    if retained:
        raise RequestError(_RETAINED, transaction)
    model = VERBS.get(verb or "")
    if verb is None or model is None:
        msg = f"expected one of the requests {', '.join(VERBS)}; got another one"
        raise RequestError(msg, transaction)
    try:
        return Request(verb, model.model_validate(tree))
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in detail["loc"])
        if detail["type"] == "extra_forbidden":
            msg = f"expected one of the keys {', '.join(model.model_fields)}; got {_short(place)}"
        else:
            msg = f"{place}: {Fault(detail, tree).sentence()}"
        raise RequestError(msg, transaction) from None


def _object(payload: bytes) -> dict[str, Any]:
    try:
        text = payload.decode()
        tree = json.loads(
            text or "{}", object_pairs_hook=_without_repeats, parse_constant=_no_constant
        )
    except UnicodeDecodeError:
        msg = "expected JSON in UTF-8, got other bytes"
        raise RequestError(msg) from None
    except json.JSONDecodeError as error:
        msg = f"expected a JSON object, got a fault at character {error.pos + 1}: {error.msg}"
        raise RequestError(msg) from None
    except ValueError:  # Python's limit for the digits of a whole number
        msg = "expected numbers of a few digits, got one with thousands"
        raise RequestError(msg) from None
    except RecursionError:
        msg = "expected a JSON object without nesting, got hundreds of levels"
        raise RequestError(msg) from None
    if not isinstance(tree, dict):
        msg = f"expected a JSON object, got {shown(tree)}"
        raise RequestError(msg)
    return tree


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in pairs:
        if key in tree:
            msg = f"expected each key once, got {_short(key)} again"
            raise RequestError(msg)
        tree[key] = value
    return tree


def _no_constant(word: str) -> NoReturn:
    msg = f"expected JSON, got {word}"
    raise RequestError(msg)


def _transaction(tree: dict[str, Any]) -> Transaction:
    value = tree.get("transaction")
    if value is None:
        return None
    if isinstance(value, str) and len(value) <= MAX_TRANSACTION_CHARACTERS:
        if not re.search("[\ud800-\udfff]", value):  # surrogates have no UTF-8
            return value
    elif type(value) is int and abs(value) <= MAX_INTEGER:
        return value
    msg = (
        f"transaction: expected text of at most {MAX_TRANSACTION_CHARACTERS} characters or a "
        f"whole number, got {shown(value)}"
    )
    raise RequestError(msg)


def _short(key: str) -> str:
    return shown(key[:64])


class ChangeData(Record):
    """A warning about a change that was made."""

    warning: str
    """Why the change will not survive a restart."""


class SnapshotData(Record):
    """A picture that was published."""

    topic: str
    bytes: Count


class InfoData(Record):
    """The service's version, model and configuration."""

    version: str
    """Version of edgevision."""
    model: str
    """Name of the model."""
    backend: str
    """Inference engine in use."""
    started_at: Timestamp
    """When the service started."""
    restart_required: bool
    """Whether the configuration file has changes that only a restart applies."""
    restart_reasons: tuple[str, ...] = ()
    """Which changes these are."""
    config: dict[str, Any]
    """Configuration in force, without secrets."""
    config_schema: dict[str, Any]
    """Its JSON Schema."""


class ResponseMessage(PayloadMessage):
    """`<prefix>/response/<verb>`, not retained: the result of a request."""

    verb: str | None = None
    """The request's; absent, and `unknown` in the topic, for an invalid one."""
    status: Literal["ok", "error"]
    error: str | None = None
    """Why the request was not carried out."""
    transaction: Transaction = None
    """The request's."""
    data: InfoData | SnapshotData | ChangeData | None = None
