"""The whole configuration: frozen models, unknown keys are errors, units in the names.

The description of each field is its documentation: it is in the JSON Schema, which editors show,
and beside the key in `config.yaml`. Relative paths are resolved against the folder of the
configuration file, which `loader` passes as validation context.
"""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from edgevision.config.camera import CameraConfig, DetectionConfig, SnapshotsConfig, TrackingConfig
from edgevision.config.fields import FilePath, Name, Section, may_be_empty, resolve
from edgevision.config.mqtt import ControlConfig, HomeAssistantConfig, MqttConfig

DATA_FOLDER = Path(__file__).parents[1] / "data"
DEMO_RECORDING = DATA_FOLDER / "still-life.avi"
DEFAULT_MODEL = "models/ssd_mobilenet_v2_oid"

# Topic levels of control requests.
RESERVED_CAMERA_NAMES = frozenset({"request", "response"})


def bundled(path: str) -> Path:
    """Return the path of a file or folder of the project, in the checkout or in the wheel."""
    checkout = DATA_FOLDER.parent.parent / path
    return checkout if _exists(checkout) else DATA_FOLDER / path


def _exists(path: Path) -> bool:
    """Return whether a file or folder exists; False for one without permission."""
    return os.path.exists(path)  # noqa: PTH110 - Path.exists raises for that


def _resolve_model(path: Path, info: ValidationInfo) -> Path:
    resolved = resolve(path, info)
    return resolved if _exists(resolved) or path.is_absolute() else bundled(str(path))


Resize: TypeAlias = Literal["exact", "fast"]

ModelFolder = Annotated[Path, AfterValidator(_resolve_model)]


class RuntimeConfig(Section):
    """How the network is run; the backend numpy uses only `threads`."""

    threads: Annotated[int, Field(strict=True, ge=1, le=64)] | None = None
    """Threads of one inference; default: all cores but one, at most 4."""
    inter_op_threads: Annotated[int, Field(strict=True, ge=1, le=64)] = 1
    """Threads across operators; the network is a chain, so more than 1 rarely helps."""
    graph_optimization: Literal["all", "extended", "basic", "disabled"] = "all"
    """How far ONNX Runtime rewrites the graph."""
    providers: Annotated[tuple[str, ...], Field(min_length=1)] = ("CPUExecutionProvider",)
    """Execution providers, first choice first."""
    resize: Resize = "exact"
    """How frames are resized for the network. exact: the same bytes on every processor.
    fast: less work, but pixels may differ by one level between x86 and ARM, so scores differ."""

    @property
    def thread_count(self) -> int:
        """Return `threads`, or its default for this machine."""
        return self.threads or max(1, min(4, (os.cpu_count() or 1) - 1))


class MetricsConfig(Section):
    """How often metrics are published."""

    interval_s: Annotated[float, Field(strict=True, ge=0.5, le=3600)] = 10.0
    """Seconds between two metrics messages."""
    window_s: Annotated[float, Field(strict=True, ge=1, le=600)] = 10.0
    """Window for measuring rates: a camera without a frame for this long reads 0.0 fps."""


class OutboxConfig(Section):
    """Events that wait for the broker; above any of these limits the oldest are dropped."""

    max_rows: Annotated[int, Field(strict=True, ge=100, le=1_000_000)] = 10_000
    """Number of events."""
    max_bytes: Annotated[int, Field(strict=True, ge=1 << 20, le=1 << 30)] = 16 << 20
    """Size of their topics and payloads, in bytes."""
    max_age_s: Annotated[float, Field(strict=True, ge=60, le=366 * 86400)] = 7 * 86400.0
    """How long an event may wait, in seconds of the service's running time."""


def default_device() -> str:
    """Return the host name as a topic level: lower case, other characters as hyphens."""
    name = re.sub(r"[^a-z0-9_-]+", "-", socket.gethostname().partition(".")[0].lower())
    return name.strip("-_")[:64] or "edgevision"


