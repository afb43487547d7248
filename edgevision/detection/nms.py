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
    # OpenCV keeps classes apart by moving each by the largest coordinate times its number, which
    # is too little for boxes that reach below 0. In float64 the move loses nothing.
    corners = boxes.astype(np.float64) - boxes.min()
    corner_and_size = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    kept = np.sort(
        np.asarray(
            cv2.dnn.NMSBoxesBatched(
                corner_and_size.tolist(), scores.tolist(), class_ids.tolist(), -1.0, iou
            ),
            np.int64,
        ).ravel()
    )
    return kept[np.argsort(-scores[kept], kind="stable")]
