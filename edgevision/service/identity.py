"""How well tracks keep the identities of objects; needs the extra `evaluate`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import motmetrics
import numpy as np

from edgevision.detection.average_precision import iou_matrix

if TYPE_CHECKING:
    from edgevision.detection.groundtruth import TrueObjects
    from edgevision.records import F32, I64

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
