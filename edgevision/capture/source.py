"""What every source of frames can do, and opening the right one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import cv2
import numpy as np

from edgevision.address import SourceKind
from edgevision.capture.images import ImageFolder
from edgevision.capture.video import Device, Recording, Stream

if TYPE_CHECKING:
    from edgevision.cameraconfig import CameraConfig
    from edgevision.records import U8


_ROTATIONS = {
    90: cv2.ROTATE_90_CLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_COUNTERCLOCKWISE,
}


class FrameSource(Protocol):
    """An open camera, stream, recording or image folder.

    `grab` and `retrieve` are two steps so that the moment of arrival can be taken between
    them: after the wait, before the work.
    """

    @property
    def fps(self) -> float | None:
        """Return the pace of a recording; None for live sources, which have their own."""
        ...

    @property
    def frame_count(self) -> int | None:
        """Return how many frames there are, where that is known."""
        ...

    def grab(self) -> bool:
        """Wait for the next frame; False at the end of a recording.

        Raises:
            SourceError: a live source has no more frames, or a recording breaks off.
        """
        ...

    def retrieve(self) -> U8:
        """Return the grabbed frame, uint8 [h, w, 3] BGR (or what the source has).

        Raises:
            BadFrameError: this frame cannot be decoded; the next one may be.
        """
        ...

    def close(self) -> None:
        """Release the device, connection or file."""
        ...


class Rotated:
    """A source whose frames are turned."""

    def __init__(self, source: FrameSource, degrees: Literal[90, 180, 270]) -> None:
        """Turn each frame of `source` clockwise."""
        self._source = source
        self._code = _ROTATIONS[degrees]
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


def open_source(camera: CameraConfig) -> FrameSource:
    """Open a camera's source.

    Raises:
        SourceError: it cannot be opened; the message says why and what to do.
    """
    source = _open(camera)
    return Rotated(source, camera.rotation) if camera.rotation else source


def _open(camera: CameraConfig) -> FrameSource:
    if camera.kind is SourceKind.DEVICE:
        return Device(camera)
    if camera.kind is SourceKind.STREAM:
        return Stream(camera.source)
    if camera.kind is SourceKind.IMAGES:
        return ImageFolder(Path(camera.source), fps=camera.fps)
    return Recording(Path(camera.source), fps=camera.fps)
