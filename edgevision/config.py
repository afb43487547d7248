"""What a user can configure: frozen models, unknown keys refused, units in the names.

Each field's description is its documentation: it ends up in the JSON Schema that editors
show and beside the key in `config.yaml`. Relative paths are resolved against the folder
of the configuration file, which `configfile` passes as validation context.
"""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_serializer,
    field_validator,
    model_validator,
)

from edgevision.address import (
    SourceKind,
    classify_source,
    device_path,
    is_loopback,
    misspelt_address,
    redact_url,
)

DATA_FOLDER = Path(__file__).parent / "data"
DEMO_RECORDING = DATA_FOLDER / "still-life.avi"
DEFAULT_MODEL = "models/ssd_mobilenet_v2_oid"
RESERVED_CAMERA_NAMES = frozenset({"request", "response"})


def _resolve(path: Path, info: ValidationInfo) -> Path:
    base: Path = (info.context or {}).get("folder", Path())
    if "\0" in str(path):
        msg = "expected a path without zero characters, got one with them"
        raise ValueError(msg)
    try:
        return base / path.expanduser()
    except RuntimeError:
        msg = f"expected the home folder of a user of this machine, got {path.parts[0]}"
        raise ValueError(msg) from None


def bundled(path: str) -> Path:
    """Return a file or folder that ships with the project: from a checkout or the wheel."""
    checkout = DATA_FOLDER.parent.parent / path
    return checkout if _exists(checkout) else DATA_FOLDER / path


def _exists(path: Path) -> bool:
    """Return whether there is such a file or folder; False for one that nobody may look at."""
    return os.path.exists(path)  # noqa: PTH110 - Path.exists raises for that


def _resolve_model(path: Path, info: ValidationInfo) -> Path:
    resolved = _resolve(path, info)
    return resolved if _exists(resolved) or path.is_absolute() else bundled(str(path))


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


_Source = Annotated[str, Field(min_length=1, max_length=4096)]
_MqttVersion = Literal["auto", "5", "3.1.1"]


def _may_be_empty(section: type[BaseModel]) -> BeforeValidator:
    """Take a key that stands there without a value as an empty section: `tls:` means TLS."""
    return BeforeValidator(
        lambda value: {} if value is None else value, json_schema_input_type=section | None
    )


def _no_wildcards(prefix: str) -> str:
    if re.search(r"[+#\x00]", prefix) or prefix.startswith(("/", "$")) or prefix.endswith("/"):
        msg = f"expected an MQTT topic without + # and without / at its ends, got {prefix!r}"
        raise ValueError(msg)
    return prefix


