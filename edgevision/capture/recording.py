"""Recordings: video files and folders of images, decoded ahead where they are replayed.

The readers of single images and of the frames of a `VideoCapture` are here, too.
"""

from __future__ import annotations

import contextlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edgevision.capture.protocol import InThread
from edgevision.errors import BadFrameError, SourceError
from edgevision.files import read_regular

if TYPE_CHECKING:
    from edgevision.capture.protocol import FrameSource
    from edgevision.frames import U8

# Pace of a video file that states none, or one above the maximum; and of a folder of images.
DEFAULT_FPS = 25.0
MAX_FPS = 1000.0
IMAGE_FPS = 10.0

# Image files.
SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
MAX_FILE_BYTES = 256 << 20
PNG = b"\x89PNG\r\n\x1a\n"
DEPTH = 4  # decoded frames that wait


class Recording(InThread):
    """A video file."""

    def __init__(self, path: str | Path, *, fps: float | None = None) -> None:
        """Open the file.

        Args:
            path: any container and codec that OpenCV's FFmpeg reads.
            fps: pace in place of the file's own.

        Raises:
            SourceError: the file is absent, empty, or not a video.
        """
        path = Path(path)
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
        # A RIFF file, such as AVI, starts with its own length.
        stated = int.from_bytes(header[4:8], "little") + 8 if header[:4] == b"RIFF" else 0
        self._cut_short = size < stated
        frames = None if self._cut_short else _motion_jpeg_frames(header)
        self._shown = str(path)
        self._capture = _open_recording(path, frames)
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
            msg = f"{self._shown}: expected a video, but none of its frames can be decoded"
            raise SourceError(msg)
        # Containers round their frame count; a file that is cut short lacks more than that.
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


class ImageFolder(InThread):
    """The images of a folder in the order of their names."""

    def __init__(self, folder: str | Path, *, fps: float | None = None) -> None:
        """List the folder.

        Raises:
            SourceError: the folder has no images or cannot be read.
        """
        folder = Path(folder)
        try:
            self._paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
        except OSError as error:
            msg = f"{folder}: cannot be read ({error.strerror})"
            raise SourceError(msg) from None
        if not self._paths:
            kinds = ", ".join(sorted(SUFFIXES))
            msg = f"{folder}: expected image files ({kinds}), got none"
            raise SourceError(msg)
        self._next = 0
        self.fps = fps or IMAGE_FPS
        self.frame_count = len(self._paths)

    def grab(self) -> bool:
        """Advance to the next image; False after the last."""
        self._next += 1
        return self._next <= len(self._paths)

    def retrieve(self) -> U8:
        """Return the image, uint8 [h, w, 3] BGR."""
        return read_image(self._paths[self._next - 1])

    def close(self) -> None:
        """Do nothing: no file is held open."""


class DecodedAhead(InThread):
    """A recording whose next frames are decoded while the current one is used.

    One thread of its own decodes them, so no frame is lost and the order is kept. At most
    `DEPTH` frames wait, and one more is being decoded.
    """

    def __init__(self, source: FrameSource) -> None:
        """Start to decode; this object closes `source`."""
        self._source = source
        self.fps = source.fps
        self.frame_count = source.frame_count
        self._exhausted = False  # only the decoding thread reads and writes it
        self._grabbed: U8 | BadFrameError | None = None
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="decode")
        self._coming = deque(self._executor.submit(self._decode) for _ in range(DEPTH + 1))

    def grab(self) -> bool:
        """Wait for the next frame; False at the end.

        Raises:
            SourceError: the recording breaks off.
        """
        if not self._coming:
            return False
        coming, self._grabbed = self._coming.popleft(), None
        try:
            self._grabbed = coming.result()
        finally:
            if self._grabbed is None:  # the end, or an error
                self._coming.clear()
        if self._grabbed is None:
            return False
        self._coming.append(self._executor.submit(self._decode))
        return True

    def retrieve(self) -> U8:
        """Return the grabbed frame.

        Raises:
            BadFrameError: it could not be decoded.
        """
        if self._grabbed is None or isinstance(self._grabbed, BadFrameError):
            raise self._grabbed or BadFrameError("expected grab before retrieve")
        return self._grabbed

    def close(self) -> None:
        """End the thread and release the source."""
        self._coming.clear()
        self._executor.shutdown(cancel_futures=True)
        self._source.close()

    def _decode(self) -> U8 | BadFrameError | None:
        """Return the next frame, or what is wrong with it; None after the last and after an error.

        Raises:
            SourceError: the recording breaks off.
        """
        if self._exhausted:
            return None
        self._exhausted = True
        if not self._source.grab():
            return None
        try:
            image: U8 | BadFrameError = self._source.retrieve()
        except BadFrameError as error:
            image = error
        self._exhausted = False
        return image


def retrieved(capture: cv2.VideoCapture, shown: str, into: U8 | None = None) -> U8:
    """Return the frame that `capture` has grabbed, uint8 [h, w, 3] BGR.

    Args:
        capture: the opened file, device or stream.
        shown: its name in errors.
        into: an array to decode into; if its shape does not fit, a new one is returned.

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


def read_image(path: Path) -> U8:
    """Read an image file.

    Returns:
        uint8 [h, w, 3] BGR; grey images and images with transparency are converted.

    Raises:
        BadFrameError: the file is absent, too large, or not an image that OpenCV can decode.
    """
    try:
        content = read_regular(path, MAX_FILE_BYTES)
    except OSError as error:
        msg = f"{path}: cannot be read ({error.strerror})"
        raise BadFrameError(msg) from None
    if not 0 < len(content) <= MAX_FILE_BYTES:
        msg = f"{path}: expected an image of 1 to {MAX_FILE_BYTES} bytes, got {len(content)}"
        raise BadFrameError(msg)
    image = None
    if not (content.startswith(PNG) and _is_cut_short(content)):
        with contextlib.suppress(cv2.error):
            image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        msg = (
            f"{path}: expected a JPEG, PNG or other image that OpenCV can read, got something else"
        )
        raise BadFrameError(msg)
    return np.asarray(image, np.uint8)


def _open_recording(path: Path, frames: int | None) -> cv2.VideoCapture:
    """Open with OpenCV's own Motion JPEG reader if it can read all `frames`, else with FFmpeg.

    FFmpeg's conversion to BGR differs by up to 2 levels between x86 and ARM; OpenCV's reader
    gives the same pixels on both. But it stops without an error where a file's index ends.
    """
    if frames is not None:
        capture = cv2.VideoCapture(str(path), cv2.CAP_OPENCV_MJPEG)
        if capture.isOpened() and capture.get(cv2.CAP_PROP_FRAME_COUNT) == frames:
            return capture
        capture.release()
    return cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)


def _motion_jpeg_frames(header: bytes) -> int | None:
    """Return dwTotalFrames of an AVI file's main header, if its video is Motion JPEG."""
    if header[:4] != b"RIFF" or header[8:12] != b"AVI " or b"vidsMJPG" not in header:
        return None
    return int.from_bytes(header[48:52], "little")


def _is_cut_short(png: bytes) -> bool:
    """Return whether a chunk states a length beyond the end of the file.

    OpenCV 5 allocates the stated length, up to 2 GB, before it reads the chunk.
    """
    start = len(PNG)
    while start + 8 <= len(png):  # length and type; 4 bytes of checksum follow the data
        end = start + 12 + int.from_bytes(png[start : start + 4], "big")
        if end > len(png):
            return True
        if png[start + 4 : start + 8] == b"IEND":
            return False
        start = end
    return False
