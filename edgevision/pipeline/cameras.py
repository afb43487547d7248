"""The cameras of the service: each with its reader, its pipeline and its meter."""

from __future__ import annotations

import logging
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from edgevision.capture.reader import END_OF_RECORDING, LONGEST_PAUSE_S, STARTING, CameraReader
from edgevision.events import CameraState
from edgevision.pipeline.frame_metrics import CameraMeter

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from datetime import datetime

    from edgevision.clock import Clock
    from edgevision.config.camera import CameraConfig
    from edgevision.config.settings import Config
    from edgevision.frames import CameraMetrics, Frame
    from edgevision.pipeline.camera_pipeline import CameraPipeline

log = logging.getLogger(__name__)


class Camera:
    """A camera from the configuration, read in a thread of its own unless it is disabled.

    Attributes:
        name: its name in the configuration.
        config: its settings.
        pipeline: takes its frames; a reload may put another in its place at any time.
        meter: counts and times its frames.
        active: whether it is still one of the configuration.
        published_state: the state that was published last.
    """

    def __init__(
        self,
        name: str,
        config: CameraConfig,
        pipeline: CameraPipeline,
        *,
        deliver: Callable[[Camera, Frame], None],
        clock: Clock,
        window_s: float,
    ) -> None:
        """Prepare; `start` starts to read."""
        self.name = name
        self.config = config
        self.pipeline = pipeline
        self.active = True
        self.meter = CameraMeter(window_s)
        self._clock = clock
        self._reader = (
            CameraReader(name, config, deliver=partial(deliver, self), clock=clock)
            if config.enabled
            else None
        )
        self._disabled = CameraState("disabled", "disabled in the configuration", clock.wall())
        self.published_state: CameraState | None = None
        self._looks: deque[tuple[Callable[[Frame], bytes], Future[bytes]]] = deque()

    @property
    def source(self) -> str:
        """Return name and source as they may be logged."""
        return f"{self.name} ({self.config.shown_source})"

    @property
    def enabled(self) -> bool:
        """Return whether it is read at all."""
        return self._reader is not None

    def start(self) -> None:
        """Start to read."""
        if self._reader is not None:
            self._reader.start()

    def stop(self, timeout_s: float) -> None:
        """Ask the reader to end and wait for it at most this long."""
        if self._reader is not None:
            self._reader.stop(timeout_s)

    def show(self, frame: Frame) -> None:
        """Show a frame to those who asked for one; on the camera's thread."""
        while True:
            try:
                look, future = self._looks.popleft()
            except IndexError:  # also where one has just given up
                return
            try:
                future.set_result(look(frame))
            except Exception as error:  # noqa: BLE001 - whoever asked gets it
                future.set_exception(error)

    def look(self, look: Callable[[Frame], bytes], timeout_s: float) -> bytes | None:
        """Return what `look` makes of the next frame, on the camera's thread.

        Returns:
            None where no frame comes within the time.
        """
        future: Future[bytes] = Future()
        self._looks.append((look, future))
        try:
            return future.result(timeout_s)
        except TimeoutError:
            self._looks.clear()
            return None

    def state(self) -> CameraState:
        """Return what the camera is doing now."""
        return self._disabled if self._reader is None else self._reader.state()

    def state_to_publish(self) -> CameraState:
        """Return the present state, keep it in `published_state`, and log it if it is new."""
        state, last = self.state(), self.published_state
        if state == last:
            return state
        self.published_state = state
        quiet = state.status in {"online", "disabled"}
        expected = quiet or state.reason in {STARTING, END_OF_RECORDING}
        level = logging.INFO if expected else logging.WARNING
        log.log(level, "camera %s: %s: %s", self.name, state.status, state.reason)
        return state

    def progress(self) -> CameraProgress | None:
        """Return what it has done lately; None while it is disabled."""
        if self._reader is None:
            return None
        # At the end of a recording nothing more is to be expected.
        turned_ns = self._clock.monotonic_ns() if self._reader.finished else self._reader.turned_ns
        return CameraProgress(
            name=self.name,
            status=self.state().status,
            turned_ns=turned_ns,
            allowed_s=LONGEST_PAUSE_S + self.config.stall_after_s,
            waiting_ns=self.meter.waiting_ns,
        )

    def metrics(self, *, overwritten: int, at: datetime, now_ns: int) -> CameraMetrics | None:
        """Return the camera's metrics; None while it is disabled."""
        if self._reader is None:
            return None
        return self.meter.metrics(self._reader, overwritten=overwritten, at=at, now_ns=now_ns)


