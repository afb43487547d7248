"""Boxes and labels drawn into a picture."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgevision.records import U8, DetectedObject


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
        colour = _colour(found.label)
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


def _colour(label: str) -> tuple[int, int, int]:
    """Return a bright BGR colour that is always the same for a label."""
    hue = zlib.crc32(label.encode()) % 180
    pixel = cv2.cvtColor(np.array([[[hue, 160, 255]]], np.uint8), cv2.COLOR_HSV2BGR)[0, 0]
    return int(pixel[0]), int(pixel[1]), int(pixel[2])
