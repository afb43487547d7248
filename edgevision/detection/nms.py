"""Non-maximum suppression, class by class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from edgevision.records import F32, I64


def suppress(boxes: F32, scores: F32, class_ids: I64, *, iou: float) -> I64:
    """Keep the best of each group of overlapping boxes of one class (greedy NMS).

    Args:
        boxes: float32 [n, 4], (x0, y0, x1, y1), any one coordinate space; with an area.
        scores: float32 [n].
        class_ids: int64 [n]; boxes of different classes never suppress each other.
        iou: a box goes when its intersection over union with a better one is above this.

    Returns:
        int64 [m], indices of the boxes kept, best score first, ties in input order.
    """
    if len(boxes) == 0:
        return np.empty(0, np.int64)
    # NMSBoxes compares scores with a threshold first; places from n to 1 always pass it, and keep
    # ties in their order.
    order = np.argsort(-scores, kind="stable")
    places = np.arange(len(boxes), 0, -1)
    # Classes are kept apart by moving each beyond the one before; in float64 the move loses
    # nothing. OpenCV's own NMSBoxesBatched moves too little for boxes that reach below 0, and
    # OpenCV 4.6 (Debian 12) does not have it.
    corners = boxes[order].astype(np.float64) - boxes.min()
    corners += class_ids[order, np.newaxis] * (corners.max() + 1)
    corner_and_size = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    kept = cv2.dnn.NMSBoxes(corner_and_size.tolist(), places.tolist(), 0.0, iou)
    return order[np.sort(np.asarray(kept, np.int64).ravel())]
