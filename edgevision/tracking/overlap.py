"""Where boxes are and how much they share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

F64: TypeAlias = NDArray[np.float64]


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