FilePath = Annotated[Path, AfterValidator(_resolve)]
ModelFolder = Annotated[Path, AfterValidator(_resolve_model)]
Score = Annotated[float, Field(strict=True, gt=0, lt=1)]
Seconds = Annotated[float, Field(strict=True, gt=0, le=86400)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Pixels = Annotated[int, Field(strict=True, ge=1, le=16384)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class RuntimeConfig(_Section):
    """How the inference engine runs the network; NumPy only knows threads."""

    threads: Annotated[int, Field(strict=True, ge=1, le=64)] | None = None
    """Threads of one inference; default: all cores but one, at most 4."""
    inter_op_threads: Annotated[int, Field(strict=True, ge=1, le=64)] = 1
    """Threads across operators; the network is a chain, so more than 1 rarely helps."""
    graph_optimization: Literal["all", "extended", "basic", "disabled"] = "all"
    """How far ONNX Runtime rewrites the graph."""
    providers: Annotated[tuple[str, ...], Field(min_length=1)] = ("CPUExecutionProvider",)
    """Execution providers, first choice first."""

    @property
    def thread_count(self) -> int:
        """Return `threads`, or its default for this machine."""
        return self.threads or max(1, min(4, (os.cpu_count() or 1) - 1))


class DetectionConfig(_Section):
    """What counts as a detection."""

    min_score: Score = 0.4
    """Objects below this score are not published."""
    label_min_score: dict[str, Score] = Field(default_factory=dict)
    """Scores for single labels, in place of min_score: {Person: 0.5}."""
    labels: tuple[str, ...] | None = None
    """Only these labels; default: all that the model knows."""
    nms_iou: Score = 0.6
    """Of two boxes of one label that overlap more than this, the weaker one goes."""
    max_objects: Annotated[int, Field(strict=True, ge=1, le=400)] = 100
    """At most this many objects a frame, best first."""


class TlsConfig(_Section):
    """TLS to the broker. Certificate and host name are always verified."""

    ca_file: FilePath | None = None
    """CA certificates (PEM); default: the system's."""
    cert_file: FilePath | None = None
    """Client certificate (PEM), where the broker asks for one."""
    key_file: FilePath | None = None
    """Private key of cert_file (PEM)."""

    @model_validator(mode="after")
    def _certificate_and_key(self) -> TlsConfig:
        if (self.cert_file is None) != (self.key_file is None):
            present, absent = ("cert_file", "key_file")[:: 1 if self.cert_file else -1]
            msg = f"expected cert_file and key_file together, got {present} without {absent}"
            raise ValueError(msg)
        return self


class MqttConfig(_Section):
    """The broker and how to reach it."""

    host: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[^/@\s]+$")] = "127.0.0.1"
    """Broker's host name or address."""
    port: Annotated[int, Field(strict=True, ge=1, le=65535)] | None = None
    """Broker's port; default: 1883, with tls 8883."""
    username: Annotated[str, Field(min_length=1)] | None = None
    """User at the broker."""
    password: SecretStr | None = None
    """Password; rather set EDGEVISION_MQTT__PASSWORD, password_file or a systemd credential."""
    password_file: FilePath | None = None
    """File with the password; default: the systemd credential mqtt_password, if there is one."""
    tls: Annotated[TlsConfig | None, _may_be_empty(TlsConfig)] = None
    """TLS; `tls: {}` verifies against the system's CAs."""
    allow_plaintext: bool = False
    """Talk without TLS to a broker on another machine: everyone on the way can read along."""
    protocol: Annotated[
        _MqttVersion, BeforeValidator(_as_text, json_schema_input_type=_MqttVersion | Literal[5])
    ] = "auto"
    """MQTT version; auto: 5, and 3.1.1 where the broker does not speak 5."""
    client_id: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    """Client identifier; default: edgevision-<device>."""
    prefix: Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_no_wildcards)] | (
        None
    ) = None
    """First part of every topic; default: edgevision/<device>."""
    keepalive_s: Annotated[int, Field(strict=True, ge=5, le=3600)] = 30
    """A broker that is silent for 1.5 times this long is gone."""
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
            msg = "expected username beside a password, got none"
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


class CameraConfig(_Section):
    """One camera, stream, recording or image folder."""

    source: Annotated[
        _Source, BeforeValidator(_as_text, json_schema_input_type=_Source | int), Field(repr=False)
    ]
    """0, /dev/v4l/by-id/…, rtsp://…, http://…, a recording, or a folder of images."""
    enabled: bool = True
    """Whether this camera is used."""
    width: Pixels | None = None
    """Width to ask a device for, in pixels; streams and recordings have their own."""
    height: Pixels | None = None
    """Height to ask a device for, in pixels."""
    fps: Annotated[float, Field(strict=True, gt=0, le=1000)] | None = None
    """Rate to ask a device for; pace of a recording or image folder in place of its own."""
    pixel_format: Annotated[str, Field(pattern=r"^[A-Z0-9]{4}$")] | None = None
    """Four-character code to ask a device for; MJPG is what most USB cameras need above 640x480."""
    rotation: Literal[0, 90, 180, 270] = 0
    """Degrees clockwise to turn each frame by."""
    loop: bool = False
    """Begin a recording or image folder again at its end."""
    stall_after_s: Seconds = 10.0
    """A camera without a frame for this long is published as stalled."""
    detection: DetectionConfig | None = None
    """Settings that differ from the general ones for this camera."""

    @field_validator("source")
    @classmethod
    def _absolute(cls, source: str, info: ValidationInfo) -> str:
        source = source.strip()
        expected = misspelt_address(source)
        if expected is not None:
            raise ValueError(expected)
        if classify_source(source).is_live:
            return source
        return str(_resolve(Path(source), info))

    @field_serializer("source")
    def _without_secrets(self, source: str) -> str:
        return redact_url(source)

    @model_validator(mode="after")
    def _possible(self) -> CameraConfig:
        if self.kind.is_live and self.loop:
            msg = "expected loop only for recordings and image folders, got it for a live source"
            raise ValueError(msg)
        if self.kind is not SourceKind.DEVICE:
            for key in ("width", "height", "pixel_format"):
                if getattr(self, key) is not None:
                    msg = f"expected {key} only for devices, got it for a {self.kind.value}"
                    raise ValueError(msg)
        if (self.width is None) != (self.height is None):
            msg = "expected width and height together, got one of them"
            raise ValueError(msg)
        return self

    @property
    def kind(self) -> SourceKind:
        """Return what kind of source this is."""
        return classify_source(self.source)

    @property
    def device_path(self) -> str:
        """Return a device's file: `0` stands for /dev/video0."""
        return device_path(self.source)

    @property
    def shown_source(self) -> str:
        """Return the source as it may be logged and published: without user and password."""
        return redact_url(self.source)


