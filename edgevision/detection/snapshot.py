"""Snapshots: pictures of objects as JPEG, with boxes and labels drawn in."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgevision.config.camera import SnapshotsConfig
    from edgevision.frames import U8, DetectedObject

# The margin around a cropped object, as a share of its longer side.
MARGIN = 0.25


def snapshot(image: U8, found: DetectedObject, config: SnapshotsConfig) -> bytes:
    """Return a JPEG of an object as configured: whole or cropped, with or without its box.

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
    """Return the whole frame as JPEG, with nothing drawn in."""
    return jpeg(_smaller(_colour(image), config.height), config.quality)


def jpeg(image: U8, quality: int) -> bytes:
    """Return uint8 [h, w, 3] BGR as JPEG."""
    _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return encoded.tobytes()


def draw(image: U8, objects: Sequence[DetectedObject]) -> U8:
    """Return a copy of the image with a box, label and score for each object.

    Args:
        image: uint8 [h, w, 3] BGR.
        objects: boxes are fractions of the image.
    """
    canvas = image.copy()
    height, width = canvas.shape[:2]
    scale = max(0.4, min(height, width) / 900)
    thickness = max(1, round(scale * 2))
    for found in objects:
        x, y, w, h = found.box_frac
        left, top = round(x * width), round(y * height)
        right, bottom = round((x + w) * width), round((y + h) * height)
        colour = _label_colour(found.label)
        cv2.rectangle(canvas, (left, top), (right, bottom), colour, thickness)
        text = f"{found.label} {found.score:.2f}"
        (text_w, text_h), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
        foot = max(top, text_h + base)
        corner = (left + text_w, foot - text_h - base)
        cv2.rectangle(canvas, (left, foot), corner, colour, cv2.FILLED)
        cv2.putText(
            canvas,
            text,
            (left, foot - base),
            cv2.FONT_HERSHEY_SIMPLEX,
            scale,
            (0, 0, 0),
            1,
            cv2.LINE_AA,
        )
    return canvas


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


def _label_colour(label: str) -> tuple[int, int, int]:
    """Return a bright BGR colour that is always the same for a label."""
    hue = zlib.crc32(label.encode()) % 180
    pixel = cv2.cvtColor(np.array([[[hue, 160, 255]]], np.uint8), cv2.COLOR_HSV2BGR)[0, 0]
    return int(pixel[0]), int(pixel[1]), int(pixel[2])
