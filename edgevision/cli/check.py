"""`edgevision check-config`, and the schemas for editors and subscribers.

A module of its own because a command is loaded only when it is run.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from edgevision.cli.console import err, out, print_json
from edgevision.config.loader import load_config, with_places
from edgevision.config.settings import Config
from edgevision.errors import ConfigError
from edgevision.model_card import load_model
from edgevision.mqtt.client import MqttClient
from edgevision.mqtt.contract import asyncapi
from edgevision.mqtt.contract import schema as payload_schema
from edgevision.pipeline.camera_pipeline import check_labels


def check(path: Path, *, as_json: bool) -> None:
    """Run every check that the daemon makes before it opens cameras and connections.

    Raises:
        ConfigError: the configuration is invalid; lists every fault.
        ModelError: the model cannot be used.
    """
    try:
        config = load_config(path, os.environ)
        model = load_model(config.model)
        check_labels(model, config)
        MqttClient(config.mqtt, client_id="check")
    except ConfigError as error:
        placed = with_places(path, error)
        if as_json:
            print_json({"valid": False, "faults": list(placed.faults)})
        raise placed from None
    for name, camera in config.cameras.items():
        if camera.kind.is_path and not Path(camera.source).exists():
            err.print(f"{name}: {camera.shown_source} does not exist at present", markup=False)
    if as_json:
        print_json({"valid": True, "faults": [], "config": config.model_dump(mode="json")})
        return
    broker = f"{config.mqtt.host}:{config.mqtt.port_number}"
    valid = f"{path}: valid: model {model.card.name}, broker {broker}, topics {config.prefix}/…"
    out.print(valid, markup=False)
    for name, camera in config.cameras.items():
        out.print(f"  {name}: {camera.kind.name} {camera.shown_source}", markup=False)


def schema_document(what: Literal["config", "mqtt", "asyncapi"]) -> dict[str, Any]:
    """Return the JSON Schema of the configuration or the payloads, or the AsyncAPI document."""
    if what == "mqtt":
        return payload_schema()
    if what == "asyncapi":
        return asyncapi()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Config.model_json_schema(),
    }
