"""All cameras of a configuration."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from edgevision.service.cameras import Camera

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from edgevision.clock import Clock
    from edgevision.config import Config
    from edgevision.records import Frame
    from edgevision.service.health import CameraProgress


class CameraSet:
    """Starts, stops and replaces cameras. Changed by the main thread alone."""

    def __init__(
        self, config: Config, *, deliver: Callable[[Camera, Frame], None], clock: Clock
    ) -> None:
        """Prepare every camera; `start` begins to read.

        Args:
            config: the cameras.
            deliver: called with each frame, on its camera's thread.
            clock: where stamps come from.
        """
        self._deliver = deliver
        self._clock = clock
        self._cameras = {name: self._make(config, name) for name in config.cameras}

    def __iter__(self) -> Iterator[Camera]:
        """Return the cameras in the order of the configuration."""
        return iter(self._cameras.values())

    def __getitem__(self, name: str) -> Camera:
        """Return one camera."""
        return self._cameras[name]

    def holds(self, camera: Camera) -> bool:
        """Return whether this very camera is still one of them."""
        return self._cameras.get(camera.name) is camera

    def progress(self) -> list[CameraProgress]:
        """Return what each enabled camera has done lately."""
        cameras = [camera.progress() for camera in self]
        return [camera for camera in cameras if camera is not None]

    def start(self) -> None:
        """Begin to read all of them."""
        for camera in self:
            camera.start()

    def stop(self, timeout_s: float) -> None:
        """End all of them, together within this time."""
        _stop(list(self), timeout_s)

    def change(
        self,
        config: Config,
        names: Collection[str],
        *,
        timeout_s: float,
        on_end: Callable[[str], None],
    ) -> None:
        """End the named cameras as far as there are any, and begin what is configured anew.

        Args:
            config: the new configuration.
            names: of cameras to end, to begin or to replace; the others go on.
            timeout_s: how long the ends may take together.
            on_end: called with the name of each that has ended, before another takes its place.
        """
        gone = [camera for camera in self if camera.name in names]
        kept = {name: camera for name, camera in self._cameras.items() if name not in names}
        self._cameras = kept  # the last frames of the others are nobody's
        _stop(gone, timeout_s)
        for camera in gone:
            on_end(camera.name)
        self._cameras = {
            name: kept.get(name) or self._make(config, name) for name in config.cameras
        }
        for camera in self:
            camera.meter.window_s = config.metrics.window_s
            if camera.name not in kept:
                camera.start()

    def _make(self, config: Config, name: str) -> Camera:
        return Camera(
            name,
            config.cameras[name],
            deliver=self._deliver,
            clock=self._clock,
            window_s=config.metrics.window_s,
        )


def _stop(cameras: Collection[Camera], timeout_s: float) -> None:
    """Ask cameras to end, all at once, and wait for them together at most this long."""
    until_s = time.monotonic() + timeout_s
    for camera in cameras:
        camera.stop(timeout_s=0.0)
    for camera in cameras:
        camera.stop(timeout_s=max(0.0, until_s - time.monotonic()))
