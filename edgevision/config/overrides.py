"""Overrides: what requests have changed, kept in the state folder and laid over the file."""

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


@dataclass(frozen=True, slots=True)
class _Override:
    """A value and the one of the configuration file that it replaced; None: it had none."""

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


class Overrides:
    """Settings that requests have changed. For one thread."""

    def __init__(self, folder: Path) -> None:
        """Read what is kept in the state folder; a file that cannot be used is logged, no more."""
        self._path = folder / FILE
        self._kept: dict[Setting, _Override] = {}
        self._on_disk: bytes | None = None
        try:
            self._read()
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error).partition("\n")[0]
            log.warning("%s cannot be used (%s): what requests had changed is lost", FILE, why)

    def apply(self, config: Config, labels: Collection[str]) -> Config:
        """Lay what is kept over a configuration that was read from its file.

        What no longer fits is dropped for good, with one log line each: the camera or label is
        gone, the combination is refused, or somebody has given the same key another value in
        the file, which then wins.

        Args:
            config: as the file says.
            labels: what its model knows.
        """
        result, dropped = _laid_over(config, labels, self._kept)
        if dropped:
            for setting, why in dropped.items():
                log.warning(
                    "%s, changed by a request, is as in the file again: %s", setting.path, why
                )
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
            config: as the file says.
            labels: what its model knows.
            setting: what to change.
            value: its new value; the one of the file ends the override.
            take: puts the whole configuration in force; whatever it raises, nothing is kept.

        Returns:
            Why it will not survive a restart; empty: it will.

        Raises:
            ConfigError: it does not fit.
        """
        setting.put(self.apply(config, labels), value)
        kept = {**self._kept, setting: _Override(value, setting.value_in(config))}
        if kept[setting].replaced == value:
            del kept[setting]
        if len(kept) > MAX_OVERRIDES:
            msg = f"expected at most {MAX_OVERRIDES} settings changed by requests, got one more"
            raise ConfigError(msg)
        result, _ = _laid_over(config, labels, kept)
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
        """Exchange the file as a whole; return why it cannot be, empty where it is."""
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
            log.warning("%s: what requests have changed is lost at the next start", why)
            return why
        self._on_disk = content
        return ""


def _laid_over(
    config: Config, labels: Collection[str], kept: Mapping[Setting, _Override]
) -> tuple[Config, dict[Setting, str]]:
    """Return the configuration with all that fits, and why the rest does not.

    General settings come before those of a camera, which are laid over them. Cameras are
    switched on last: only then may two of them share a device without being on together.
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
            dropped[setting] = "it has another value there than before"
        else:
            try:
                result = setting.put(result, override.value)
            except ConfigError as error:
                dropped[setting] = str(error)
    return result, dropped


# FOLDED:
# A setting that a request may change: where it stands in a configuration.


@dataclass(frozen=True, slots=True)
class Setting:
    """Whether a camera is used (`enabled`), or a score (`min_score`): general, or for one label.

    Attributes:
        key: what is set.
        camera: for which camera; None: for all without one of their own.
        label: for which label; None: for all without one of their own.
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
        """Return what is set; None: nothing is, or there is no such camera."""
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

        A label's score for one camera is laid over the general ones of the other labels, which
        that camera would lose otherwise (`Config.detection_of`).

        Raises:
            ConfigError: it does not fit: no such camera, or a combination that is refused.
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


def _with(section: S, key: str, value: object) -> S:
    """Return a section with another value, checked as if it stood in the file.

    Only this key counts as set further on, as `Config.detection_of` asks what is.

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
