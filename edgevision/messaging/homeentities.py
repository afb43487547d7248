"""What the board and its cameras are in Home Assistant: the components of their devices.

Keys and values are those of Home Assistant's MQTT integration, version 2026.2: each component is
what its discovery takes for one entity. Templates are Jinja2, rendered there.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote

from edgevision.messaging.topics import Topics

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from edgevision.config import Config

Component: TypeAlias = dict[str, Any]

# Announced where nobody has said which labels matter: what stands for itself at a house.
USUAL_LABELS = ("person", "car", "cat", "dog")
# A model with no more labels than this was made for them.
FEW_LABELS = 8

_ONLINE = "{{ 'online' if value_json.status == 'online' else 'offline' }}"
_OCCUPIED = "{{ 'ON' if value | int(0) > 0 else 'OFF' }}"
# None reads as unknown: there is no figure without frames, and no temperature without a sensor.
_LATENCY = "{{ value_json.latency_ms.capture_to_publish.p50 if value_json.latency_ms else None }}"
_TEMPERATURE = "{{ value_json.soc_temperature_c | default(None) }}"
_MEASURED = {"platform": "sensor", "state_class": "measurement", "entity_category": "diagnostic"}


def labels_of(config: Config, camera: str, model_labels: Sequence[str]) -> tuple[str, ...]:
    """Return the labels for which a camera has entities.

    `homeassistant.labels` as far as the camera looks for them; else its `detection.labels`; else
    all of a model that has few, and of a larger one those of `USUAL_LABELS`.
    """
    looked_for = config.detection_of(camera).labels
    known = tuple(model_labels if looked_for is None else looked_for)
    wanted = config.homeassistant.labels
    if wanted is not None:
        return tuple(label for label in known if label in wanted)
    if looked_for is not None or len(known) <= FEW_LABELS:
        return known
    return tuple(label for label in known if label.lower() in USUAL_LABELS)


def zone_labels_of(
    config: Config, camera: str, zone: str, model_labels: Sequence[str]
) -> tuple[str, ...]:
    """Return the labels for which a zone has entities: its own, else those of its camera."""
    own = config.cameras[camera].zones[zone].labels
    if own is None or config.homeassistant.labels is not None:
        labels = labels_of(config, camera, model_labels)
        return tuple(label for label in labels if own is None or label in own)
    looked_for = config.detection_of(camera).labels or model_labels
    return tuple(label for label in own if label in looked_for)


def service_availability(topics: Topics) -> list[dict[str, str]]:
    """Return when what the service tells is true: while it runs."""
    return [{"topic": topics.status, "value_template": "{{ value_json.status }}"}]


def camera_availability(topics: Topics, camera: str) -> list[dict[str, str]]:
    """Return when what is told of a camera's picture is true: while there is one.

    Both have to be: a count of 0 while the camera is away would read as nobody being there.
    """
    own = {"topic": topics.camera_status(camera), "value_template": _ONLINE}
    return [*service_availability(topics), own]


def board_components(config: Config, unique_id: str) -> dict[str, Component]:
    """Return the board's components by key; a component's unique id begins with the device's."""
    topics = Topics(config.prefix)
    found: dict[str, Component] = {
        "connectivity": {
            "platform": "binary_sensor",
            "name": "Connectivity",
            "device_class": "connectivity",
            "entity_category": "diagnostic",
            "state_topic": topics.status,
            "value_template": "{{ 'ON' if value_json.status == 'online' else 'OFF' }}",
            "availability": [],
        },
        "problem": {
            "platform": "binary_sensor",
            "name": "Problem",
            "device_class": "problem",
            "entity_category": "diagnostic",
            "state_topic": topics.status,
            "value_template": "{{ 'ON' if value_json.problems else 'OFF' }}",
            "json_attributes_topic": topics.status,
            "json_attributes_template": "{{ {'problems': value_json.problems} | tojson }}",
        },
        "temperature": {
            **_MEASURED,
            "name": "Temperature",
            "device_class": "temperature",
            "unit_of_measurement": "°C",
            "state_topic": topics.metrics,
            "value_template": _TEMPERATURE,
        },
    }
    for key, name, unit in (
        ("cpu_percent", "CPU", "%"),
        ("memory_percent", "Memory", "%"),
        ("outbox_depth", "Outbox", "messages"),
    ):
        found[key] = {
            **_MEASURED,
            "name": name,
            "unit_of_measurement": unit,
            "suggested_display_precision": 0,
            "state_topic": topics.metrics,
            "value_template": f"{{{{ value_json.{key} }}}}",
        }
    if config.control.enabled:
        found["reload"] = _button(topics, "reload", {}, "Reload configuration")
    return _identified(found.items(), unique_id)


