"""Still images: single files and folders of them played as a recording."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edgevision.capture.protocol import InThread
from edgevision.errors import BadFrameError, SourceError
from edgevision.regularfile import read_regular

if TYPE_CHECKING:
    from pathlib import Path

    from edgevision.records import U8

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
MAX_FILE_BYTES = 256 << 20
DEFAULT_FPS = 10.0
PNG = b"\x89PNG\r\n\x1a\n"


def read_image(path: Path) -> U8:
    """Read an image file.

    Returns:
        uint8 [h, w, 3] BGR; grey images and images with transparency are converted.

    Raises:
        BadFrameError: the file is absent, too large, or no image OpenCV can decode.
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
        msg = f"{path}: expected a JPEG, PNG or other image OpenCV knows, got something else"
        raise BadFrameError(msg)
    return np.asarray(image, np.uint8)


def _is_cut_short(png: bytes) -> bool:
    """Return whether a chunk claims to be longer than the file.

    OpenCV 5 allocates what a chunk claims, up to 2 GB, before it reads it.
    """
    start = len(PNG)
    while start + 8 <= len(png):  # length and type; behind the data stand 4 bytes of checksum
        end = start + 12 + int.from_bytes(png[start : start + 4], "big")
        if end > len(png):
            return True
        if png[start + 4 : start + 8] == b"IEND":
            return False
        start = end
    return False


class ImageFolder(InThread):
    """The images of a folder in the order of their names."""

    def __init__(self, folder: Path, *, fps: float | None = None) -> None:
        """List the folder.

        Raises:
            SourceError: the folder has no images or cannot be read.
        """
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
        self.fps = fps or DEFAULT_FPS
        self.frame_count = len(self._paths)

    def grab(self) -> bool:
        """Go to the next image; False after the last."""
        self._next += 1
        return self._next <= len(self._paths)

    def retrieve(self) -> U8:
        """Return the image, uint8 [h, w, 3] BGR."""
        return read_image(self._paths[self._next - 1])

    def close(self) -> None:
        """Nothing is held open."""
