"""What a user can configure about other programs that talk with the service over MQTT."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from edgevision.configtypes import Section
from edgevision.mqttconfig import no_wildcards

_Topic = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(no_wildcards)]


class HomeAssistantConfig(Section):
    """MQTT discovery: the board and its cameras appear in Home Assistant by themselves."""

    enabled: bool = True
    """Whether the device is announced."""
    prefix: _Topic = "homeassistant"
    """Home Assistant's discovery prefix."""
    labels: tuple[str, ...] | None = None
    """Entities for these labels; default: detection.labels, else persons, cars, cats and dogs."""


class ControlConfig(Section):
    """Requests over MQTT that change what the service does."""

    enabled: bool = True
    """Whether requests are taken at all."""
