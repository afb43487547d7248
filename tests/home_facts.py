"""What Home Assistant's MQTT discovery takes, as read from its package, version 2026.2.3.

Keys and abbreviations: components/mqtt/abbreviations.py, schemas.py, config.py and each
platform's file. Values: components/sensor/const.py, components/binary_sensor, const.py.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

ABBREVIATIONS = {
    "avty": "availability",
    "avty_mode": "availability_mode",
    "cmd_t": "command_topic",
    "cmps": "components",
    "cont_type": "content_type",
    "dev": "device",
    "dev_cla": "device_class",
    "ent_cat": "entity_category",
    "img_t": "image_topic",
    "json_attr_t": "json_attributes_topic",
    "json_attr_tpl": "json_attributes_template",
    "o": "origin",
    "p": "platform",
    "pl_off": "payload_off",
    "pl_on": "payload_on",
    "pl_prs": "payload_press",
    "stat_cla": "state_class",
    "stat_off": "state_off",
    "stat_on": "state_on",
    "stat_t": "state_topic",
    "sug_dsp_prc": "suggested_display_precision",
    "t": "topic",
    "uniq_id": "unique_id",
    "unit_of_meas": "unit_of_measurement",
    "val_tpl": "value_template",
}
TOPIC = re.compile(r"\w+/([a-zA-Z0-9_-]+/)?[a-zA-Z0-9_-]+/config")
ENTITY_CATEGORIES = {"config", "diagnostic"}
AVAILABILITY_MODES = {"all", "any", "latest"}

_COMMON = {
    "availability",
    "availability_mode",
    "availability_template",
    "availability_topic",
    "default_entity_id",
    "enabled_by_default",
    "encoding",
    "entity_category",
    "entity_picture",
    "icon",
    "json_attributes_template",
    "json_attributes_topic",
    "name",
    "payload_available",
    "payload_not_available",
    "platform",
    "qos",
    "unique_id",
}
_DEVICE = {
    "configuration_url",
    "connections",
    "hw_version",
    "identifiers",
    "manufacturer",
    "model",
    "model_id",
    "name",
    "serial_number",
    "suggested_area",
    "sw_version",
    "via_device",
}
_ORIGIN = {"name", "support_url", "sw_version"}
_ANNOUNCEMENT = {
    "availability",
    "availability_mode",
    "command_topic",
    "components",
    "device",
    "encoding",
    "origin",
    "qos",
    "state_topic",
}


@dataclass(frozen=True)
class Platform:
    """The keys of one platform besides the common ones, and values of its classes in use."""

    required: frozenset[str]
    optional: frozenset[str]
    # Device class to the units that it takes; None: no unit.
    device_classes: dict[str | None, set[str | None]] = field(
        default_factory=lambda: {None: {None}}
    )


_ANY_UNIT = {None, "%", "fps", "messages"}
PLATFORMS = {
    "binary_sensor": Platform(
        frozenset({"state_topic"}),
        frozenset(
            {
                "device_class",
                "expire_after",
                "force_update",
                "off_delay",
                "payload_off",
                "payload_on",
                "value_template",
            }
        ),
        {"connectivity": {None}, "problem": {None}, "occupancy": {None}},
    ),
    "button": Platform(
        frozenset({"command_topic"}),
        frozenset({"command_template", "device_class", "payload_press", "retain"}),
    ),
    "image": Platform(frozenset({"image_topic"}), frozenset({"content_type", "image_encoding"})),
    "sensor": Platform(
        frozenset({"state_topic"}),
        frozenset(
            {
                "device_class",
                "expire_after",
                "force_update",
                "last_reset_value_template",
                "options",
                "state_class",
                "suggested_display_precision",
                "unit_of_measurement",
                "value_template",
            }
        ),
        {
            None: _ANY_UNIT,
            "duration": {"d", "h", "min", "s", "ms", "μs"},
            "temperature": {"°C", "°F", "K"},
        },
    ),
    "switch": Platform(
        frozenset({"command_topic"}),
        frozenset(
            {
                "command_template",
                "device_class",
                "optimistic",
                "payload_off",
                "payload_on",
                "retain",
                "state_off",
                "state_on",
                "state_topic",
                "value_template",
            }
        ),
    ),
}
STATE_CLASSES = {None, "measurement", "measurement_angle", "total", "total_increasing"}


def expanded(part: dict[str, Any]) -> dict[str, Any]:
    """Return a part of an announcement with its keys written out, as Home Assistant does it."""
    full = {ABBREVIATIONS.get(key, key): value for key, value in part.items()}
    if "availability" in full:
        full["availability"] = [expanded(each) for each in full["availability"]]
    return full


def checked(topic: str, payload: bytes) -> dict[str, Any]:
    """Return an announcement written out, if Home Assistant takes it."""
    assert TOPIC.fullmatch(topic.removeprefix("homeassistant/")), topic
    found = expanded(json.loads(payload))
    assert found.keys() >= {"device", "origin", "components"}
    assert found.keys() <= _ANNOUNCEMENT
    assert found["device"].keys() <= _DEVICE
    assert found["device"].get("identifiers") or found["device"].get("connections")
    assert found["origin"]["name"]
    assert found["origin"].keys() <= _ORIGIN
    _check_availability(found)
    components = {key: expanded(each) for key, each in found["components"].items()}
    for key, component in components.items():
        # The key becomes a part of an identifier whose parts are parted by spaces.
        assert key
        assert " " not in key
        check_component(component)
    return found | {"components": components}


def check_component(component: dict[str, Any]) -> None:
    """Assert that Home Assistant takes a component; one with a platform alone removes it."""
    platform = PLATFORMS[component["platform"]]
    if component.keys() == {"platform"}:
        return
    assert "unique_id" in component
    assert component.keys() >= platform.required
    assert component.keys() <= platform.required | platform.optional | _COMMON
    assert component.get("entity_category", "config") in ENTITY_CATEGORIES
    device_class = component.get("device_class")
    assert component.get("unit_of_measurement") in platform.device_classes[device_class]
    assert component.get("state_class") in STATE_CLASSES
    assert component.get("qos", 0) in {0, 1, 2}
    _check_availability(component)
    for key, value in component.items():
        if key.endswith("_topic"):
            assert not set(value) & set("+#\0")
        if key.endswith("_template"):
            assert value.count("{{") == value.count("}}") == 1


def _check_availability(part: dict[str, Any]) -> None:
    assert part.get("availability_mode", "latest") in AVAILABILITY_MODES
    for each in part.get("availability", ()):
        assert {"topic"} <= each.keys()
        assert each.keys() <= {
            "topic",
            "payload_available",
            "payload_not_available",
            "value_template",
        }
