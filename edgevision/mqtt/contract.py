"""The MQTT contract as documents: JSON Schema and AsyncAPI."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic.json_schema import JsonSchemaMode, models_json_schema

from edgevision.mqtt.payloads import (
    SCHEMA_VERSION,
    BoardMetricsMessage,
    CameraEventMessage,
    CameraMetricsMessage,
    CameraStatusMessage,
    DetectionsMessage,
    LineCountMessage,
    LineEventMessage,
    LoiteringEventMessage,
    ObjectEventMessage,
    PayloadMessage,
    StatusMessage,
    ZoneEventMessage,
)
from edgevision.mqtt.requests import VERBS, ResponseMessage

if TYPE_CHECKING:
    from pydantic import BaseModel

MESSAGES: tuple[type[PayloadMessage], ...] = (
    StatusMessage,
    CameraStatusMessage,
    CameraEventMessage,
    ObjectEventMessage,
    ZoneEventMessage,
    LoiteringEventMessage,
    LineEventMessage,
    LineCountMessage,
    DetectionsMessage,
    CameraMetricsMessage,
    BoardMetricsMessage,
    ResponseMessage,
)

_MODELS: list[tuple[type[BaseModel], JsonSchemaMode]] = [
    *((message, "serialization") for message in MESSAGES),
    *((request, "validation") for request in dict.fromkeys(VERBS.values())),
]


def schema() -> dict[str, Any]:
    """Return one JSON Schema document (2020-12) with a definition for each message."""
    _, document = models_json_schema(
        _MODELS,
        title="edgevision MQTT payloads, schema version 1",
    )
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **document}


# The address of each channel and its messages.
_CHANNELS: dict[str, tuple[str, *tuple[type[BaseModel], ...]]] = {
    "status": ("{prefix}/status", StatusMessage),
    "metrics": ("{prefix}/metrics", BoardMetricsMessage),
    "cameraStatus": ("{prefix}/{camera}/status", CameraStatusMessage),
    "cameraEvents": (
        "{prefix}/{camera}/events",
        CameraEventMessage,
        ObjectEventMessage,
        ZoneEventMessage,
        LoiteringEventMessage,
        LineEventMessage,
    ),
    "lineCount": ("{prefix}/{camera}/lines/{line}/count", LineCountMessage),
    "cameraMetrics": ("{prefix}/{camera}/metrics", CameraMetricsMessage),
    "detections": ("{prefix}/{camera}/detections", DetectionsMessage),
    "response": ("{prefix}/response/{verb}", ResponseMessage),
}

_REQUESTS: dict[str, tuple[str, type[BaseModel]]] = {
    f"{verb}Request": (f"{{prefix}}/request/{verb}", model) for verb, model in VERBS.items()
}

# Payloads that are not JSON objects.
_PLAIN: dict[str, dict[str, Any]] = {
    "Count": {
        "summary": "How many objects of a label are present; retained.",
        "contentType": "text/plain",
        "payload": {"type": "integer", "minimum": 0},
    },
    "Snapshot": {
        "summary": "A picture as JPEG; retained.",
        "contentType": "image/jpeg",
        "payload": {"type": "string", "format": "binary"},
    },
}

_PLAIN_CHANNELS: dict[str, tuple[str, str]] = {
    "labelCount": ("{prefix}/{camera}/{label}/count", "Count"),
    "zoneCount": ("{prefix}/{camera}/zones/{zone}/{label}/count", "Count"),
    "labelSnapshot": ("{prefix}/{camera}/{label}/snapshot", "Snapshot"),
    "cameraSnapshot": ("{prefix}/{camera}/snapshot", "Snapshot"),
}

_PARAMETERS = {
    "prefix": "edgevision/<device>, unless mqtt.prefix says otherwise",
    "camera": "name of a camera in the configuration",
    "zone": "name of a zone of this camera",
    "line": "name of a line of this camera",
    "verb": "the request's; unknown for an invalid one",
    "label": "a label of the model, with _ for / + # and control characters",
}


def asyncapi() -> dict[str, Any]:
    """Return the contract as an AsyncAPI 3.0 document: channels, operations, payloads."""
    _, document = models_json_schema(_MODELS, ref_template="#/components/schemas/{model}")
    sent = {
        name: (address, [message.__name__ for message in messages])
        for name, (address, *messages) in _CHANNELS.items()
    } | {name: (address, [message]) for name, (address, message) in _PLAIN_CHANNELS.items()}
    received = {name: (address, [model.__name__]) for name, (address, model) in _REQUESTS.items()}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "edgevision", "version": f"{SCHEMA_VERSION}.0.0"},
        "defaultContentType": "application/json",
        "channels": {
            name: {
                "address": address,
                "parameters": {
                    level: {"description": text}
                    for level, text in _PARAMETERS.items()
                    if f"{{{level}}}" in address
                },
                "messages": {
                    message: {"$ref": f"#/components/messages/{message}"} for message in messages
                },
            }
            for name, (address, messages) in (sent | received).items()
        },
        "operations": {
            f"{action}{name[0].upper()}{name[1:]}": {
                "action": action,
                "channel": {"$ref": f"#/channels/{name}"},
            }
            for action, channels in (("send", sent), ("receive", received))
            for name in channels
        },
        "components": {
            "messages": {
                message.__name__: {"payload": {"$ref": f"#/components/schemas/{message.__name__}"}}
                for message, _ in _MODELS
            }
            | _PLAIN,
            "schemas": document["$defs"],
        },
    }
