"""Our announcements before Home Assistant's own schemas, where its package is installed.

It needs a newer Python than a board has, so this is no part of the development environment. It
ran last with homeassistant 2026.2.2 under Python 3.13.
"""

from __future__ import annotations

import asyncio
import importlib
import json
from pathlib import Path

import pytest
from home_facts import PLATFORMS
from objects import a_config

from edgevision.integrations.homeassistant import discovery

pytest.importorskip("homeassistant", reason="opt-in: install homeassistant")

ZONE = {"polygon": [[0, 0], [1, 0], [1, 1]]}
LINE = {"points": [[0, 0.5], [1, 0.5]]}
CONFIG = a_config({"yard": {"zones": {"drive": ZONE}, "lines": {"gate": LINE}}, "door": {}})


def test_home_assistant_s_own_schemas_take_every_component_and_know_all_its_keys(
    tmp_path: Path,
) -> None:
    assert asyncio.run(_taken(tmp_path)) == 36


async def _taken(folder: Path) -> int:
    """Return how many components were taken, as Home Assistant goes about it."""
    core = importlib.import_module("homeassistant.core")
    mqtt = importlib.import_module("homeassistant.components.mqtt.discovery")
    core.HomeAssistant(str(folder))  # templates are only checked while there is one
    found = discovery(CONFIG, ("Person", "Dog"), version="1", model_name="m", previous={})
    taken = 0
    for message in found.messages:
        payload = json.loads(message.payload)
        mqtt._replace_all_abbreviations(payload)
        mqtt.DEVICE_DISCOVERY_SCHEMA(payload)
        for component in payload["components"].values():
            platform = component.pop("platform")
            assert platform in PLATFORMS
            component |= {"device": payload["device"], "origin": payload["origin"]}
            mqtt._merge_common_device_options(component, payload)
            module = importlib.import_module(f"homeassistant.components.mqtt.{platform}")
            assert component.keys() <= module.DISCOVERY_SCHEMA(dict(component)).keys()
            taken += 1
    return taken
