"""A user's own pictures to calibrate with."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edgevision.errors import SourceError
from edgevision.nets.photographs import calibration_image
from edgevision.regularfile import read_regular

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from edgevision.nets.photographs import CalibrationImage
    from edgevision.nets.progress import Progress

SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".webp"}
MAX_IMAGES = 1000
MAX_BYTES = 256 << 20
LICENCE = "the user's own"


def own_images(
    paths: Sequence[Path], *, side: int, on_progress: Progress
) -> tuple[CalibrationImage, ...]:
    """Read pictures at the model's input size.

    Args:
        paths: picture files, and folders of them (not the folders inside).
        side: of the model's input in pixels.
        on_progress: told about every picture.

    Raises:
        SourceError: a path is missing, a file is no picture, a folder has none, or there are
            more than `MAX_IMAGES`.
    """
    files = [file for path in paths for file in _files(path)]
    if len(files) > MAX_IMAGES:
        msg = f"--calibrate: expected at most {MAX_IMAGES} pictures, got {len(files)}"
        raise SourceError(msg)
    images = []
    for index, file in enumerate(files):
        on_progress("reading pictures", index, len(files))
        images.append(_read(file, side))
    on_progress("reading pictures", len(files), len(files))
    return tuple(images)


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    found = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
    if not found:
        msg = f"{path}: expected pictures ({', '.join(sorted(SUFFIXES))}) in this folder, got none"
        raise SourceError(msg)
    yield from found


def _read(file: Path, side: int) -> CalibrationImage:
    try:
        content = read_regular(file, MAX_BYTES)
    except OSError as error:
        msg = f"{file}: cannot be read ({error.strerror}): expected a picture to calibrate with"
        raise SourceError(msg) from None
    decoded = None
    if 0 < len(content) <= MAX_BYTES:
        with contextlib.suppress(cv2.error):
            decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    if decoded is None:
        msg = f"{file}: expected a picture to calibrate with, got something else"
        raise SourceError(msg)
    return calibration_image(np.asarray(decoded, np.uint8), file.name, LICENCE, side=side)