class MetricsConfig(_Section):
    """How often figures are published."""

    interval_s: Annotated[float, Field(strict=True, ge=0.5, le=3600)] = 10.0
    """Seconds between two metrics messages."""
    window_s: Annotated[float, Field(strict=True, ge=1, le=600)] = 10.0
    """Rates are measured over this long: a camera without frames for it reads 0.0 fps."""


def default_device() -> str:
    """Return the host name as a topic level: lower case, other characters as hyphens."""
    name = re.sub(r"[^a-z0-9_-]+", "-", socket.gethostname().partition(".")[0].lower())
    return name.strip("-_")[:64] or "edgevision"


class Config(_Section):
    """The whole configuration."""

    device: Name = Field(default_factory=default_device)
    """Name of this board, part of the topic prefix; default: the host name."""
    model: ModelFolder = Field(default=Path(DEFAULT_MODEL), validate_default=True)
    """Folder with a card.json."""
    backend: Literal["auto", "onnxruntime", "numpy"] = "auto"
    """Inference engine; auto: onnxruntime where it is installed, else numpy."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """How much is logged; state changes are info, single frames debug."""
    runtime: Annotated[RuntimeConfig, _may_be_empty(RuntimeConfig)] = RuntimeConfig()
    detection: Annotated[DetectionConfig, _may_be_empty(DetectionConfig)] = DetectionConfig()
    mqtt: Annotated[MqttConfig, _may_be_empty(MqttConfig)] = MqttConfig()
    metrics: Annotated[MetricsConfig, _may_be_empty(MetricsConfig)] = MetricsConfig()
    cameras: Annotated[
        dict[Name, CameraConfig],
        Field(min_length=1, max_length=64, json_schema_extra={"additionalProperties": False}),
    ]
    """Cameras by name; the name is part of their topics."""

    @model_validator(mode="after")
    def _possible(self) -> Config:
        reserved = sorted(RESERVED_CAMERA_NAMES & self.cameras.keys())
        if reserved:
            msg = f"expected another camera name, got {reserved[0]!r}, which is a topic level"
            raise ValueError(msg)
        users: dict[str, str] = {}
        for name, camera in self.cameras.items():
            if camera.enabled and camera.kind is SourceKind.DEVICE:
                first = users.setdefault(camera.device_path, name)
                if first != name:
                    msg = f"expected one camera a device, got {first} and {name} on {camera.source}"
                    raise ValueError(msg)
        return self

    @property
    def prefix(self) -> str:
        """Return the first part of every topic."""
        return self.mqtt.prefix or f"edgevision/{self.device}"

    def detection_of(self, camera: str) -> DetectionConfig:
        """Return the general detection settings with one camera's own laid over them."""
        own = self.cameras[camera].detection
        if own is None:
            return self.detection
        changed = {key: getattr(own, key) for key in own.model_fields_set}
        return self.detection.model_copy(update=changed)
