"""Axis-aligned boxes: intersection over union, and how much of one lies in another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgevision.events import BoxFrac
    from edgevision.frames import F32

F64: TypeAlias = NDArray[np.float64]


def iou_matrix(boxes: F32, others: F32) -> NDArray[np.float64]:
    """Return float64 [n, m], the intersection over union of float32 [n, 4] and [m, 4] corners."""
    a, b = boxes.astype(np.float64)[:, None], others.astype(np.float64)[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    common = np.clip(sides, 0, None).prod(axis=-1)
    areas = (a[..., 2:] - a[..., :2]).prod(axis=-1) + (b[..., 2:] - b[..., :2]).prod(axis=-1)
    union = areas - common
    overlaps: NDArray[np.float64] = np.zeros_like(common)
    np.divide(common, union, out=overlaps, where=union > 0)
    return overlaps


def overlap(a: BoxFrac, b: BoxFrac) -> float:
    """Return the intersection of two boxes (x, y, w, h) over their union, 0..1; 0 for no area."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / (a[2] * a[3] + b[2] * b[3] - both)


# FOLDED:
# Boxes of the full frame and of crops of it become one set, without doubles.


def overlaps(boxes: F32 | F64, others: F32 | F64) -> tuple[F64, F64]:
    """Return how much boxes have in common.

    Args:
        boxes: float [n, 4], (x0, y0, x1, y1).
        others: float [m, 4], in the same space.

    Returns:
        float64 [n, m] intersection over union, and float64 [n, m] intersection over the smaller
        of the two areas; 0 where neither box has an area.
    """
    a, b = boxes.astype(np.float64)[:, None], others.astype(np.float64)[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    common = np.clip(sides, 0, None).prod(axis=-1)
    areas_a = (a[..., 2:] - a[..., :2]).prod(axis=-1)
    areas_b = (b[..., 2:] - b[..., :2]).prod(axis=-1)
    tiny = np.finfo(np.float64).tiny
    smaller = np.maximum(np.minimum(areas_a, areas_b), tiny)
    return common / np.maximum(areas_a + areas_b - common, tiny), common / smaller


# FOLDED:
# Where boxes are and how much they share.


@dataclass(frozen=True, slots=True)
class Place:
    """Where a box is.

    Attributes:
        x, y: its centre.
        width, height: its size.
    """

    x: float
    y: float
    width: float
    height: float


def as_array(places: Sequence[Place]) -> F64:
    """Return float64 [n, 4], (centre x, centre y, w, h)."""
    rows = [(place.x, place.y, place.width, place.height) for place in places]
    return np.array(rows, np.float64).reshape(-1, 4)


def common_areas(centres: F64, sizes: F64) -> F64:
    """Return float64 [n, n], the area that each box shares with each; float64 [n, 2] both."""
    low, high = centres - sizes / 2, centres + sizes / 2
    sides = np.minimum(high[:, None], high) - np.maximum(low[:, None], low)
    np.maximum(sides, 0, out=sides)
    common: F64 = sides[..., 0] * sides[..., 1]
    return common


def iou(box: F64, others: F64) -> F64:
    """Return float64 [n], the intersection over union of one box [4] and others [n, 4].

    Boxes are (centre x, centre y, w, h).
    """
    low = np.maximum(box[:2] - box[2:] / 2, others[:, :2] - others[:, 2:] / 2)
    high = np.minimum(box[:2] + box[2:] / 2, others[:, :2] + others[:, 2:] / 2)
    sides = np.maximum(high - low, 0)
    common = sides[:, 0] * sides[:, 1]
    union = box[2] * box[3] + others[:, 2] * others[:, 3] - common
    result: F64 = common / np.maximum(union, 1e-12)
    return result
