"""Axis-aligned boxes in an image: their forms, and how much they overlap.

x goes right and y goes down. A box has one of two forms:

- `BoxFrac` (x, y, w, h): left upper corner and size as fractions of the frame. Records and
  messages hold boxes like this.
- corners (x0, y0, x1, y1): arrays of boxes, float [n, 4]; x1 >= x0 and y1 >= y0. Any unit, as
  long as all boxes of one call share it.

Overlaps are computed in float64. The only third form is the tracker's own (`Place`): centre and
size in units of the frame's height.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

F64: TypeAlias = NDArray[np.float64]

Boxes: TypeAlias = NDArray[np.float32] | NDArray[np.float64]

BoxFrac: TypeAlias = tuple[float, float, float, float]

Point: TypeAlias = tuple[float, float]

# Keeps the quotient of two empty areas at 0 and changes no other.
_TINY = np.finfo(np.float64).tiny


def iou(a: BoxFrac, b: BoxFrac) -> float:
    """Return the intersection over union of two boxes (x, y, w, h), 0..1; 0 without an area.

    Plain floats: for one pair this is many times faster than `iou_matrix`.
    """
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    common = width * height
    union = a[2] * a[3] + b[2] * b[3] - common
    return common / union if union > 0 else 0.0


def iou_matrix(boxes: Boxes, others: Boxes) -> F64:
    """Return float64 [n, m], the intersection over union of corners [n, 4] and [m, 4].

    Boxes without an area overlap by 0.
    """
    common = intersections(boxes, others)
    union = _areas(boxes)[:, None] + _areas(others) - common
    result: F64 = common / np.maximum(union, _TINY)
    return result


def ios_matrix(boxes: Boxes, others: Boxes) -> F64:
    """Return float64 [n, m], the intersection over the smaller area of corners [n, 4], [m, 4].

    1 where one box lies within the other; 0 where one of them has no area.
    """
    smaller = np.minimum(_areas(boxes)[:, None], _areas(others))
    result: F64 = intersections(boxes, others) / np.maximum(smaller, _TINY)
    return result


def intersections(boxes: Boxes, others: Boxes) -> F64:
    """Return float64 [n, m], the area that corners [n, 4] and [m, 4] have in common."""
    a, b = boxes.astype(np.float64)[:, None], others.astype(np.float64)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    np.maximum(sides, 0, out=sides)
    common: F64 = sides[..., 0] * sides[..., 1]
    return common


def corners(boxes_frac: Sequence[BoxFrac]) -> F64:
    """Return float64 [n, 4], the corners of boxes (x, y, w, h)."""
    boxes = np.array(boxes_frac, np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return boxes


def clip_box(box_frac: BoxFrac) -> BoxFrac:
    """Return the part of a box that is in the frame; of size 0 if none is."""
    x, y, width, height = box_frac
    left, top = _clip(x), _clip(y)
    return left, top, _clip(x + width) - left, _clip(y + height) - top


def foot_of(box_frac: BoxFrac) -> Point:
    """Return the bottom-centre point of a box as fractions of the frame, clipped to it."""
    x, y, width, height = box_frac
    return _clip(x + width / 2), _clip(y + height)


def area_of(box_frac: BoxFrac) -> float:
    """Return a box's share of the frame."""
    return box_frac[2] * box_frac[3]


def ratio_of(box_frac: BoxFrac, frame_size_px: tuple[int, int]) -> float:
    """Return a box's width by its height, both in pixels; 0 for a box without height.

    Args:
        box_frac: the box.
        frame_size_px: (width, height).
    """
    width, height = frame_size_px
    height_px = box_frac[3] * height
    return box_frac[2] * width / height_px if height_px > 0 else 0.0


def _areas(boxes: Boxes) -> F64:
    sides = boxes[:, 2:].astype(np.float64) - boxes[:, :2].astype(np.float64)
    areas: F64 = sides[:, 0] * sides[:, 1]
    return areas


def _clip(value: float) -> float:
    return min(max(value, 0.0), 1.0)
