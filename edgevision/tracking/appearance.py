"""What an object looks like: the colours of its stripes from top to bottom."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from edgevision.records import F32, U8

STRIPES = 6
ROWS_A_STRIPE = 4
COLUMNS = 6
# At its sides a box shows what is behind the object.
INNER_WIDTH = 0.6
# BGR to luma and colour differences (ITU-R BT.601). Colour tells objects apart and light changes
# with shadows, so colour counts for more.
CHROMA_WEIGHT = 2.0
_TO_YCC = np.array(
    [
        [0.114, 0.5 * CHROMA_WEIGHT, -0.081 * CHROMA_WEIGHT],
        [0.587, -0.331 * CHROMA_WEIGHT, -0.419 * CHROMA_WEIGHT],
        [0.299, -0.169 * CHROMA_WEIGHT, 0.5 * CHROMA_WEIGHT],
    ],
    np.float32,
)
_DOWN = ((np.arange(STRIPES * ROWS_A_STRIPE) + 0.5) / (STRIPES * ROWS_A_STRIPE)).astype(np.float32)
_ACROSS = (0.5 + ((np.arange(COLUMNS) + 0.5) / COLUMNS - 0.5) * INNER_WIDTH).astype(np.float32)


def describe(image: U8, boxes: F32) -> F32:
    """Return the mean colour of each stripe of each box, from pixels on a grid.

    The number of pixels looked at does not depend on the size of the boxes, so large objects
    cost no more than small ones.

    Args:
        image: uint8 [height, width, 3] BGR, [h, w] or [h, w, 1] grey, or [h, w, 4] BGRA.
        boxes: float32 [n, 4], (x, y, w, h), left upper corner and size as fractions of the
            frame. Where they reach beyond it, the nearest pixels are taken.

    Returns:
        float32 [n, 6, 3]: stripes from top to bottom; luma and the two colour differences.
    """
    height, width = image.shape[:2]
    ys = (boxes[:, 1:2] + boxes[:, 3:4] * _DOWN) * height
    xs = (boxes[:, 0:1] + boxes[:, 2:3] * _ACROSS) * width
    rows = np.clip(ys, 0, height - 1).astype(np.intp)
    columns = np.clip(xs, 0, width - 1).astype(np.intp)
    channels = image.shape[2] if image.ndim == 3 else 1
    # One index is faster than two.
    flat = (rows[:, :, None] * width + columns[:, None, :]).ravel()
    pixels = image.reshape(-1, channels).take(flat, axis=0).astype(np.float32)
    stripes = pixels.reshape(len(boxes), STRIPES, ROWS_A_STRIPE * COLUMNS, channels)
    means = np.einsum("bspc->bsc", stripes) / (ROWS_A_STRIPE * COLUMNS)
    if channels == 1:
        grey: F32 = means * np.array([1, 0, 0], np.float32)
        return grey
    colours: F32 = means[..., :3] @ _TO_YCC
    return colours


def distances(some: F32, others: F32) -> F32:
    """Return float32 [n]: how different two looks are, row by row; 0 for the same.

    The distance between the colours of a stripe, averaged over the stripes.

    Args:
        some: float32 [n, 6, 3].
        others: float32 [n, 6, 3].
    """
    off = some - others
    result: F32 = np.sqrt(np.einsum("psc,psc->ps", off, off)).mean(axis=1)
    return result
