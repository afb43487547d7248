"""The service as requests see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevision.capture.reader import DELIVERING
from edgevision.detection.snapshot import whole_picture
from edgevision.errors import SourceError
from edgevision.labels import known_labels
from edgevision.service.controlled import ServiceInfo
from edgevision.service.linecounts import count_notes

if TYPE_CHECKING:
    from collections.abc import Collection

    from edgevision.config import Config
    from edgevision.service.daemon import Daemon
    from edgevision.tracks import LineCount

# How long a request waits for a camera's next frame.
PICTURE_S = 2.0


class Steering:
    """What requests may ask of the daemon."""

    def __init__(self, daemon: Daemon) -> None:
        """Steer this daemon."""
        self._daemon = daemon

    @property
    def config(self) -> Config:
        """Return the configuration in force."""
        return self._daemon.parts.config

    @property
    def file_config(self) -> Config:
        """Return the configuration as its file says."""
        return self._daemon.file_config

    @property
    def labels(self) -> Collection[str]:
        """Return what the model in use knows."""
        return known_labels(self._daemon.parts.engine.model)

    def set_config(self, config: Config) -> None:
        """Put another configuration in force.

        Raises:
            EdgevisionError: it cannot be; the old one still is.
        """
        self._daemon.put(config)

    def reload(self) -> None:
        """Read the configuration file again and put it in force.

        Raises:
            EdgevisionError: it cannot be; the old one still is.
        """
        self._daemon.reload()

    def snapshot(self, camera: str) -> tuple[str, int]:
        """Publish the next picture of a camera; return its topic and size in bytes.

        Raises:
            SourceError: none comes.
        """
        uplink, source = self._daemon.uplink, self._daemon.cameras[camera]
        state = source.state()
        if state.status not in DELIVERING:
            msg = (
                f"camera: expected one that delivers, got {camera}, {state.status}: {state.reason}"
            )
            raise SourceError(msg)
        settings = self.config.snapshots
        jpeg = source.look(lambda frame: whole_picture(frame.image, settings), PICTURE_S)
        if jpeg is None:
            msg = f"camera: expected a frame of {camera} within {PICTURE_S:g} s, got none"
            raise SourceError(msg)
        message = uplink.writers.objects.snapshot(camera, None, jpeg)
        uplink.pictures.add(message)
        return message.topic, len(jpeg)

    def reset(self, camera: str, line: str | None) -> None:
        """Let the counters of one line begin again, or those of all lines of a camera."""
        for name in self.config.cameras[camera].lines:
            if line in {None, name}:
                self._daemon.parts.watchers[camera].reset(name, self._keep)

    def _keep(self, count: LineCount) -> None:
        self._daemon.uplink.record(None, count_notes(count))

    def info(self) -> ServiceInfo:
        """Return what is running."""
        daemon = self._daemon
        engine = daemon.parts.engine
        return ServiceInfo(
            model=engine.model.card.name,
            backend=engine.backend.name,
            started_at=daemon.uplink.writers.service.started_at,
            restart_reasons=daemon.restart_reasons,
        )
