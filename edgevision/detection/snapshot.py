"""A picture of one object as JPEG."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from edgevision.detection.draw import draw

if TYPE_CHECKING:
    from edgevision.records import U8, DetectedObject
    from edgevision.sceneconfig import SnapshotsConfig

# What is shown around a cropped object, as a share of its larger side.
MARGIN = 0.25


def snapshot(image: U8, found: DetectedObject, config: SnapshotsConfig) -> bytes:
    """Return the picture of an object as configured: whole or cropped, with or without its box.

    Args:
        image: uint8 [h, w, 3] BGR, [h, w] or [h, w, 1] grey, or [h, w, 4] BGRA; not changed.
        found: the object; its box in fractions of the image.
        config: what is drawn, and how large.
    """
    picture = _smaller(_colour(image), config.height) if not config.crop else _colour(image)
    if config.box:
        picture = draw(picture, [found])
    if config.crop:
        picture = _smaller(_around(picture, found), config.height)
    return jpeg(picture, config.quality)


def whole_picture(image: U8, config: SnapshotsConfig) -> bytes:
    """Return the whole picture as JPEG, with nothing drawn in."""
    return jpeg(_smaller(_colour(image), config.height), config.quality)


def jpeg(image: U8, quality: int) -> bytes:
    """Return uint8 [h, w, 3] BGR as JPEG."""
    _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return encoded.tobytes()


def _colour(image: U8) -> U8:
    channels = image.shape[2] if image.ndim == 3 else 1
    if channels == 3:
        return image
    code = cv2.COLOR_GRAY2BGR if channels == 1 else cv2.COLOR_BGRA2BGR
    return np.asarray(cv2.cvtColor(image, code), np.uint8)


def _smaller(image: U8, height_px: int) -> U8:
    height, width = image.shape[:2]
    if height <= height_px:
        return image
    size = max(1, round(width * height_px / height)), height_px
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _around(image: U8, found: DetectedObject) -> U8:
    """Return a view of the object with a margin around it, at least one pixel."""
    height, width = image.shape[:2]
    x, y, w, h = found.box_frac
    margin = MARGIN * max(w * width, h * height)
    left, right = _span(x * width - margin, (x + w) * width + margin, width)
    top, bottom = _span(y * height - margin, (y + h) * height + margin, height)
    return image[top:bottom, left:right]


def _span(low: float, high: float, limit: int) -> tuple[int, int]:
    begin = min(max(0, round(low)), limit - 1)
    return begin, max(begin + 1, min(limit, round(high)))
