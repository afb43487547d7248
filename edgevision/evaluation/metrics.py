"""Metrics of tracks: how well they keep the identities of objects.

Needs the extra `evaluate`. Average precision is in `ground_truth`, because building models
needs it without that extra.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import motmetrics
import numpy as np

from edgevision.boxes import iou_matrix

if TYPE_CHECKING:
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


@dataclass(frozen=True, slots=True)
class IdentityFigures:
    """How well tracks keep the identities of objects.

    Attributes:
        mota: multiple object tracking accuracy (Bernardin and Stiefelhagen 2008): 1 minus
            (misses + false positives + switches) / objects; at most 1, may be negative.
        idf1: F1 score of the identities (Ristani et al. 2016), 0..1.
        switches: how often an object was assigned another track.
        fragmentations: how often the track of an object was interrupted and resumed.
        misses: objects without a track, summed over the frames.
        false_positives: tracks without an object, summed over the frames.
        identities: number of different objects in the recording.
    """

    mota: float
    idf1: float
    switches: int
    fragmentations: int
    misses: int
    false_positives: int
    identities: int


class Identities:
    """Identity metrics of tracks, collected frame by frame."""

    def __init__(self, *, min_iou: float) -> None:
        """Start with no frame.

        Args:
            min_iou: minimum intersection over union for a track to match an object.
        """
        self._min_iou = min_iou
        self._frames = motmetrics.MOTAccumulator(auto_id=True)

    def add(self, numbers: I64, boxes: F32, truth: TrueObjects) -> None:
        """Add one frame.

        Args:
            numbers: int64 [n], of the tracks.
            boxes: float32 [n, 4], of the tracks, (x0, y0, x1, y1) in pixels.
            truth: the ground truth.
        """
        overlaps = iou_matrix(truth.boxes, boxes)
        distances = np.where(overlaps >= self._min_iou, 1 - overlaps, np.nan)
        self._frames.update(truth.ids, numbers, distances)

    def figures(self) -> IdentityFigures:
        """Return the metrics over all frames, which must have at least one object."""
        table = motmetrics.metrics.create().compute(self._frames, metrics=list(_METRICS))
        row = table.iloc[0]
        return IdentityFigures(
            mota=float(row["mota"]),
            # Undefined without any track; reported as 0.
            idf1=float(np.nan_to_num(row["idf1"])),
            switches=int(row["num_switches"]),
            fragmentations=int(row["num_fragmentations"]),
            misses=int(row["num_misses"]),
            false_positives=int(row["num_false_positives"]),
            identities=int(row["num_unique_objects"]),
        )