def camera_components(
    config: Config, camera: str, model_labels: Sequence[str], unique_id: str
) -> dict[str, Component]:
    """Return a camera's components by key, the more important ones first."""
    topics = Topics(config.prefix)
    always = {"availability": service_availability(topics)}
    found = {key: always | component for key, component in _of_camera(config, topics, camera)}
    for label in labels_of(config, camera, model_labels):
        found.update(_of_label(topics, camera, None, label))
        if config.snapshots.enabled:
            found[f"{_part(label)}.snapshot"] = always | _image(topics, camera, label)
    for line in config.cameras[camera].lines:
        for key, component in _of_line(config, topics, camera, line):
            found[key] = always | component
    for zone in config.cameras[camera].zones:
        for label in zone_labels_of(config, camera, zone, model_labels):
            found.update(_of_label(topics, camera, zone, label))
    return _identified(found.items(), unique_id)


def _identified(
    components: Iterable[tuple[str, Component]], unique_id: str
) -> dict[str, Component]:
    return {key: component | {"unique_id": f"{unique_id}.{key}"} for key, component in components}


def _part(label: str) -> str:
    """Return a label as a part of a key: no two labels give the same, none holds a dot."""
    return quote(label, safe="").replace(".", "%2E")


def _of_camera(config: Config, topics: Topics, camera: str) -> Iterator[tuple[str, Component]]:
    if config.control.enabled:
        yield "detection", _switch(topics, camera)
    yield (
        "problem",
        {
            "platform": "binary_sensor",
            "name": "Problem",
            "device_class": "problem",
            "entity_category": "diagnostic",
            "state_topic": topics.camera_status(camera),
            "value_template": (
                "{{ 'OFF' if value_json.status in ['online', 'disabled'] else 'ON' }}"
            ),
            "json_attributes_topic": topics.camera_status(camera),
            "json_attributes_template": (
                "{{ {'status': value_json.status, 'reason': value_json.reason} | tojson }}"
            ),
        },
    )
    if config.snapshots.enabled:
        yield "snapshot", _image(topics, camera, None)
    yield (
        "fps",
        {
            **_MEASURED,
            "name": "Frame rate",
            "unit_of_measurement": "fps",
            "suggested_display_precision": 1,
            "state_topic": topics.camera_metrics(camera),
            "value_template": "{{ value_json.inference_fps }}",
        },
    )
    yield (
        "latency",
        {
            **_MEASURED,
            "name": "Latency",
            "device_class": "duration",
            "unit_of_measurement": "ms",
            "suggested_display_precision": 0,
            "state_topic": topics.camera_metrics(camera),
            "value_template": _LATENCY,
        },
    )


def _of_label(
    topics: Topics, camera: str, zone: str | None, label: str
) -> Iterator[tuple[str, Component]]:
    name = label if zone is None else f"{zone} {label}"
    key = _part(label) if zone is None else f"zone.{zone}.{_part(label)}"
    topic = topics.count(camera, zone, label)
    yield (
        f"{key}.occupancy",
        {
            "platform": "binary_sensor",
            "name": name,
            "device_class": "occupancy",
            "state_topic": topic,
            "value_template": _OCCUPIED,
        },
    )
    yield (
        f"{key}.count",
        {
            "platform": "sensor",
            "name": f"{name} count",
            "state_class": "measurement",
            "state_topic": topic,
        },
    )


def _of_line(
    config: Config, topics: Topics, camera: str, line: str
) -> Iterator[tuple[str, Component]]:
    sides = config.cameras[camera].lines[line]
    for key, start, end in (
        ("forward", sides.from_side, sides.to_side),
        ("backward", sides.to_side, sides.from_side),
    ):
        yield (
            f"line.{line}.{key}",
            {
                "platform": "sensor",
                "name": f"{line} {start} to {end}",
                "state_class": "total_increasing",
                "state_topic": topics.line_count(camera, line),
                "value_template": f"{{{{ value_json.{key} }}}}",
            },
        )
    if config.control.enabled:
        request = {"camera": camera, "line": line}
        yield f"line.{line}.reset", _button(topics, "reset", request, f"Reset {line}")


def _image(topics: Topics, camera: str, label: str | None) -> Component:
    return {
        "platform": "image",
        "name": "Snapshot" if label is None else f"{label} snapshot",
        "content_type": "image/jpeg",
        "image_topic": topics.snapshot(camera, label),
    }


def _switch(topics: Topics, camera: str) -> Component:
    return {
        "platform": "switch",
        "name": "Detection",
        "state_topic": topics.camera_status(camera),
        "value_template": "{{ 'OFF' if value_json.status == 'disabled' else 'ON' }}",
        "state_on": "ON",
        "state_off": "OFF",
        "command_topic": topics.request("camera"),
        "payload_on": _json({"camera": camera, "enabled": True}),
        "payload_off": _json({"camera": camera, "enabled": False}),
        "qos": 1,
    }


def _button(topics: Topics, verb: str, request: dict[str, str], name: str) -> Component:
    return {
        "platform": "button",
        "name": name,
        "entity_category": "config",
        "command_topic": topics.request(verb),
        "payload_press": _json(request),
        "qos": 1,
    }


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
