"""A setting that a request may change: where it stands in a configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from pydantic import ValidationError

from edgevision.cameraconfig import DetectionConfig
from edgevision.configfault import dotted_path
from edgevision.configtypes import Section
from edgevision.errors import ConfigError

if TYPE_CHECKING:
    from edgevision.config import Config

S = TypeVar("S", bound=Section)
Value: TypeAlias = bool | float


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
