"""Home Assistant's MQTT discovery: the board and each camera announced as a device.

Device discovery, `<prefix>/device/<id>/config`, retained. Home Assistant keeps what a later
announcement leaves out, so a removed component stays in it with its platform alone, which removes
it there; an empty announcement removes a whole device.

Keys and values are those of Home Assistant's MQTT integration, version 2026.2: each component is
what its discovery takes for one entity. Templates are Jinja2, rendered there.
"""

from __future__ import annotations

import contextlib
import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError

from edgevision.mqtt.message import Message, Topics, is_topic

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from edgevision.config.settings import Config

log = logging.getLogger(__name__)

Platform: TypeAlias = Literal["binary_sensor", "button", "image", "sensor", "switch"]

# For each topic, the platform of each component that was ever announced there.
Announced: TypeAlias = dict[str, dict[str, Platform]]

# Home Assistant publishes `online` here when it has started, whatever its discovery prefix is.
BIRTH_TOPIC = "homeassistant/status"

# Components of a device; with the rest of the announcement less than the outbox accepts.
MAX_COMPONENTS_BYTES = 200_000

# Removed components of a device; the oldest ones beyond are no longer announced.
MAX_REMOVED = 500
MAX_REMOVED_BYTES = 50_000

# Home Assistant's abbreviations of keys.
_ABBREVIATIONS = {
    "availability": "avty",
    "availability_mode": "avty_mode",
    "command_topic": "cmd_t",
    "components": "cmps",
    "content_type": "cont_type",
    "device": "dev",
    "device_class": "dev_cla",
    "entity_category": "ent_cat",
    "image_topic": "img_t",
    "json_attributes_template": "json_attr_tpl",
    "json_attributes_topic": "json_attr_t",
    "origin": "o",
    "payload_off": "pl_off",
    "payload_on": "pl_on",
    "payload_press": "pl_prs",
    "platform": "p",
    "state_class": "stat_cla",
    "state_off": "stat_off",
    "state_on": "stat_on",
    "state_topic": "stat_t",
    "suggested_display_precision": "sug_dsp_prc",
    "topic": "t",
    "unique_id": "uniq_id",
    "unit_of_measurement": "unit_of_meas",
    "value_template": "val_tpl",
}

Component: TypeAlias = dict[str, Any]

# Announced where the configuration selects no labels: what matters at a house.
USUAL_LABELS = ("person", "car", "cat", "dog")

# All labels of a model with no more than this are announced.
FEW_LABELS = 8
_ONLINE = "{{ 'online' if value_json.status == 'online' else 'offline' }}"
_OCCUPIED = "{{ 'ON' if value | int(0) > 0 else 'OFF' }}"

# None shows as unknown: there is no latency without frames, and no temperature without a sensor.
_LATENCY = "{{ value_json.latency_ms.capture_to_publish.p50 if value_json.latency_ms else None }}"
_TEMPERATURE = "{{ value_json.soc_temperature_c | default(None) }}"
_MEASURED = {"platform": "sensor", "state_class": "measurement", "entity_category": "diagnostic"}


@dataclass(frozen=True, slots=True)
class Discovery:
    """What to publish so that Home Assistant knows this board.

    Attributes:
        messages: announcements and removals, retained.
        announced: to store and pass to the next `discovery`.
        left_out: components that did not fit into `MAX_COMPONENTS_BYTES`.
    """

    messages: tuple[Message, ...]
    announced: Announced
    left_out: int


def discovery(
    config: Config,
    labels: Sequence[str],
    *,
    version: str,
    model_name: str,
    previous: Announced,
) -> Discovery:
    """Return what announces the board and its cameras, and removes what no longer exists.

    Args:
        config: the configuration in force.
        labels: the model's, without the background.
        version: of edgevision.
        model_name: name of the model.
        previous: `announced` of the previous discovery.
    """
    now = _devices(config, labels, version, model_name) if config.homeassistant.enabled else {}
    messages: list[Message] = []
    announced: Announced = {}
    left_out = 0
    for topic, device in now.items():
        kept = _fitting(device.components, MAX_COMPONENTS_BYTES)
        gone = _removed(previous.get(topic, {}), kept)
        payload = _encode(device.about | {"components": kept | gone})
        messages.append(Message(topic, payload, qos=1, retain=True))
        announced[topic] = {key: each["platform"] for key, each in (gone | kept).items()}
        left_out += len(device.components) - len(kept)
    messages += [Message(topic, b"", qos=1, retain=True) for topic in previous if topic not in now]
    return Discovery(tuple(messages), announced, left_out)


