"""Regions: which crops of a frame to infer as well, and the detections of all as one set.

Crops lie around motion, around small objects, and take turns over the frame.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgevision.boxes import corners, ios_matrix, iou_matrix
from edgevision.clock import NS_PER_S
from edgevision.frames import Detections

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgevision.boxes import F64, BoxFrac
    from edgevision.frames import I64, U8

# The choice of crops. All values chosen on PETS09-S2L1; docs/architecture.md has figures.
# A crop is at most this share of the frame's longer side, so that four cover a frame of 4:3.
CROP_SHARE = 0.55
# A crop around a place is this many times as long as the place, within the bounds.
SURROUNDINGS = 4.0
# A place with this share of a crop's side is shown well: 45 pixels of 300. A smaller one counts
# for less, in proportion.
WELL_SHOWN = 0.15
# A crop of the grid that was not taken for this many seconds is worth as much as one place.
SWEEP_S = 2.0
# The place of a small object is remembered for this many seconds.
MEMORY_S = 2.0
# A remembered box that overlaps a new one more than this is the same object.
SAME_IOU = 0.3
# Places that one choice considers, at most.
MAX_PLACES = 64
# A crop that shows more of the frame than this is not worth its inference time.
LARGEST_AREA = 0.8
# Worth is counted in integers, whose sums are the same on every processor.
WORTH = 1000

# The merge. All values chosen on PETS09-S2L1 and on photographs with large objects;
# docs/architecture.md has figures.
# Boxes of two sources that overlap more than this are one object.
DUPLICATE_IOU = 0.5
# A box of which more than this share lies in a larger one of another source is part of that object.
PART_IOS = 0.75
# If that object is of the full frame and this many times as large, this share is enough.
LARGE = 3.0
PART_OF_LARGE_IOS = 0.4
# A box that ends this close to the edge of its crop is cut off: share of the crop's side.
CUT_MARGIN = 0.01
# An object that fills more of a crop's side than this is seen whole and better in the full frame.
LARGEST_IN_CROP = 0.6


@dataclass(frozen=True, slots=True)
class Crop:
    """A part of a frame.

    Attributes:
        image: uint8 view of the frame's pixels, of the same kind.
        window_frac: (x0, y0, x1, y1), its corners as fractions of the frame.
    """

    image: U8
    window_frac: tuple[float, float, float, float]


class Regions:
    """Chooses crops of one camera's frames: where small objects are or move, otherwise in turns.

    Candidates are a grid of overlapping crops and, around each place, a large and a close crop.
    They are taken greedily by how many places they show and how well; a place that another crop
    shows already adds nothing. A crop of the grid is worth more the longer it has waited, so that
    no part of the frame is neglected while something keeps moving elsewhere. `choose` and
    `remember` may be called by two threads.
    """

    def __init__(self, most: int) -> None:
        """Start without remembered places.

        Args:
            most: largest number of crops per frame.
        """
        self._most = most
        self._seen = _Seen(np.empty((0, 4)), np.empty(0, np.int64))
        self._size_px = (0, 0)
        self._grid: I64 = np.empty((0, 4), np.int64)
        self._taken_ns: I64 = np.empty(0, np.int64)

    def choose(
        self, image: U8, motion: Sequence[BoxFrac], now_ns: int, *, smallest_px: int
    ) -> tuple[Crop, ...]:
        """Return the crops to infer besides the full frame, most rewarding first.

        Args:
            image: the frame, uint8 [h, w] or [h, w, channels].
            motion: (x, y, w, h) of moving parts as fractions of the frame.
            now_ns: monotonic stamp of the frame.
            smallest_px: side of the network's input; a smaller crop would show no more detail.

        Returns:
            Squares in pixels where the frame is large enough; none if it is hardly larger than the
            network's input.
        """
        height, width = image.shape[:2]
        if (width, height) != self._size_px:
            self._size_px = width, height
            self._grid = grid(width, height, smallest_px)
            self._taken_ns = np.full(len(self._grid), now_ns - round(SWEEP_S * NS_PER_S))
        if not len(self._grid):
            return ()
        places = self._places(motion, now_ns)
        candidates = np.concatenate([self._grid, _around(places, self._size_px, smallest_px)])
        worths = _worths(candidates, places)
        waiting = np.zeros(len(candidates), np.int64)
        waited_ns = now_ns - self._taken_ns
        waiting[: len(self._grid)] = waited_ns // round(SWEEP_S * NS_PER_S / WORTH) + 1
        chosen = _most_rewarding(worths, waiting, self._most)
        self._taken_ns[[index for index in chosen if index < len(self._grid)]] = now_ns
        return tuple(_crop(image, *candidates[index].tolist()) for index in chosen)

    def remember(
        self, boxes_frac: Sequence[BoxFrac], size_px: tuple[int, int], now_ns: int
    ) -> None:
        """Remember where the small objects of a frame are.

        Args:
            boxes_frac: (x, y, w, h) of all objects, best first.
            size_px: (width, height) of the frame.
            now_ns: monotonic stamp of the frame.
        """
        boxes = corners(boxes_frac)
        small = boxes[_lengths(boxes * np.tile(size_px, 2)) <= _limit_px(size_px)]
        # An object found again replaces its older box; the others may lie where no crop was taken
        # this time.
        seen = self._seen.since(now_ns)
        others = ~(iou_matrix(seen.boxes, small) > SAME_IOU).any(axis=1)
        boxes = np.concatenate([small, seen.boxes[others]])
        at_ns = np.concatenate([np.full(len(small), now_ns), seen.at_ns[others]])
        self._seen = _Seen(boxes[:MAX_PLACES], at_ns[:MAX_PLACES])

    def _places(self, motion: Sequence[BoxFrac], now_ns: int) -> F64:
        """Return float64 [n, 4], corners in pixels of the places to show; n is bounded."""
        places = np.concatenate([self._seen.since(now_ns).boxes, corners(motion)])
        places *= np.tile(self._size_px, 2)
        small = _lengths(places) <= _limit_px(self._size_px)
        return places[small][:MAX_PLACES]


def grid(width_px: int, height_px: int, smallest_px: int) -> I64:
    """Return int64 [n, 4], overlapping crops that cover a frame, row by row.

    Each is (x0, y0, x1, y1) in pixels, x1 and y1 exclusive. None if a crop would show hardly
    less than the frame.
    """
    side = _largest_px((width_px, height_px), smallest_px)
    columns, rows = _spans(width_px, side), _spans(height_px, side)
    windows = [(x0, y0, x1, y1) for (y0, y1), (x0, x1) in itertools.product(rows, columns)]
    x0, y0, x1, y1 = windows[0]
    if (x1 - x0) * (y1 - y0) > LARGEST_AREA * width_px * height_px:
        windows = []
    return np.array(windows, np.int64).reshape(-1, 4)


@dataclass(frozen=True, slots=True)
class CropDetections:
    """The detections of one crop.

    Attributes:
        detections: in fractions of the frame.
        window_frac: (x0, y0, x1, y1), the crop's corners as fractions of the frame.
    """

    detections: Detections
    window_frac: tuple[float, float, float, float]


def merge(full: Detections, crops: Sequence[CropDetections]) -> Detections:
    """Merge the detections of the full frame and of crops of it into one set without duplicates.

    Boxes of a crop that end where it was cut, or that fill most of it, are dropped: the full
    frame or another crop has them whole. So are those that lie in a much larger and more certain
    object of their label in the full frame: a sleeve looks like a person. Of boxes of one label
    from different sources that are one object, the one with the highest score stays. Boxes of one
    source never suppress each other: its non-maximum suppression has done that.

    Args:
        full: the detections of the full frame.
        crops: those of each crop; their order does not matter.

    Returns:
        Detections in fractions of the frame, best score first. Every box that is dropped as a
        duplicate overlaps one of its label that stays and has at least its score.
    """
    kept = [full, *(_whole_and_small(crop) for crop in crops)]
    boxes = np.concatenate([each.boxes for each in kept])
    scores = np.concatenate([each.scores for each in kept])
    class_ids = np.concatenate([each.class_ids for each in kept])
    sources = np.repeat(np.arange(len(kept)), [len(each) for each in kept])
    # Ties: the full frame first, then by place, so that the order of the crops does not matter.
    order = np.lexsort((*boxes.T[::-1], sources > 0, -scores))
    iou, ios = iou_matrix(boxes, boxes), ios_matrix(boxes, boxes)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    of_large = (sources == 0) & (areas >= LARGE * areas[:, None]) & (ios > PART_OF_LARGE_IOS)
    same = (iou > DUPLICATE_IOU) | (ios > PART_IOS) | of_large
    same &= (class_ids[:, None] == class_ids) & (sources[:, None] != sources)
    stays: list[int] = []
    for index in order.tolist():
        if not same[index, stays].any():
            stays.append(index)
    return Detections(boxes[stays], scores[stays], class_ids[stays])


def in_window(window_frac: tuple[float, float, float, float], found: Detections) -> CropDetections:
    """Map the detections of a crop to the frame.

    Args:
        window_frac: (x0, y0, x1, y1), the crop's corners as fractions of the frame.
        found: in fractions of the crop.
    """
    window = np.array(window_frac, np.float32)
    scale = np.tile(window[2:] - window[:2], 2)
    boxes = np.clip(found.boxes, 0.0, 1.0) * scale + np.tile(window[:2], 2)
    return CropDetections(Detections(boxes, found.scores, found.class_ids), window_frac)


@dataclass(frozen=True, slots=True)
class _Seen:
    """Boxes of small objects, float64 [n, 4] corners as fractions, and when each was found."""

    boxes: F64
    at_ns: I64

    def since(self, now_ns: int) -> _Seen:
        """Return those not too old."""
        recent = now_ns - self.at_ns < MEMORY_S * NS_PER_S
        return _Seen(self.boxes[recent], self.at_ns[recent])


def _largest_px(size_px: tuple[int, int], smallest_px: int) -> int:
    return max(round(CROP_SHARE * max(size_px)), smallest_px)


def _limit_px(size_px: tuple[int, int]) -> float:
    """Return the length up to which an object is small: `merge` keeps such objects of a crop."""
    return LARGEST_IN_CROP * CROP_SHARE * max(size_px)


def _spans(length: int, side: int) -> list[tuple[int, int]]:
    """Return overlapping spans that cover a length; the whole if one span nearly covers it."""
    if length <= side * 9 // 8:
        return [(0, length)]
    count = -(-length // side)
    begins = [index * (length - side) // (count - 1) for index in range(count)]
    return [(begin, begin + side) for begin in begins]


def _around(places: F64, size_px: tuple[int, int], smallest_px: int) -> I64:
    """Return int64 [2n, 4]: a close and a large crop around each place, within the frame."""
    largest = _largest_px(size_px, smallest_px)
    close = np.clip(SURROUNDINGS * _lengths(places), smallest_px, largest)
    sides = np.concatenate([close, np.full(len(places), largest)])[:, None]
    sizes = np.minimum(np.rint(sides), size_px).astype(np.int64)
    centres = np.tile((places[:, :2] + places[:, 2:]) / 2, (2, 1))
    begins = np.clip(np.rint(centres - sizes / 2).astype(np.int64), 0, size_px - sizes)
    return np.concatenate([begins, begins + sizes], axis=1)


def _lengths(places: F64) -> F64:
    """Return the longer side of each box."""
    longer: F64 = (places[:, 2:] - places[:, :2]).max(axis=1, initial=0)
    return longer


def _worths(windows: I64, places: F64) -> I64:
    """Return int64 [n, m], 0..`WORTH`: how well window n shows place m; 0 where it cuts it."""
    begins = windows[:, None, :2] <= places[None, :, :2]
    ends = windows[:, None, 2:] >= places[None, :, 2:]
    sides = (windows[:, 2:] - windows[:, :2]).max(axis=1)
    shown = np.minimum(1.0, _lengths(places) / (WELL_SHOWN * sides[:, None]))
    return np.where((begins & ends).all(axis=2), np.rint(shown * WORTH), 0).astype(np.int64)


def _most_rewarding(worths: I64, waiting: I64, most: int) -> list[int]:
    """Return the candidates to take, greedily.

    Args:
        worths: int64 [n, m], of each candidate for each place.
        waiting: int64 [n], what each candidate is worth besides.
        most: largest number of candidates to take.
    """
    chosen: list[int] = []
    while len(chosen) < most:
        shown = worths[chosen].max(axis=0, initial=0)
        gains = np.maximum(worths - shown, 0).sum(axis=1) + waiting
        gains[chosen] = 0
        best = int(gains.argmax())
        if not gains[best]:
            break
        chosen.append(best)
    return chosen


def _crop(image: U8, x0: int, y0: int, x1: int, y1: int) -> Crop:
    height, width = image.shape[:2]
    frac = (x0 / width, y0 / height, x1 / width, y1 / height)
    return Crop(image[y0:y1, x0:x1], frac)


def _whole_and_small(crop: CropDetections) -> Detections:
    """Return the detections of a crop without those cut off by it or nearly filling it."""
    found = crop.detections
    window = np.array(crop.window_frac)
    sizes = window[2:] - window[:2]
    margins = CUT_MARGIN * sizes
    begins = (window[:2] <= 0) | (found.boxes[:, :2] > window[:2] + margins)
    ends = (window[2:] >= 1) | (found.boxes[:, 2:] < window[2:] - margins)
    small = found.boxes[:, 2:] - found.boxes[:, :2] <= LARGEST_IN_CROP * sizes
    kept = (begins & ends & small).all(axis=1)
    return Detections(found.boxes[kept], found.scores[kept], found.class_ids[kept])