def default_state_folder(device: str) -> Path:
    """Return systemd's StateDirectory=, else a folder in the user's state folder.

    XDG Base Directory Specification, version 0.8, for $XDG_STATE_HOME.
    """
    of_service = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if of_service:
        return Path(of_service)
    of_user = os.environ.get("XDG_STATE_HOME", "")
    base = Path(of_user) if os.path.isabs(of_user) else Path(os.path.expanduser("~/.local/state"))  # noqa: PTH111, PTH117 - Path's raise without a home folder
    return base / "edgevision" / device


class Config(Section):
    """The whole configuration."""

    device: Name = Field(default_factory=default_device)
    """Name of this board, part of the topic prefix; default: the host name."""
    model: ModelFolder = Field(default=Path(DEFAULT_MODEL), validate_default=True)
    """Folder with a card.json."""
    backend: Literal["auto", "onnxruntime", "numpy"] = "auto"
    """Inference engine; auto: onnxruntime where it is installed, else numpy."""
    state_folder: FilePath | None = None
    """Folder for state that must survive a restart; default: $STATE_DIRECTORY, which systemd sets,
    else ~/.local/state/edgevision/<device>."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Lowest level that is logged; changes of state are info, individual frames debug."""
    runtime: Annotated[RuntimeConfig, may_be_empty(RuntimeConfig)] = RuntimeConfig()
    detection: Annotated[DetectionConfig, may_be_empty(DetectionConfig)] = DetectionConfig()
    mqtt: Annotated[MqttConfig, may_be_empty(MqttConfig)] = MqttConfig()
    metrics: Annotated[MetricsConfig, may_be_empty(MetricsConfig)] = MetricsConfig()
    outbox: Annotated[OutboxConfig, may_be_empty(OutboxConfig)] = OutboxConfig()
    tracking: Annotated[TrackingConfig, may_be_empty(TrackingConfig)] = TrackingConfig()
    snapshots: Annotated[SnapshotsConfig, may_be_empty(SnapshotsConfig)] = SnapshotsConfig()
    homeassistant: Annotated[HomeAssistantConfig, may_be_empty(HomeAssistantConfig)] = (
        HomeAssistantConfig()
    )
    control: Annotated[ControlConfig, may_be_empty(ControlConfig)] = ControlConfig()
    frigate_compat: bool = False
    """Also publish Frigate's own topics and payloads, under frigate/."""
    cameras: Annotated[
        dict[Name, CameraConfig],
        Field(min_length=1, max_length=64, json_schema_extra={"additionalProperties": False}),
    ]
    """Cameras by name; the name is part of their topics."""

    @model_validator(mode="after")
    def _possible(self) -> Config:
        reserved = sorted(RESERVED_CAMERA_NAMES & self.cameras.keys())
        if reserved:
            msg = f"expected a camera name that is not a topic level, got {reserved[0]!r}"
            raise ValueError(msg)
        users: dict[str, str] = {}
        for name, camera in self.cameras.items():
            if camera.enabled and camera.kind.is_device:
                first = users.setdefault(camera.device_path, name)
                if first != name:
                    msg = (
                        f"expected one camera per device, got {first} and {name} on {camera.source}"
                    )
                    raise ValueError(msg)
        return self

    @property
    def prefix(self) -> str:
        """Return the first part of every topic."""
        return self.mqtt.prefix or f"edgevision/{self.device}"

    @property
    def state_path(self) -> Path:
        """Return `state_folder`, or its default for this process."""
        return self.state_folder or default_state_folder(self.device)

    def detection_of(self, camera: str) -> DetectionConfig:
        """Return the general detection settings, overridden by one camera's own."""
        own = self.cameras[camera].detection
        if own is None:
            return self.detection
        changed = {key: getattr(own, key) for key in own.model_fields_set}
        return self.detection.model_copy(update=changed)