def encode_announced(announced: Announced) -> bytes:
    """Return what was announced, for storage."""
    return json.dumps(announced, separators=(",", ":")).encode()


def decode_announced(value: bytes | None) -> Announced:
    """Return what was announced; nothing where none is stored or it is damaged."""
    if value is None:
        return {}
    with contextlib.suppress(ValidationError):
        found = TypeAdapter(Announced).validate_json(value, strict=True)
        if all(map(is_topic, found)):
            return found
    log.warning("the stored list of Home Assistant announcements is damaged; starting without it")
    return {}


@dataclass(frozen=True, slots=True)
class _Device:
    """A device of an announcement: its description, and its components by key."""

    about: dict[str, Any]
    components: dict[str, Component]


def _devices(
    config: Config, labels: Sequence[str], version: str, model_name: str
) -> dict[str, _Device]:
    """Return the devices by the topic of their announcement."""
    topics = Topics(config.prefix)
    board = f"edgevision-{config.device}"
    about = {"manufacturer": "edgevision", "model": model_name, "sw_version": version}
    origin = {"name": "edgevision", "sw_version": version}

    def topic_of(device_id: str) -> str:
        return f"{config.homeassistant.prefix}/device/{device_id}/config"

    devices = {
        topic_of(board): _Device(
            {
                "device": {"identifiers": [board], "name": config.device, **about},
                "origin": origin,
                "availability": service_availability(topics),
                "availability_mode": "all",
            },
            board_components(config, board),
        )
    }
    for camera in config.cameras:
        # Names are lower case, so this cannot be the id of another board.
        own = f"{board}-CAMERA-{camera}"
        name = f"{config.device} {camera}"
        devices[topic_of(own)] = _Device(
            {
                "device": {"identifiers": [own], "name": name, "via_device": board, **about},
                "origin": origin,
                "availability": camera_availability(topics, camera),
                "availability_mode": "all",
            },
            camera_components(config, camera, labels, own),
        )
    return devices


def _fitting(components: Mapping[str, Component], limit_bytes: int) -> dict[str, Component]:
    """Return as many of the first components as fit, encoded, into the limit."""
    kept: dict[str, Component] = {}
    for key, component in components.items():
        limit_bytes -= len(_encode({"components": {key: component}}))
        if limit_bytes < 0:
            break
        kept[key] = component
    return kept


def _removed(previous: Mapping[str, str], now: Mapping[str, Component]) -> dict[str, Component]:
    """Return what removes the components that no longer exist, the last `MAX_REMOVED` of them."""
    gone = [key for key in previous if key not in now][-MAX_REMOVED:]
    latest = {key: {"platform": previous[key]} for key in reversed(gone)}
    kept = _fitting(latest, MAX_REMOVED_BYTES)
    return dict(reversed(kept.items()))


def _encode(announcement: Mapping[str, Any]) -> bytes:
    """Return an announcement, or a part of one, as JSON with abbreviated keys."""
    components = {key: _abbreviated(each) for key, each in announcement["components"].items()}
    document = _abbreviated({**announcement, "components": components})
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def _abbreviated(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return a part with abbreviated keys, also those of its availability."""
    return {
        _ABBREVIATIONS.get(key, key): (
            [_abbreviated(each) for each in value] if key == "availability" else value
        )
        for key, value in part.items()
    }


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
    """Return what makes the service's entities available: it runs."""
    return [{"topic": topics.status, "value_template": "{{ value_json.status }}"}]


def camera_availability(topics: Topics, camera: str) -> list[dict[str, str]]:
    """Return what makes the entities of a camera's picture available: service and camera run.

    Both must: a count of 0 while the camera is away would read as an empty scene.
    """
    own = {"topic": topics.camera_status(camera), "value_template": _ONLINE}
    return [*service_availability(topics), own]


def board_components(config: Config, unique_id: str) -> dict[str, Component]:
    """Return the board's components by key; a component's unique id starts with the device's."""
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
