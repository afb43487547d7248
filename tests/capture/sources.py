"""Sources that follow a script, and waiting for what other threads do."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edgevision.capture.protocol import InThread
from edgevision.errors import BadFrameError

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgevision.config.camera import CameraConfig
    from edgevision.frames import U8


def picture(value: int) -> U8:
    """Return a 2x2 picture whose pixels are all this value."""
    return np.full((2, 2, 3), value, np.uint8)


BAD = BadFrameError("a frame cannot be decoded")


class ScriptedSource(InThread):
    """Plays a list: pictures come, exceptions are raised, events are waited for."""

    def __init__(self, *script: U8 | Exception | threading.Event, fps: float | None = None) -> None:
        self.fps = fps
        self.frame_count = len(script)
        self.closed = False
        self.grabs = 0
        self._script = list(script)
        self._grabbed: U8 | Exception | None = None

    def grab(self) -> bool:
        self.grabs += 1
        while self._script and isinstance(self._script[0], threading.Event):
            self._script.pop(0).wait(60)  # type: ignore[union-attr]
        if not self._script:
            return False
        item = self._script.pop(0)
        assert not isinstance(item, threading.Event)
        if isinstance(item, Exception) and not isinstance(item, BadFrameError):
            raise item
        self._grabbed = item
        return True

    def retrieve(self) -> U8:
        assert self._grabbed is not None
        if isinstance(self._grabbed, Exception):
            raise self._grabbed
        return self._grabbed

    def close(self) -> None:
        self.closed = True


class Openings:
    """Opens one prepared source after the other, then the last one each time."""

    def __init__(self, *sources: Callable[[], ScriptedSource] | Exception) -> None:
        self._sources = list(sources)
        self.opened: list[ScriptedSource] = []
        self.times_s: list[float] = []

    def __call__(self, _camera: CameraConfig) -> ScriptedSource:
        self.times_s.append(time.monotonic())
        source = self._sources.pop(0) if len(self._sources) > 1 else self._sources[0]
        if isinstance(source, Exception):
            raise source
        self.opened.append(source())
        return self.opened[-1]


def wait_until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait for a condition; fail the test if it is not met in time."""
    deadline_s = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline_s:
            pytest.fail(f"waited {seconds} s in vain")
        time.sleep(0.002)
