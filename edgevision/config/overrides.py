"""Overrides: settings that requests have changed, kept across restarts in the state folder.

A `Setting` is what a request may change, and where that is in a configuration.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgevision.config.camera import DetectionConfig
from edgevision.config.faults import dotted_path
from edgevision.config.fields import Name, Score, Section
from edgevision.errors import ConfigError
from edgevision.files import read_regular, replace_file

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    from edgevision.config.settings import Config

log = logging.getLogger(__name__)

FILE = "overrides.json"
MAX_FILE_BYTES = 1 << 20
MAX_OVERRIDES = 1000

S = TypeVar("S", bound=Section)

Value: TypeAlias = bool | float


class Overrides:
    """Settings that requests have changed. Not thread-safe."""

    def __init__(self, folder: Path) -> None:
        """Read the overrides in the state folder; an unusable file is logged and ignored."""
        self._path = folder / FILE
        self._kept: dict[Setting, _Override] = {}
        self._on_disk: bytes | None = None
        try:
            self._read()
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error).partition("\n")[0]
            log.warning("%s cannot be used (%s): settings changed by requests are lost", FILE, why)

    def apply(self, config: Config, labels: Collection[str]) -> Config:
        """Apply the overrides to a configuration that was read from its file.

        An override that no longer applies is dropped for good, with one log line each: its camera
        or label no longer exists, the combination is refused, or the same key has another value in
        the file than before, which then takes precedence.

        Args:
            config: the configuration in the file.
            labels: the labels of its model.
        """
        result, dropped = _with_overrides(config, labels, self._kept)
        if dropped:
            for setting, why in dropped.items():
                log.warning("%s: the value set by a request is dropped: %s", setting.path, why)
                del self._kept[setting]
            self._write()
        return result

    def set(
        self,
        config: Config,
        labels: Collection[str],
        setting: Setting,
        value: Value,
        take: Callable[[Config], None],
    ) -> str:
        """Change one setting and keep it.

        Args:
            config: the configuration in the file.
            labels: the labels of its model.
            setting: the setting to change.
            value: its new value; the value in the file removes the override.
            take: puts the whole configuration in force; if it raises, the override is not kept.

        Returns:
            Why the override will not survive a restart; empty: it will.

        Raises:
            ConfigError: the value, or a combination with it, is refused.
        """
        setting.put(self.apply(config, labels), value)
        kept = {**self._kept, setting: _Override(value, setting.value_in(config))}
        if kept[setting].replaced == value:
            del kept[setting]
        if len(kept) > MAX_OVERRIDES:
            msg = f"expected at most {MAX_OVERRIDES} settings changed by requests, got one more"
            raise ConfigError(msg)
        result, _ = _with_overrides(config, labels, kept)
        take(result)
        self._kept = kept
        return self._write()

    def _read(self) -> None:
        content = read_regular(self._path, MAX_FILE_BYTES, follow_links=False)
        if len(content) > MAX_FILE_BYTES:
            msg = f"expected at most {MAX_FILE_BYTES} bytes"
            raise ValueError(msg)
        try:
            file = _File.model_validate_json(content)
        except ValidationError as error:
            msg = str(error.errors(include_url=False)[0]["msg"])
            raise ValueError(msg) from None
        for entry in file.overrides:
            if isinstance(entry.value, bool) == (entry.key == "enabled"):
                setting = Setting(entry.key, entry.camera, entry.label)
                self._kept[setting] = _Override(entry.value, entry.replaced)
        self._on_disk = content

    def _write(self) -> str:
        """Replace the file atomically; return why that failed, or an empty text."""
        entries = [
            _Entry(
                key=setting.key,
                camera=setting.camera,
                label=setting.label,
                value=override.value,
                replaced=override.replaced,
            )
            for setting, override in self._kept.items()
        ]
        content = _File(overrides=entries).model_dump_json(exclude_none=True).encode()
        if content == self._on_disk:
            return ""
        try:
            replace_file(self._path, content)
        except OSError as error:
            self._on_disk = None
            why = f"{self._path} cannot be written ({error.strerror})"
            log.warning("%s: settings changed by requests are lost at the next start", why)
            return why
        self._on_disk = content
        return ""


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting that a request may change: `enabled` of a camera, or a `min_score`.

    Attributes:
        key: which of the two.
        camera: the camera that it is for; None: all without a value of their own.
        label: the label that it is for; None: all without a value of their own.
    """

    key: Literal["enabled", "min_score"]
    camera: str | None = None
    label: str | None = None

    @property
    def path(self) -> str:
        """Return the setting as a path of keys in the configuration file, on one line."""
        camera = () if self.camera is None else ("cameras", self.camera)
        if self.key == "enabled":
            return dotted_path((*camera, "enabled"))
        score = ("min_score",) if self.label is None else ("label_min_score", self.label)
        return dotted_path((*camera, "detection", *score))

    def value_in(self, config: Config) -> Value | None:
        """Return the value in a configuration; None: it has none, or no such camera."""
        if self.camera is None:
            return self._score_in(config.detection)
        camera = config.cameras.get(self.camera)
        if camera is None:
            return None
        if self.key == "enabled":
            return camera.enabled
        own = camera.detection
        field = "min_score" if self.label is None else "label_min_score"
        return self._score_in(own) if own is not None and field in own.model_fields_set else None

    def _score_in(self, detection: DetectionConfig) -> float | None:
        if self.label is None:
            return detection.min_score
        return detection.label_min_score.get(self.label)

    def put(self, config: Config, value: Value) -> Config:
        """Return the configuration with another value.

        A camera's own scores replace the general ones (`Config.detection_of`), so the first score
        of a label for one camera takes over the general scores of the other labels.

        Raises:
            ConfigError: there is no such camera, or the combination is refused.
        """
        if self.camera is None:
            return _with(config, "detection", self._scored(config.detection, value, {}))
        camera = config.cameras.get(self.camera)
        if camera is None:
            msg = f"{self.path}: expected one of the cameras {', '.join(config.cameras)}"
            raise ConfigError(msg)
        if self.key == "enabled":
            camera = _with(camera, "enabled", value)
        else:
            own = camera.detection or DetectionConfig()
            others = config.detection_of(self.camera).label_min_score
            camera = _with(camera, "detection", self._scored(own, value, others))
        return _with(config, "cameras", {**config.cameras, self.camera: camera})

    def _scored(
        self, detection: DetectionConfig, value: Value, others: dict[str, float]
    ) -> DetectionConfig:
        if self.label is None:
            return _with(detection, "min_score", value)
        scores = {**others, **detection.label_min_score, self.label: value}
        return _with(detection, "label_min_score", scores)


