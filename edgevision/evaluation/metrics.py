"""Average precision of one class over a set of images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import motmetrics
import numpy as np

from edgevision.boxes import iou_matrix

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgevision.evaluation.ground_truth import TrueObjects
    from edgevision.frames import F32, I64

_METRICS = (
    "mota",
    "idf1",
    "num_switches",
    "num_fragmentations",
    "num_misses",
    "num_false_positives",
    "num_unique_objects",
)


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


# FOLDED:
# How well tracks keep the identities of objects; needs the extra `evaluate`.


@dataclass(frozen=True, slots=True)
class IdentityFigures:
    """What tracks are worth.

    Attributes:
        mota: multiple object tracking accuracy (Bernardin and Stiefelhagen 2008): 1 less misses,
            false positives and switches by objects; at most 1, may be below 0.
        idf1: F1 score of the identities (Ristani et al. 2016), 0..1.
        switches: how often an object got another track.
        fragmentations: how often an object was lost and found again.
        misses: objects without a track, summed over the frames.
        false_positives: tracks without an object, summed over the frames.
        identities: how many objects there are in the recording.
    """

    mota: float
    idf1: float
    switches: int
    fragmentations: int
    misses: int
    false_positives: int
    identities: int


class Identities:
    """Collects tracks and objects frame by frame."""

    def __init__(self, *, min_iou: float) -> None:
        """Start with no frame.

        Args:
            min_iou: intersection over union from which a track is at an object.
        """
        self._min_iou = min_iou
        self._frames = motmetrics.MOTAccumulator(auto_id=True)

    def add(self, numbers: I64, boxes: F32, truth: TrueObjects) -> None:
        """Add one frame.

        Args:
            numbers: int64 [n], of the tracks.
            boxes: float32 [n, 4], (x0, y0, x1, y1), theirs, in pixels.
            truth: what is really there.
        """
        overlaps = iou_matrix(truth.boxes, boxes)
        distances = np.where(overlaps >= self._min_iou, 1 - overlaps, np.nan)
        self._frames.update(truth.ids, numbers, distances)

    def figures(self) -> IdentityFigures:
        """Return the figures over all frames; there is at least one object."""
        table = motmetrics.metrics.create().compute(self._frames, metrics=list(_METRICS))
        row = table.iloc[0]
        return IdentityFigures(
            mota=float(row["mota"]),
            # Undefined, and worth nothing, where there is no track at all.
            idf1=float(np.nan_to_num(row["idf1"])),
            switches=int(row["num_switches"]),
            fragmentations=int(row["num_fragmentations"]),
            misses=int(row["num_misses"]),
            false_positives=int(row["num_false_positives"]),
            identities=int(row["num_unique_objects"]),
        )
