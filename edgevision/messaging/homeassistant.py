"""Home Assistant's MQTT discovery: the board and each camera as a device that is announced.

The device form, `<prefix>/device/<id>/config`, retained. Home Assistant keeps what a later
announcement leaves out, so a component that is no more stays in it with its platform alone, which
removes it; an empty announcement removes a whole device.
"""

from __future__ import annotations

import contextlib
import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pydantic import TypeAdapter, ValidationError

from edgevision.messaging.homeentities import (
    board_components,
    camera_availability,
    camera_components,
    service_availability,
)
from edgevision.messaging.message import Message, is_topic
from edgevision.messaging.topics import Topics

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgevision.config import Config
    from edgevision.messaging.homeentities import Component

log = logging.getLogger(__name__)

# For each topic the platform of each component that was ever announced there.
Platform: TypeAlias = Literal["binary_sensor", "button", "image", "sensor", "switch"]
Announced: TypeAlias = dict[str, dict[str, Platform]]

# Home Assistant says `online` here when it has started, whatever its discovery prefix is.
BIRTH_TOPIC = "homeassistant/status"
# Components of a device; with what else an announcement holds below what the outbox takes.
MAX_COMPONENTS_BYTES = 200_000
# Components of a device that are no more; of the oldest ones nothing is said any longer.
MAX_REMOVED = 500
MAX_REMOVED_BYTES = 50_000

# Home Assistant's abbreviations of keys (its MQTT integration, version 2026.2).
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


@dataclass(frozen=True, slots=True)
class Discovery:
    """What is to be published so that Home Assistant knows this board.

    Attributes:
        messages: announcements and removals, retained.
        announced: to be kept and given to the next `discovery`.
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
    """Return what announces the board and its cameras, and removes what is no more.

    Args:
        config: the configuration in force.
        labels: the model's, without the background.
        version: of edgevision.
        model_name: name of the model.
        previous: `announced` of the discovery before this one.
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
    """Return what was announced for keeping it."""
    return json.dumps(announced, separators=(",", ":")).encode()


def decode_announced(value: bytes | None) -> Announced:
    """Return what was announced; nothing where it was not kept or is damaged."""
    if value is None:
        return {}
    with contextlib.suppress(ValidationError):
        found = TypeAdapter(Announced).validate_json(value, strict=True)
        if all(map(is_topic, found)):
            return found
    log.warning("what was announced to Home Assistant is damaged: begun again without it")
    return {}


@dataclass(frozen=True, slots=True)
class _Device:
    """A device of an announcement: what it is, and its components by key."""

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
    """Return the first components, as many as may be encoded in so many bytes."""
    kept: dict[str, Component] = {}
    for key, component in components.items():
        limit_bytes -= len(_encode({"components": {key: component}}))
        if limit_bytes < 0:
            break
        kept[key] = component
    return kept


def _removed(previous: Mapping[str, str], now: Mapping[str, Component]) -> dict[str, Component]:
    """Return what removes the components that are no more, the last `MAX_REMOVED` of them."""
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
