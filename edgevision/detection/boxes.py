"""Box decoding: from SSD offsets to corners."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgevision.errors import ModelMismatchError

if TYPE_CHECKING:
    from edgevision.card import BoxCoder
    from edgevision.records import F32

# exp(10) times an anchor is far outside any image; the clip keeps wild offsets finite.
MAX_LOG_SIZE = 10.0


def decode_boxes(offsets: F32, anchors: F32, coder: BoxCoder) -> F32:
    """Turn SSD box offsets into corner boxes.

    cy = ty / centre_divisor * h_a + cy_a and h = exp(th / size_divisor) * h_a, likewise for
    x and w (Girshick et al. 2014, appendix C, with SSD's variances as divisors).

    Args:
        offsets: float32 [a, 4], (ty, tx, th, tw) as the box head emits them.
        anchors: float32 [a, 4], (cy, cx, h, w), fractions of the model input.
        coder: the divisors the head was trained with, from the model card.

    Returns:
        float32 [a, 4], (x0, y0, x1, y1), fractions of the model input. May reach outside
        0..1: `InputGeometry.to_frame` clips.

    Raises:
        ModelMismatchError: the head and the anchors disagree on a.
    """
    if offsets.shape != anchors.shape:
        msg = f"expected box offsets of shape {anchors.shape} as the anchors, got {offsets.shape}"
        raise ModelMismatchError(msg)
    centres = offsets[:, :2] / coder.centre_divisor * anchors[:, 2:] + anchors[:, :2]
    log_sizes = np.minimum(offsets[:, 2:] / coder.size_divisor, MAX_LOG_SIZE)
    halves = np.exp(log_sizes) * anchors[:, 2:] / 2
    boxes = np.empty_like(offsets)
    boxes[:, :2] = (centres - halves)[:, ::-1]
    boxes[:, 2:] = (centres + halves)[:, ::-1]
    return boxes