@dataclass(frozen=True, slots=True)
class CameraProgress:
    """What one camera has done lately. All stamps are monotonic.

    Attributes:
        name: the camera's name.
        status: as published.
        turned_ns: when its reader last came round: a frame, an attempt, a pause.
        allowed_s: how long that may take at most, every known wait included.
        waiting_ns: since when a frame waits for a result; None: none does.
    """

    name: str
    status: str
    turned_ns: int
    allowed_s: float
    waiting_ns: int | None


class CameraSet:
    """All cameras of a configuration. Changed by the main thread alone."""

    def __init__(
        self,
        config: Config,
        pipelines: Mapping[str, CameraPipeline],
        *,
        deliver: Callable[[Camera, Frame], None],
        clock: Clock,
    ) -> None:
        """Prepare every camera; `start` begins to read.

        Args:
            config: the cameras.
            pipelines: what takes their frames, by the camera's name.
            deliver: called with each frame, on its camera's thread.
            clock: where stamps come from.
        """
        self._deliver = deliver
        self._clock = clock
        self._cameras = {name: self._make(config, name, pipelines[name]) for name in config.cameras}

    def __iter__(self) -> Iterator[Camera]:
        """Return the cameras in the order of the configuration."""
        return iter(self._cameras.values())

    def __getitem__(self, name: str) -> Camera:
        """Return one camera."""
        return self._cameras[name]

    def progress(self) -> list[CameraProgress]:
        """Return what each enabled camera has done lately."""
        cameras = [camera.progress() for camera in self]
        return [camera for camera in cameras if camera is not None]

    def start(self) -> None:
        """Start to read all of them."""
        for camera in self:
            camera.start()

    def stop(self, timeout_s: float) -> None:
        """End all of them, together within this time."""
        _stop(list(self), timeout_s)

    def change(
        self,
        config: Config,
        pipelines: Mapping[str, CameraPipeline],
        names: Collection[str],
        *,
        timeout_s: float,
        on_end: Callable[[str], None],
    ) -> None:
        """Stop the named cameras, if they exist, and start those that are configured.

        Args:
            config: the new configuration.
            pipelines: what takes the cameras' frames from now on.
            names: of cameras to stop, start or replace; the others continue.
            timeout_s: how long the ends may take together.
            on_end: called with the name of each that has ended, before another takes its place.
        """
        gone = [camera for camera in self if camera.name in names]
        kept = {name: camera for name, camera in self._cameras.items() if name not in names}
        for camera in gone:
            camera.active = False  # frames of it that are on their way are dropped
        self._cameras = kept
        for name, camera in kept.items():
            camera.pipeline = pipelines[name]
        _stop(gone, timeout_s)
        for camera in gone:
            on_end(camera.name)
        self._cameras = {
            name: kept.get(name) or self._make(config, name, pipelines[name])
            for name in config.cameras
        }
        for camera in self:
            camera.meter.window_s = config.metrics.window_s
            if camera.name not in kept:
                camera.start()

    def _make(self, config: Config, name: str, pipeline: CameraPipeline) -> Camera:
        return Camera(
            name,
            config.cameras[name],
            pipeline,
            deliver=self._deliver,
            clock=self._clock,
            window_s=config.metrics.window_s,
        )


def _stop(cameras: Collection[Camera], timeout_s: float) -> None:
    """Ask all these cameras to stop, and wait for them together at most this long."""
    until_s = time.monotonic() + timeout_s
    for camera in cameras:
        camera.stop(timeout_s=0.0)
    for camera in cameras:
        camera.stop(timeout_s=max(0.0, until_s - time.monotonic()))
