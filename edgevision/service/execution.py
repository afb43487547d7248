"""What each request does."""

from __future__ import annotations

import difflib
from functools import cache
from typing import TYPE_CHECKING, Any

from edgevision import __version__
from edgevision.config import Config
from edgevision.configfault import shown
from edgevision.errors import ConfigError
from edgevision.messaging.controlpayloads import (
    CameraRequest,
    ChangeData,
    InfoData,
    OneCameraRequest,
    ResetRequest,
    SnapshotData,
    ThresholdRequest,
)
from edgevision.service.setting import Setting

if TYPE_CHECKING:
    from edgevision.messaging.control import Request
    from edgevision.service.controlled import Controlled
    from edgevision.service.overrides import Overrides
    from edgevision.service.setting import Value


class Execution:
    """Executes requests whose payloads are right. For the main thread."""

    def __init__(self, controlled: Controlled, overrides: Overrides) -> None:
        """Change this service, and keep changes of settings there."""
        self._controlled = controlled
        self._overrides = overrides

    def execute(self, request: Request) -> InfoData | SnapshotData | ChangeData | None:
        """Do it, and return what the response is to tell.

        Raises:
            EdgevisionError: it cannot be done; nothing was.
        """
        match request.payload:
            case CameraRequest(camera=camera, enabled=enabled):
                return self._switch(camera, enabled=enabled)
            case OneCameraRequest(camera=camera) if request.verb == "snapshot":
                topic, size_bytes = self._controlled.snapshot(self._known(camera))
                return SnapshotData(topic=topic, bytes=size_bytes)
            case OneCameraRequest(camera=camera):
                return self._switch(camera, enabled=request.verb == "enable")
            case ThresholdRequest(camera=camera, label=label, min_score=score):
                return self._set(self._threshold(camera, label), score)
            case ResetRequest(camera=camera, line=line):
                self._controlled.reset(self._known(camera), self._line(camera, line))
            case _ if request.verb == "reload":
                self._controlled.reload()
            case _:
                return self._info()
        return None

    def _switch(self, camera: str, *, enabled: bool) -> ChangeData | None:
        return self._set(Setting("enabled", self._known(camera)), enabled)

    def _set(self, setting: Setting, value: Value) -> ChangeData | None:
        controlled = self._controlled
        fault = self._overrides.set(
            controlled.file_config, controlled.labels, setting, value, controlled.set_config
        )
        return ChangeData(warning=f"will not survive a restart: {fault}") if fault else None

    def _threshold(self, camera: str | None, label: str | None) -> Setting:
        if camera is not None:
            self._known(camera)
        if label is not None:
            self._check_label(label)
        return Setting("min_score", camera, label)

    def _info(self) -> InfoData:
        info = self._controlled.info()
        config = self._controlled.config
        hidden = {"mqtt": {"password"}}
        return InfoData(
            version=__version__,
            model=info.model,
            backend=info.backend,
            started_at=info.started_at,
            restart_required=bool(info.restart_reasons),
            restart_reasons=info.restart_reasons,
            config=config.model_dump(mode="json", by_alias=True, exclude=hidden),
            config_schema=_config_schema(),
        )

    # Names in requests.

    def _known(self, camera: str) -> str:
        cameras = self._controlled.config.cameras
        if camera not in cameras:
            msg = f"camera: expected one of {', '.join(cameras)}; got {shown(camera)}"
            raise ConfigError(msg)
        return camera

    def _line(self, camera: str, line: str | None) -> str | None:
        lines = self._controlled.config.cameras[camera].lines
        if not lines:
            msg = f"camera: expected one with lines, got {camera}, which has none"
            raise ConfigError(msg)
        if line is not None and line not in lines:
            msg = f"line: expected one of {', '.join(lines)}; got {shown(line)}"
            raise ConfigError(msg)
        return line

    def _check_label(self, label: str) -> None:
        labels = self._controlled.labels
        if label not in labels:
            close = difflib.get_close_matches(label[:64], labels, n=1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            msg = f"label: expected a label of the model, got {shown(label)}{hint}"
            raise ConfigError(msg)


@cache
def _config_schema() -> dict[str, Any]:
    return Config.model_json_schema()