@dataclass(frozen=True, slots=True)
class _Override:
    """A value, and the one in the configuration file that it replaced; None: the file had none."""

    value: Value
    replaced: Value | None


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    key: Literal["enabled", "min_score"]
    camera: Name | None = None
    label: Annotated[str, Field(max_length=1024)] | None = None
    value: bool | Score
    replaced: bool | Score | None = None


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    schema_version: Literal[1] = 1
    overrides: Annotated[list[_Entry], Field(max_length=MAX_OVERRIDES)]


def _with_overrides(
    config: Config, labels: Collection[str], kept: Mapping[Setting, _Override]
) -> tuple[Config, dict[Setting, str]]:
    """Return the configuration with all overrides that apply, and why the others do not.

    General settings are applied before a camera's own. Cameras are switched on last, so that two
    of them on one device are never both on in between.
    """
    result = config
    dropped: dict[Setting, str] = {}
    for setting, override in sorted(
        kept.items(), key=lambda item: (item[0].camera is not None, item[1].value is True)
    ):
        now = setting.value_in(config)
        if setting.label is not None and setting.label not in labels:
            dropped[setting] = f"the model has no label {setting.label!r}"
        elif setting.camera is not None and setting.camera not in config.cameras:
            dropped[setting] = f"there is no camera {setting.camera}"
        elif now != override.replaced:
            dropped[setting] = "the value in the file has changed since then"
        else:
            try:
                result = setting.put(result, override.value)
            except ConfigError as error:
                dropped[setting] = str(error)
    return result, dropped


def _with(section: S, key: str, value: object) -> S:
    """Return a section with another value, validated as if it were in the file.

    Only this key is marked as set in addition, because `Config.detection_of` asks which are set.

    Raises:
        ConfigError: the value, or its combination with others, is refused.
    """
    values: dict[str, Any] = {name: getattr(section, name) for name in type(section).model_fields}
    try:
        checked = type(section).model_validate({**values, key: value})
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        raise ConfigError(str(detail.get("ctx", {}).get("error", detail["msg"]))) from None
    return section.model_copy(update={key: getattr(checked, key)})
