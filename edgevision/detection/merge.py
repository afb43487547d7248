"""Boxes of the full frame and of crops of it become one set, without doubles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from edgevision.records import Detections

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edgevision.records import F32

    F64: TypeAlias = NDArray[np.float64]

# All chosen on PETS09-S2L1 and on photographs with large objects; docs/architecture.md has figures.
# Boxes of two sources that overlap more than this are one object.
SAME_IOU = 0.5
# Of two sources, a box of which more than this lies in a larger one is a part of that object.
PART_IOS = 0.75
# In an object of the full frame so many times its size, this much is enough.
LARGE = 3.0
PART_OF_LARGE_IOS = 0.4
# A box that ends this close to where the picture was cut is a part: share of the crop's side.
CUT_MARGIN = 0.01
# What fills more of a crop's side than this is seen whole and better in the full frame.
LARGEST_IN_CROP = 0.6


@dataclass(frozen=True, slots=True)
class CropDetections:
    """What was found in one crop.

    Attributes:
        detections: fractions of the frame.
        window_frac: (x0, y0, x1, y1), the crop's corners as fractions of the frame.
    """

    detections: Detections
    window_frac: tuple[float, float, float, float]


def merge(full: Detections, crops: Sequence[CropDetections]) -> Detections:
    """Join what was found in the full frame and in crops of it.

    Boxes of a crop that end where it was cut, or that fill most of it, are left out: the full
    frame or another crop has them whole. So are those that lie in a much larger and more certain
    object of their label in the full frame: a sleeve looks like a person. Of boxes of one label
    from different sources that are one object, the one with the higher score stays. Boxes of one
    source never remove each other: that was the business of its non-maximum suppression.

    Args:
        full: what was found in the full frame.
        crops: what was found in each crop; their order does not matter.

    Returns:
        Detections in fractions of the frame, best score first. Every box that is left out as a
        double overlaps one of its label that stays and has at least its score.
    """
    kept = [full, *(_whole_and_small(crop) for crop in crops)]
    boxes = np.concatenate([each.boxes for each in kept])
    scores = np.concatenate([each.scores for each in kept])
    class_ids = np.concatenate([each.class_ids for each in kept])
    sources = np.repeat(np.arange(len(kept)), [len(each) for each in kept])
    # Ties: the full frame first, then by place, so that the order of the crops does not matter.
    order = np.lexsort((*boxes.T[::-1], sources > 0, -scores))
    iou, ios = overlaps(boxes, boxes)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    of_large = (sources == 0) & (areas >= LARGE * areas[:, None]) & (ios > PART_OF_LARGE_IOS)
    same = (iou > SAME_IOU) | (ios > PART_IOS) | of_large
    same &= (class_ids[:, None] == class_ids) & (sources[:, None] != sources)
    stays: list[int] = []
    for index in order.tolist():
        if not same[index, stays].any():
            stays.append(index)
    return Detections(boxes[stays], scores[stays], class_ids[stays])


def in_window(window_frac: tuple[float, float, float, float], found: Detections) -> CropDetections:
    """Map what was found in a crop to the frame.

    Args:
        window_frac: (x0, y0, x1, y1), the crop's corners as fractions of the frame.
        found: in fractions of the crop.
    """
    window = np.array(window_frac, np.float32)
    scale = np.tile(window[2:] - window[:2], 2)
    boxes = np.clip(found.boxes, 0.0, 1.0) * scale + np.tile(window[:2], 2)
    return CropDetections(Detections(boxes, found.scores, found.class_ids), window_frac)


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


def _whole_and_small(crop: CropDetections) -> Detections:
    """Leave out what was cut off and what nearly fills the crop."""
    found = crop.detections
    window = np.array(crop.window_frac)
    sizes = window[2:] - window[:2]
    margins = CUT_MARGIN * sizes
    begins = (window[:2] <= 0) | (found.boxes[:, :2] > window[:2] + margins)
    ends = (window[2:] >= 1) | (found.boxes[:, 2:] < window[2:] - margins)
    small = found.boxes[:, 2:] - found.boxes[:, :2] <= LARGEST_IN_CROP * sizes
    kept = (begins & ends & small).all(axis=1)
    return Detections(found.boxes[kept], found.scores[kept], found.class_ids[kept])
