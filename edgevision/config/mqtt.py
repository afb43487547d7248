"""Settings of the broker, the connection to it, and the programs that use the service over MQTT."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from edgevision.config.fields import FilePath, Section, as_text, may_be_empty
from edgevision.config.source_url import is_loopback, redact_url

_MqttVersion = Literal["auto", "5", "3.1.1"]


def no_wildcards(prefix: str) -> str:
    """Return the first part of topics, if messages can be published under it."""
    if re.search(r"[+#\x00]", prefix) or prefix.startswith(("/", "$")) or prefix.endswith("/"):
        msg = f"expected an MQTT topic without + or #, and without / at either end, got {prefix!r}"
        raise ValueError(msg)
    return prefix


_Topic = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(no_wildcards)]


class TlsConfig(Section):
    """TLS to the broker. Certificate and host name are always verified."""

    ca_file: FilePath | None = None
    """CA certificates (PEM); default: the system's."""
    cert_file: FilePath | None = None
    """Client certificate (PEM), if the broker asks for one."""
    key_file: FilePath | None = None
    """Private key of cert_file (PEM)."""

    @model_validator(mode="after")
    def _certificate_and_key(self) -> TlsConfig:
        if (self.cert_file is None) != (self.key_file is None):
            present, absent = ("cert_file", "key_file")[:: 1 if self.cert_file else -1]
            msg = f"expected cert_file and key_file together, got {present} without {absent}"
            raise ValueError(msg)
        return self


class MqttConfig(Section):
    """The broker and how to reach it."""

    host: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[^/@\s]+$")] = "127.0.0.1"
    """Broker's host name or address."""
    port: Annotated[int, Field(strict=True, ge=1, le=65535)] | None = None
    """Broker's port; default: 1883, with tls 8883."""
    username: Annotated[str, Field(min_length=1)] | None = None
    """User name for the broker."""
    password: SecretStr | None = None
    """Password; better set EDGEVISION_MQTT__PASSWORD, password_file or a systemd credential."""
    password_file: FilePath | None = None
    """File with the password; default: the systemd credential mqtt_password, if there is one."""
    tls: Annotated[TlsConfig | None, may_be_empty(TlsConfig)] = None
    """TLS; `tls: {}` verifies against the system's CAs."""
    allow_plaintext: bool = False
    """Connect without TLS to a broker on another machine: anyone on the network can listen in."""
    protocol: Annotated[
        _MqttVersion, BeforeValidator(as_text, json_schema_input_type=_MqttVersion | Literal[5])
    ] = "auto"
    """MQTT version; auto: 5, and 3.1.1 where the broker does not speak 5."""
    client_id: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    """Client identifier; default: edgevision-<device>."""
    prefix: _Topic | None = None
    """First part of every topic; default: edgevision/<device>."""
    keepalive_s: Annotated[int, Field(strict=True, ge=5, le=3600)] = 30
    """A broker that is silent for 1.5 times this long counts as lost."""
    connect_timeout_s: Annotated[float, Field(strict=True, gt=0, le=300)] = 10.0
    """How long a connection attempt may take."""
    reconnect_max_s: Annotated[float, Field(strict=True, ge=1, le=3600)] = 30.0
    """Longest pause between attempts; they start at 0.5 s and double, with jitter."""

    @model_validator(mode="after")
    def _possible(self) -> MqttConfig:
        if self.password and self.password_file:
            msg = "expected password or password_file, got both"
            raise ValueError(msg)
        if (self.password or self.password_file) and not self.username:
            msg = "expected username with a password, got none"
            raise ValueError(msg)
        if not (self.tls or self.allow_plaintext or is_loopback(self.host)):
            msg = (
                f"expected tls for a broker on another machine ({redact_url(self.host)}), got "
                "none; set tls: {}, or allow_plaintext: true if you trust the network"
            )
            raise ValueError(msg)
        return self

    @property
    def port_number(self) -> int:
        """Return `port`, or its default for plain text or TLS."""
        return self.port or (8883 if self.tls else 1883)


class HomeAssistantConfig(Section):
    """MQTT discovery: the board and its cameras appear in Home Assistant automatically."""

    enabled: bool = True
    """Whether the device is announced."""
    prefix: _Topic = "homeassistant"
    """Home Assistant's discovery prefix."""
    labels: tuple[str, ...] | None = None
    """Entities for these labels; default: detection.labels, else persons, cars, cats and dogs."""


class ControlConfig(Section):
    """Requests over MQTT that change what the service does."""

    enabled: bool = True
    """Whether requests are accepted."""
