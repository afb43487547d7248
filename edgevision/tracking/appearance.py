"""What an object looks like: the colours of its stripes from top to bottom."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgevision.boxes import Place, common_areas

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgevision.config.camera import DetectionConfig
    from edgevision.events import BoxFrac
    from edgevision.frames import F32, U8, DetectedObject

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

# Boxes of two labels that overlap this much are one object: an SSD head gives all labels of an
# anchor the same box (IoU 1 in nearly all cases seen), while a person and their bicycle have
# boxes of their own.
SAME_BOX_IOU = 0.8

# What an object looks like is learned only while no other box covers more of it than this.
MAX_COVERED = 0.3


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


# FOLDED:
# One detection as the tracker sees it.


@dataclass(frozen=True, slots=True)
class Observation:
    """One detection as the tracker sees it.

    Attributes:
        index: of the detection in its frame.
        label: the class name.
        support: how far the score is above `detection.min_score_of(label)`, on the scale of the
            network (logits), so that labels with different thresholds can be compared.
        score: 0..1.
        votes: score by label; more than one label where several have the same box.
        place: of its box, in fractions of the frame's height along both axes.
        looks: float32 [6, 3], as `appearance.describe` gives it; None without an image.
        is_clear: no other box covers much of this one.
    """

    index: int
    label: str
    support: float
    score: float
    votes: Mapping[str, float]
    place: Place
    looks: F32 | None
    is_clear: bool


def observe(
    found: Sequence[DetectedObject],
    image: U8 | None,
    frame_size_px: tuple[int, int],
    detection: DetectionConfig,
) -> list[Observation]:
    """Return the detections of a frame that are at least weak, those of one box as one.

    Args:
        found: what was detected.
        image: the frame, as `appearance.describe` takes it; None: looks do not count.
        frame_size_px: (width, height).
        detection: scores from which detections count, by label.

    Returns:
        The best supported first.
    """
    weakest = {one.label: detection.weak_score_of(one.label) for one in found}
    least = {label: _logit(detection.min_score_of(label)) for label in weakest}
    usable = [
        (_logit(one.score) - least[one.label], index, one)
        for index, one in enumerate(found)
        if one.score >= weakest[one.label]
    ]
    if not usable:
        return []
    usable.sort(key=lambda item: (-item[0], item[1]))
    boxes = np.array([one.box_frac for _, _, one in usable], np.float64)
    looks: Sequence[F32 | None] = [None] * len(usable)
    if image is not None:
        looks = list(describe(image, boxes.astype(np.float32)))
    votes = [{one.label: one.score} for _, _, one in usable]
    areas = np.maximum(boxes[:, 2] * boxes[:, 3], 1e-12)
    common = common_areas(boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2:])
    np.fill_diagonal(common, 0)
    left_out: set[int] = set()
    same = common >= SAME_BOX_IOU * (areas[:, None] + areas - common)
    for better, worse in np.argwhere(np.triu(same)).tolist():
        label = usable[worse][2].label
        if better not in left_out and worse not in left_out and label not in votes[better]:
            votes[better][label] = usable[worse][2].score
            left_out.add(worse)
    gone = list(left_out)
    common[:, gone] = 0
    covered = (common.max(axis=1) / areas).tolist()
    aspect = frame_size_px[0] / frame_size_px[1]
    return [
        Observation(
            index,
            one.label,
            support,
            one.score,
            votes[row],
            _place(one.box_frac, aspect),
            looks[row],
            covered[row] <= MAX_COVERED,
        )
        for row, (support, index, one) in enumerate(usable)
        if row not in left_out
    ]


def _place(box_frac: BoxFrac, aspect: float) -> Place:
    x, y, width, height = box_frac
    return Place((x + width / 2) * aspect, y + height / 2, width * aspect, height)


def _logit(score: float) -> float:
    """Return the network's output for a score; scores that are rounded to 0 or 1 stay finite."""
    score = min(max(score, 1e-6), 1 - 1e-6)
    return math.log(score / (1 - score))
