"""Rotating frames by multiples of 90 degrees.

A module of its own because the capture worker loads it, and OpenCV with it, only for a camera that
is rotated.
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
    """A source whose frames are rotated."""

    def __init__(self, source: FrameSource, degrees: Quarters) -> None:
        """Rotate each frame of `source` clockwise."""
        self._source = source
        self._code = _CODES[degrees]
        self.fps = source.fps
        self.frame_count = source.frame_count

    def grab(self) -> bool:
        """Wait for the next frame."""
        return self._source.grab()

    def retrieve(self) -> U8:
        """Return the grabbed frame, rotated; 90 and 270 degrees swap width and height."""
        return np.asarray(cv2.rotate(self._source.retrieve(), self._code), np.uint8)

    def close(self) -> None:
        """Release the source."""
        self._source.close()


class RotatedCamera:
    """A camera inside the capture worker whose frames are rotated."""

    def __init__(self, camera: Capturing, degrees: Quarters) -> None:
        """Rotate each frame of `camera` clockwise."""
        self._camera = camera
        self._code = _CODES[degrees]
        self._unrotated: U8 | None = None

    def grab(self) -> None:
        """Wait for the next frame."""
        self._camera.grab()

    def retrieve(self, into: U8 | None = None) -> U8:
        """Return the grabbed frame, rotated, in `into` if its shape fits."""
        self._unrotated = self._camera.retrieve(self._unrotated)
        return np.asarray(cv2.rotate(self._unrotated, self._code, into), np.uint8)
