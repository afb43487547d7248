"""One camera in the service: its reader, its meter, and what was last said of it."""

from __future__ import annotations

import logging
from collections import deque
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING

from edgevision.capture.reader import (
    END_OF_RECORDING,
    LONGEST_PAUSE_S,
    STARTING,
    CameraReader,
    CameraState,
)
from edgevision.service.health import CameraProgress
from edgevision.service.meter import CameraMeter

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from edgevision.cameraconfig import CameraConfig
    from edgevision.clock import Clock
    from edgevision.messaging.payloads import CameraMetricsMessage
    from edgevision.records import Frame

log = logging.getLogger(__name__)


class Camera:
    """A camera from the configuration, read in a thread of its own unless it is disabled."""

    def __init__(
        self,
        name: str,
        config: CameraConfig,
        *,
        deliver: Callable[[Camera, Frame], None],
        clock: Clock,
        window_s: float,
    ) -> None:
        """Prepare; `start` begins to read."""
        self.name = name
        self.config = config
        self.meter = CameraMeter(window_s)
        self._clock = clock
        self._reader = (
            CameraReader(name, config, deliver=partial(deliver, self), clock=clock)
            if config.enabled
            else None
        )
        self._disabled = CameraState("disabled", "disabled in the configuration", clock.wall())
        self.told: CameraState | None = None
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
        """Begin to read."""
        if self._reader is not None:
            self._reader.start()

    def stop(self, timeout_s: float) -> None:
        """Ask the reader to end and wait for it at most this long."""
        if self._reader is not None:
            self._reader.stop(timeout_s)

    def show(self, frame: Frame) -> None:
        """Let those look at a frame who have asked to; on the camera's thread."""
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

    def tell(self) -> CameraState:
        """Return the state to be published, kept in `told`; log it if it is a new one."""
        state, last = self.state(), self.told
        if state == last:
            return state
        self.told = state
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

    def metrics(
        self, *, device: str, overwritten: int, at: datetime, now_ns: int
    ) -> CameraMetricsMessage | None:
        """Return the camera's metrics as published; None while it is disabled."""
        if self._reader is None:
            return None
        return self.meter.message(
            self._reader, device=device, overwritten=overwritten, at=at, now_ns=now_ns
        )
