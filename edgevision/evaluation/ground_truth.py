"""Ground truth of a recording (MOTChallenge), and average precision against it."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgevision.boxes import iou_matrix
from edgevision.errors import SourceError
from edgevision.files import read_regular

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from edgevision.frames import F32, I64

# The largest published file, MOT20-05, has 26 MB and 650 000 rows.
MAX_BYTES = 128 << 20
MAX_COLUMNS = 16
MAX_FRAME = 100_000_000

# Rows of nine columns have a class in the eighth; those of ten have a world coordinate there
# (Milan et al. 2016, "MOT16", table 4 and appendix; Leal-Taixe et al. 2015, "MOTChallenge 2015").
COLUMNS_WITH_CLASS = 9

CLASSES: Mapping[str, frozenset[int]] = {
    "Person": frozenset({1}),
    "Car": frozenset({3}),
    "Bicycle": frozenset({4}),
}


@dataclass(frozen=True, slots=True)
class TrueObjects:
    """The objects in one frame.

    Attributes:
        ids: int64 [n], the same number for the same object in every frame.
        boxes: float32 [n, 4], corners (x0, y0, x1, y1) in pixels.
    """

    ids: I64
    boxes: F32


NO_OBJECTS = TrueObjects(np.zeros(0, np.int64), np.zeros((0, 4), np.float32))


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """The objects of a recording.

    Attributes:
        frames: by the frame's number, from 1; frames without objects may be missing.
    """

    frames: Mapping[int, TrueObjects]

    @property
    def last_frame(self) -> int:
        """Return the number of the last frame that has an object."""
        return max(self.frames)

    def at(self, frame: int) -> TrueObjects:
        """Return the objects in a frame, numbered from 1."""
        return self.frames.get(frame, NO_OBJECTS)


def read_ground_truth(path: Path, label: str) -> GroundTruth:
    """Read MOTChallenge rows: frame from 1, id, x, y, w, h in pixels, 0 to ignore the row, ….

    Args:
        path: the file, `gt.txt`.
        label: of the objects to read; rows without a class, or for a label without one, all count.

    Raises:
        SourceError: the file cannot be read, has rows of another format, or no such object.
    """
    rows = _read(path)
    _check(path, rows)
    rows = rows[rows[:, 6] != 0]
    if rows.shape[1] == COLUMNS_WITH_CLASS and label in CLASSES:
        rows = rows[np.isin(rows[:, 7], list(CLASSES[label]))]
    if not len(rows):
        msg = f"{path}: expected objects of the label {label}, got none that count"
        raise SourceError(msg)
    rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
    ids = rows[:, 1].astype(np.int64)
    corners = np.concatenate([rows[:, 2:4], rows[:, 2:4] + rows[:, 4:6]], axis=1)
    boxes = corners.astype(np.float32)
    numbers, starts = np.unique(rows[:, 0].astype(np.int64), return_index=True)
    ends = [*starts[1:].tolist(), len(rows)]
    return GroundTruth(
        {
            number: TrueObjects(ids[start:end], boxes[start:end])
            for number, start, end in zip(numbers.tolist(), starts.tolist(), ends, strict=True)
        }
    )


class AveragePrecision:
    """Average precision of one class, collected image by image.

    Detections of an image are matched in the order of their scores, each to the unmatched
    object that it overlaps most. A detection is true if that IoU reaches the minimum.
    """

    def __init__(self, *, min_iou: float) -> None:
        """Start with no image.

        Args:
            min_iou: minimum intersection over union of a true detection.
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
            objects: float32 [m, 4], the ground truth, in the same unit as the boxes.
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
        """Return the number of objects in all images."""
        return self._objects

    @property
    def precision(self) -> float:
        """Return the share of the detections that are true; 0 if there are none."""
        return sum(self._is_true) / max(1, len(self._is_true))

    @property
    def recall(self) -> float:
        """Return the share of the objects that were found; 0 if there are none."""
        return sum(self._is_true) / max(1, self._objects)

    def value(self) -> float:
        """Return the area under the precision-recall curve, with monotone precision.

        The precision at each recall is the largest at that or a higher recall (Everingham
        et al. 2010, "The PASCAL Visual Object Classes Challenge", without the eleven-point
        sampling). 0 if there are no objects.
        """
        if not self._objects:
            return 0.0
        return area_under_curve([true for _, true in self._ranked()], objects=self._objects)

    def _ranked(self) -> list[tuple[float, bool]]:
        pairs = zip(self._scores, self._is_true, strict=True)
        return sorted(pairs, key=lambda pair: -pair[0])


def area_under_curve(is_true: Sequence[bool], *, objects: int) -> float:
    """Return the average precision of detections in descending order of score."""
    hits = np.cumsum(np.asarray(is_true, bool))
    precision = hits / np.arange(1, len(hits) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    recall = np.concatenate([[0.0], hits / objects])
    return float(np.sum(np.diff(recall) * precision))


def _read(path: Path) -> NDArray[np.float64]:
    """Return the table, float64 [n, 7 to 16]."""
    try:
        content = read_regular(path, MAX_BYTES)
    except OSError as error:
        msg = f"{path}: expected MOTChallenge ground truth ({error.strerror})"
        raise SourceError(msg) from None
    if len(content) > MAX_BYTES:
        msg = f"{path}: expected MOTChallenge ground truth of at most {MAX_BYTES >> 20} MiB"
        raise SourceError(msg)
    columns = content.lstrip()[:1000].split(b"\n")[0].count(b",") + 1
    if not 7 <= columns <= MAX_COLUMNS:
        msg = f"{path}: expected rows of frame, id, x, y, w, h, used, …, got {columns} columns"
        raise SourceError(msg)
    try:
        text = content.decode("ascii")
        return np.loadtxt(io.StringIO(text), np.float64, delimiter=",", comments=None, ndmin=2)
    except ValueError as error:
        msg = f"{path}: expected MOTChallenge ground truth ({str(error)[:200]})"
        raise SourceError(msg) from None


def _check(path: Path, rows: NDArray[np.float64]) -> None:
    """Refuse rows without a valid frame, id or box.

    Raises:
        SourceError: names the first such row.
    """
    used = rows[:, :7]
    whole = (used[:, :2] == np.floor(used[:, :2])).all(axis=1)
    good = np.isfinite(used).all(axis=1) & (np.abs(used) < MAX_FRAME).all(axis=1) & whole
    good &= (used[:, 0] >= 1) & (used[:, 4:6] > 0).all(axis=1)
    if not good.all():
        row = int(np.argmin(good))
        msg = (
            f"{path}: expected a frame from 1, an id, and a box with an area, got "
            f"{', '.join(f'{value:g}' for value in used[row])} in row {row + 1}"
        )
        raise SourceError(msg)
    _, first, counts = np.unique(used[:, :2], axis=0, return_index=True, return_counts=True)
    if (counts > 1).any():
        frame, number = used[first[np.argmax(counts > 1)], :2].astype(int)
        msg = f"{path}: expected each id once in a frame, got id {number} twice in frame {frame}"
        raise SourceError(msg)
