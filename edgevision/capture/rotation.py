"""Turning frames by quarters.

A module of its own because only a rotated camera loads OpenCV for it in the capture worker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import cv2
import numpy as np

from edgevision.capture.protocol import InThread

if TYPE_CHECKING:
    from edgevision.capture.protocol import Capturing, FrameSource
    from edgevision.frames import U8

Quarters: TypeAlias = Literal[90, 180, 270]

_CODES = {
    90: cv2.ROTATE_90_CLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_COUNTERCLOCKWISE,
}


class Rotated(InThread):
    """A source whose frames are turned."""

    def __init__(self, source: FrameSource, degrees: Quarters) -> None:
        """Turn each frame of `source` clockwise."""
        self._source = source
        self._code = _CODES[degrees]
        self.fps = source.fps
        self.frame_count = source.frame_count

    def grab(self) -> bool:
        """Wait for the next frame."""
        return self._source.grab()

    def retrieve(self) -> U8:
        """Return the grabbed frame, turned; width and height change places at 90 and 270."""
        return np.asarray(cv2.rotate(self._source.retrieve(), self._code), np.uint8)

    def close(self) -> None:
        """Release the source."""
        self._source.close()


class RotatedCamera:
    """A camera inside the capture worker whose frames are turned."""

    def __init__(self, camera: Capturing, degrees: Quarters) -> None:
        """Turn each frame of `camera` clockwise."""
        self._camera = camera
        self._code = _CODES[degrees]
        self._upright: U8 | None = None

    def grab(self) -> None:
        """Wait for the next frame."""
        self._camera.grab()

    def retrieve(self, into: U8 | None = None) -> U8:
        """Return the grabbed frame, turned, in `into` where it fits."""
        self._upright = self._camera.retrieve(self._upright)
        turned = cv2.rotate(self._upright, self._code, into)
        return np.asarray(turned, np.uint8)
