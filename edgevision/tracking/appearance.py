"""A detection as the tracker sees it: place, label votes, and looks.

An object's looks are the mean colours of its stripes from top to bottom.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgevision.boxes import corners, intersections, iou_matrix

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgevision.boxes import F64, BoxFrac
    from edgevision.config.camera import DetectionConfig
    from edgevision.frames import F32, U8, DetectedObject

# Boxes of two labels that overlap this much are one object: an SSD head gives all labels of an
# anchor the same box (IoU 1 in nearly all cases seen), while a person and their bicycle have
# boxes of their own.
SAME_BOX_IOU = 0.8

# The looks of an object are learned only while no other box covers more of it than this.
MAX_COVERED = 0.3
STRIPES = 6
ROWS_PER_STRIPE = 4
COLUMNS = 6

# The sides of a box show the background, so only this share of its width is sampled.
INNER_WIDTH = 0.6

# BGR to luma and colour differences (ITU-R BT.601). Colour distinguishes objects while light
# changes with shadows, so colour has more weight.
CHROMA_WEIGHT = 2.0
_TO_YCC = np.array(
    [
        [0.114, 0.5 * CHROMA_WEIGHT, -0.081 * CHROMA_WEIGHT],
        [0.587, -0.331 * CHROMA_WEIGHT, -0.419 * CHROMA_WEIGHT],
        [0.299, -0.169 * CHROMA_WEIGHT, 0.5 * CHROMA_WEIGHT],
    ],
    np.float32,
)

# Where pixels are sampled: shares of a box's height and width.
_DOWN = ((np.arange(STRIPES * ROWS_PER_STRIPE) + 0.5) / (STRIPES * ROWS_PER_STRIPE)).astype(
    np.float32
)
_ACROSS = (0.5 + ((np.arange(COLUMNS) + 0.5) / COLUMNS - 0.5) * INNER_WIDTH).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a box is, in fractions of the frame's height along both axes.

    Attributes:
        x, y: its centre.
        width, height: its size.
    """

    x: float
    y: float
    width: float
    height: float

    @property
    def box(self) -> BoxFrac:
        """Return (x, y, w, h), left upper corner and size, in the same unit."""
        return self.x - self.width / 2, self.y - self.height / 2, self.width, self.height


@dataclass(frozen=True, slots=True)
class Observation:
    """One detection as the tracker sees it.

    Attributes:
        index: of the detection in its frame.
        label: the class name.
        support: how far the score is above `detection.min_score_of(label)`, as a difference of
            logits, so that labels with different thresholds can be compared.
        score: 0..1.
        votes: score by label; more than one label where several have the same box.
        place: of its box.
        looks: float32 [6, 3], as `describe` returns it; None without an image.
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
    """Return the detections of a frame that are at least weak; labels of one box become votes.

    Args:
        found: the detections.
        image: the frame, as `describe` takes it; None: looks are not compared.
        frame_size_px: (width, height).
        detection: minimum scores by label.

    Returns:
        The best supported first.
    """
    usable = _supported(found, detection)
    if not usable:
        return []
    objects = [found[index] for _, index in usable]
    boxes_frac = [one.box_frac for one in objects]
    looks: Sequence[F32 | None] = [None] * len(usable)
    if image is not None:
        looks = list(describe(image, np.array(boxes_frac, np.float32)))
    boxes = corners(boxes_frac)
    votes = _label_votes(objects, iou_matrix(boxes, boxes))
    kept = [row for row, own in enumerate(votes) if own]
    aspect = frame_size_px[0] / frame_size_px[1]
    return [
        Observation(
            index=usable[row][1],
            label=objects[row].label,
            support=usable[row][0],
            score=objects[row].score,
            votes=votes[row],
            place=_place(boxes_frac[row], aspect),
            looks=looks[row],
            is_clear=covered <= MAX_COVERED,
        )
        for row, covered in zip(kept, _covered(boxes[kept]), strict=True)
    ]


def describe(image: U8, boxes: F32) -> F32:
    """Return the mean colour of each stripe of each box, from pixels on a grid.

    The number of pixels sampled does not depend on the size of the boxes, so large objects cost
    no more than small ones.

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
    stripes = pixels.reshape(len(boxes), STRIPES, ROWS_PER_STRIPE * COLUMNS, channels)
    means = np.einsum("bspc->bsc", stripes) / (ROWS_PER_STRIPE * COLUMNS)
    if channels == 1:
        grey: F32 = means * np.array([1, 0, 0], np.float32)
        return grey
    colours: F32 = means[..., :3] @ _TO_YCC
    return colours


def distances(some: F32, others: F32) -> F32:
    """Return float32 [n]: how different the looks of each pair are; 0 for the same.

    The Euclidean distance between the colours of a stripe, averaged over the stripes.

    Args:
        some: float32 [n, 6, 3].
        others: float32 [n, 6, 3].
    """
    off = some - others
    result: F32 = np.sqrt(np.einsum("psc,psc->ps", off, off)).mean(axis=1)
    return result


def _supported(
    found: Sequence[DetectedObject], detection: DetectionConfig
) -> list[tuple[float, int]]:
    """Return support and index of each detection that is at least weak, best supported first."""
    weakest = {one.label: detection.weak_score_of(one.label) for one in found}
    least = {label: _logit(detection.min_score_of(label)) for label in weakest}
    usable = [
        (_logit(one.score) - least[one.label], index)
        for index, one in enumerate(found)
        if one.score >= weakest[one.label]
    ]
    return sorted(usable, key=lambda item: (-item[0], item[1]))


def _label_votes(objects: Sequence[DetectedObject], ious: F64) -> list[dict[str, float]]:
    """Return the scores by label of each object; empty for one that shares a better one's box.

    Args:
        objects: the best supported first.
        ious: float64 [n, n], their intersections over unions.
    """
    votes = [{one.label: one.score} for one in objects]
    for better, worse in np.argwhere(np.triu(ious >= SAME_BOX_IOU, k=1)).tolist():
        other = objects[worse]
        if votes[better] and votes[worse] and other.label not in votes[better]:
            votes[better][other.label] = other.score
            votes[worse] = {}
    return votes


def _covered(boxes: F64) -> list[float]:
    """Return the largest share of each box, corners float64 [n, 4], that one other box covers."""
    common = intersections(boxes, boxes)
    areas = np.maximum(common.diagonal(), 1e-12)
    np.fill_diagonal(common, 0)
    shares: list[float] = (common.max(axis=1) / areas).tolist()
    return shares


def _place(box_frac: BoxFrac, aspect: float) -> Place:
    x, y, width, height = box_frac
    return Place((x + width / 2) * aspect, y + height / 2, width * aspect, height)


def _logit(score: float) -> float:
    """Return the network's output for a score; scores rounded to 0 or 1 stay finite."""
    score = min(max(score, 1e-6), 1 - 1e-6)
    return math.log(score / (1 - score))
