"""Recordings, and what an opened `VideoCapture` gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from edgevision.capture.protocol import InThread
from edgevision.errors import BadFrameError, SourceError

if TYPE_CHECKING:
    from pathlib import Path

    from edgevision.records import U8

DEFAULT_FPS = 25.0
MAX_FPS = 1000.0


def retrieved(capture: cv2.VideoCapture, shown: str, into: U8 | None = None) -> U8:
    """Return the frame that `capture` has grabbed, uint8 [h, w, 3] BGR.

    Args:
        capture: where it comes from.
        shown: what to call that in errors.
        into: an array to decode into; if its shape does not fit, the result is another.

    Raises:
        BadFrameError: it cannot be decoded.
    """
    try:
        decoded, image = capture.retrieve(into)
    except cv2.error as error:
        msg = f"{shown}: a frame cannot be decoded ({error.err})"
        raise BadFrameError(msg) from None
    if not decoded or image is None or image.size == 0:
        msg = f"{shown}: expected a picture, got an empty frame"
        raise BadFrameError(msg)
    return np.asarray(image, np.uint8)


class Recording(InThread):
    """A video file."""

    def __init__(self, path: Path, *, fps: float | None = None) -> None:
        """Open the file.

        Args:
            path: any container and codec that OpenCV's FFmpeg reads.
            fps: pace in place of the file's own.

        Raises:
            SourceError: the file is absent, empty, or no video.
        """
        try:
            size = path.stat().st_size
            if path.is_dir() or size == 0:
                got = "a folder" if path.is_dir() else "an empty file"
                msg = f"{path}: expected a video file, got {got}"
                raise SourceError(msg)
            with path.open("rb") as file:
                header = file.read(4096)
        except OSError as error:
            msg = f"{path}: cannot be read ({error.strerror})"
            raise SourceError(msg) from None
        # A RIFF file, AVI for one, begins with its own length.
        says = int.from_bytes(header[4:8], "little") + 8 if header[:4] == b"RIFF" else 0
        self._cut_short = size < says
        promised = None if self._cut_short else _motion_jpeg_frames(header)
        self._shown = str(path)
        self._capture = _open_recording(path, promised)
        if not self._capture.isOpened():
            msg = f"{path}: expected a video that FFmpeg can read, got something else"
            raise SourceError(msg)
        own_fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps or (own_fps if 0 < own_fps <= MAX_FPS else DEFAULT_FPS)
        count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.frame_count = count if count > 0 else None
        self._grabbed = 0

    def grab(self) -> bool:
        """Decode the next frame; False at the end."""
        if self._capture.grab():
            self._grabbed += 1
            return True
        if self._grabbed == 0:
            msg = f"{self._shown}: expected a video, but no frame of it can be decoded"
            raise SourceError(msg)
        # Containers round their frame count; a file cut short lacks more than that.
        expected = self.frame_count or 0
        if self._grabbed < (expected if self._cut_short else 0.95 * expected - 2):
            msg = (
                f"{self._shown}: expected {self.frame_count} frames, got {self._grabbed}: the "
                "file is cut short or damaged"
            )
            raise SourceError(msg)
        return False

    def retrieve(self) -> U8:
        """Return the grabbed frame, uint8 [h, w, 3] BGR."""
        return retrieved(self._capture, self._shown)

    def close(self) -> None:
        """Release the file."""
        self._capture.release()


def _open_recording(path: Path, promised: int | None) -> cv2.VideoCapture:
    """Open with OpenCV's own Motion JPEG reader where that can read all of it, else FFmpeg.

    FFmpeg's conversion to BGR differs by up to 2 levels between x86 and ARM, OpenCV's reader
    gives the same pixels on both. But it stops without a word where a file's index ends.
    """
    if promised is not None:
        capture = cv2.VideoCapture(str(path), cv2.CAP_OPENCV_MJPEG)
        if capture.isOpened() and capture.get(cv2.CAP_PROP_FRAME_COUNT) == promised:
            return capture
        capture.release()
    return cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)


def _motion_jpeg_frames(header: bytes) -> int | None:
    """Return dwTotalFrames of an AVI file's main header if its video is Motion JPEG."""
    if header[:4] != b"RIFF" or header[8:12] != b"AVI " or b"vidsMJPG" not in header:
        return None
    return int.from_bytes(header[48:52], "little")
