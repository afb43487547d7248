"""Average precision of one class over a set of images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edgevision.records import F32


class AveragePrecision:
    """Collects detections image by image; a true one overlaps a free object enough.

    Detections of an image claim objects in the order of their scores, each the object it
    overlaps most among those still free.
    """

    def __init__(self, *, min_iou: float) -> None:
        """Start with no image.

        Args:
            min_iou: intersection over union from which a detection is true.
        """
        self._min_iou = min_iou
        self._scores: list[float] = []
        self._is_true: list[bool] = []
        self._objects = 0

    def add(self, boxes: F32, scores: F32, objects: F32) -> None:
        """Add one image.

        Args:
            boxes: float32 [n, 4], (x0, y0, x1, y1), the detections.
            scores: float32 [n].
            objects: float32 [m, 4], what is really there, in the same unit as the boxes.
        """
        self._objects += len(objects)
        overlaps = iou_matrix(boxes, objects)
        for index in np.argsort(-scores, kind="stable"):
            best = int(overlaps[index].argmax()) if len(objects) else -1
            is_true = best >= 0 and bool(overlaps[index, best] >= self._min_iou)
            if is_true:
                overlaps[:, best] = -1
            self._scores.append(float(scores[index]))
            self._is_true.append(is_true)

    @property
    def objects(self) -> int:
        """Return how many objects there are in all images."""
        return self._objects

    @property
    def precision(self) -> float:
        """Return the share of the detections that are true; 0 where there are none."""
        return sum(self._is_true) / max(1, len(self._is_true))

    @property
    def recall(self) -> float:
        """Return the share of the objects that were found; 0 where there are none."""
        return sum(self._is_true) / max(1, self._objects)

    def value(self) -> float:
        """Return the area under the precision-recall curve, precision made monotone.

        At each recall the precision counts that is reached there or at a higher recall
        (Everingham et al. 2010, "The PASCAL Visual Object Classes Challenge", without the
        eleven-point sampling). 0 where there are no objects.
        """
        if not self._objects:
            return 0.0
        return area_under_curve([true for _, true in self._ranked()], objects=self._objects)

    def _ranked(self) -> list[tuple[float, bool]]:
        pairs = zip(self._scores, self._is_true, strict=True)
        return sorted(pairs, key=lambda pair: -pair[0])


def area_under_curve(is_true: Sequence[bool], *, objects: int) -> float:
    """Return the average precision of detections sorted by falling score."""
    hits = np.cumsum(np.asarray(is_true, bool))
    precision = hits / np.arange(1, len(hits) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    recall = np.concatenate([[0.0], hits / objects])
    return float(np.sum(np.diff(recall) * precision))


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
