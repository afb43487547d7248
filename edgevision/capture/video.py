"""Video through OpenCV: devices, network streams and recordings."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edgevision.address import redact_url
from edgevision.errors import BadFrameError, SourceError

if TYPE_CHECKING:
    from edgevision.cameraconfig import CameraConfig
    from edgevision.records import U8

STREAM_TIMEOUT_MS = 5000
DEFAULT_FPS = 25.0
MAX_FPS = 1000.0

# FFmpeg's own settings for streams: TCP, because lost UDP packets tear pictures; a socket
# timeout in microseconds; and little buffering, so that the first frame is the newest one.
STREAM_OPTIONS = (
    "rtsp_transport;tcp|timeout;5000000|fflags;nobuffer|analyzeduration;200000|probesize;100000"
)
# OpenCV reads them from the environment while it opens, and opens one capture at a time in a
# process anyway, so a lock costs nothing and keeps them from recordings.
_environment = threading.Lock()


class _Video:
    """What all three share: an opened `VideoCapture`."""

    fps: float | None = None
    frame_count: int | None = None

    def __init__(self, shown: str, capture: cv2.VideoCapture) -> None:
        self._shown = shown
        self._capture = capture

    def retrieve(self) -> U8:
        """Return the grabbed frame, uint8 [h, w, 3] BGR."""
        try:
            decoded, image = self._capture.retrieve()
        except cv2.error as error:
            msg = f"{self._shown}: a frame cannot be decoded ({error.err})"
            raise BadFrameError(msg) from None
        if not decoded or image is None or image.size == 0:
            msg = f"{self._shown}: expected a picture, got an empty frame"
            raise BadFrameError(msg)
        return np.asarray(image, np.uint8)

    def close(self) -> None:
        """Release the device, connection or file."""
        self._capture.release()


class Device(_Video):
    """A camera at this machine, through Video4Linux."""

    def __init__(self, camera: CameraConfig) -> None:
        """Open the device and ask it for size, rate and pixel format.

        Raises:
            SourceError: there is no such device, or it cannot be opened.
        """
        path = Path(camera.device_path)
        if not path.exists():
            msg = f"{path}: no such device; list cameras with: ls /dev/v4l/by-id/"
            raise SourceError(msg)
        if not os.access(path, os.R_OK | os.W_OK):
            msg = f"{path}: no permission; the user must be in the group video"
            raise SourceError(msg)
        capture = cv2.VideoCapture(str(path.resolve()), cv2.CAP_V4L2)
        super().__init__(str(path), capture)
        if not capture.isOpened():
            msg = f"{path}: expected a camera, but it cannot be opened; is it in use or no camera?"
            raise SourceError(msg)
        if camera.pixel_format is not None:  # before the size: it decides which sizes there are
            capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*camera.pixel_format))
        if camera.width is not None and camera.height is not None:
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, camera.width)
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, camera.height)
        if camera.fps is not None:
            capture.set(cv2.CAP_PROP_FPS, camera.fps)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)

    def grab(self) -> bool:
        """Wait for the next frame."""
        if not self._capture.grab():
            msg = f"{self._shown}: the camera delivers no frames; was it unplugged?"
            raise SourceError(msg)
        return True


class Stream(_Video):
    """A network camera, through FFmpeg, with bounded waiting."""

    def __init__(self, url: str, *, timeout_ms: int = STREAM_TIMEOUT_MS) -> None:
        """Connect.

        Args:
            url: address with user and password, where they are needed.
            timeout_ms: how long to wait for a connection, and later for a frame.

        Raises:
            SourceError: nothing answers, or no video comes.
        """
        shown = redact_url(url)
        parameters = [
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
            timeout_ms,
            cv2.CAP_PROP_READ_TIMEOUT_MSEC,
            timeout_ms,
        ]
        with _environment:  # recordings must not get it
            os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = STREAM_OPTIONS
            try:
                capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG, parameters)
            finally:
                del os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"]
        super().__init__(shown, capture)
        if not capture.isOpened():
            msg = f"{shown}: cannot be opened; check address, path, user and password"
            raise SourceError(msg)

    def grab(self) -> bool:
        """Wait for the next frame, at most as long as the timeout."""
        if not self._capture.grab():
            msg = f"{self._shown}: the stream broke off or is silent"
            raise SourceError(msg)
        return True


class Recording(_Video):
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
        super().__init__(str(path), _open_recording(path, promised))
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
    with _environment:
        return cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)


def _motion_jpeg_frames(header: bytes) -> int | None:
    """Return dwTotalFrames of an AVI file's main header if its video is Motion JPEG."""
    if header[:4] != b"RIFF" or header[8:12] != b"AVI " or b"vidsMJPG" not in header:
        return None
    return int.from_bytes(header[48:52], "little")
