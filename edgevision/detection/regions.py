"""Where to look a second time: crops around motion and around small objects."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from edgevision.clock import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edgevision.records import U8, Detections
    from edgevision.tracks import BoxFrac

    Window: TypeAlias = tuple[float, float, float, float]

# A crop is this share of the frame's longer side, so that four with overlap cover the frame.
CROP_SHARE = 0.55
# What is lower and narrower than this share of the crop is worth a second look.
SMALL = 0.5
# A small object is remembered for this long where it was seen, in seconds.
MEMORY_S = 3.0


@dataclass(frozen=True, slots=True)
class Crop:
    """A part of a frame.

    Attributes:
        image: uint8 view of the frame's pixels, of the same kind.
        window_frac: (x0, y0, x1, y1), its corners as fractions of the frame.
    """

    image: U8
    window_frac: Window


class Regions:
    """Chooses crops of one camera's frames: where small things are and move, else in turns.

    Crops come from a fixed grid of overlapping ones, two by two in a frame of usual shape, so
    that the same object is not cut in another way in each frame. `choose` and `remember` may be
    called by two threads.
    """

    def __init__(self, most: int) -> None:
        """Begin without a memory.

        Args:
            most: crops a frame at most.
        """
        self._most = most
        self._turn = 0
        self._small: list[tuple[int, BoxFrac]] = []

    def choose(self, image: U8, motion: Sequence[BoxFrac], now_ns: int) -> tuple[Crop, ...]:
        """Return the crops to infer besides the full frame.

        Those come first that hold most moving parts and remembered objects; what is left of the
        budget goes through the others in turns.

        Args:
            image: the frame, uint8 [h, w] or [h, w, channels].
            motion: (x, y, w, h) of moving parts as fractions of the frame.
            now_ns: monotonic stamp of the frame.
        """
        windows = grid(image.shape[1], image.shape[0])
        since_ns = now_ns - MEMORY_S * NS_PER_S
        places = [*motion, *(box for at_ns, box in self._small if at_ns >= since_ns)]
        weights = [_weight(window, places) for window in windows]
        wanted = sorted(
            (index for index, weight in enumerate(weights) if weight),
            key=lambda index: (-weights[index], index),
        )
        others = [index for index in range(len(windows)) if not weights[index]]
        spare = self._most - len(wanted)
        if spare > 0 and others:
            first = self._turn % len(others)
            wanted += [*others[first:], *others[:first]][:spare]
            self._turn += spare
        return tuple(_crop(image, windows[index]) for index in sorted(wanted[: self._most]))

    def remember(self, found: Detections, size_px: tuple[int, int], now_ns: int) -> None:
        """Keep where the small objects of a frame are.

        Args:
            found: in fractions of the frame.
            size_px: (width, height) of the frame.
            now_ns: monotonic stamp of the frame.
        """
        limit_px = SMALL * CROP_SHARE * max(size_px)
        sizes_px = (found.boxes[:, 2:] - found.boxes[:, :2]) * size_px
        small = found.boxes[(sizes_px <= limit_px).all(axis=1)].tolist()
        # Those of this frame take the place of all: what is still there was found again.
        if small:
            self._small = [(now_ns, (x0, y0, x1 - x0, y1 - y0)) for x0, y0, x1, y1 in small]


def grid(width_px: int, height_px: int) -> tuple[Window, ...]:
    """Return overlapping crops that cover a frame, row by row, as fractions of it.

    They are squares in pixels where the frame is large enough.
    """
    side_px = CROP_SHARE * max(width_px, height_px)
    columns, rows = _spans(side_px / width_px), _spans(side_px / height_px)
    return tuple((x0, y0, x1, y1) for (y0, y1), (x0, x1) in itertools.product(rows, columns))


def _spans(share: float) -> list[tuple[float, float]]:
    """Return equal spans of 0..1 that cover it with overlap; one where it is covered by one."""
    if share >= 1:
        return [(0.0, 1.0)]
    count = int(np.ceil(1 / share))
    begins = np.linspace(0.0, 1.0 - share, count)
    return [(float(begin), float(begin) + share) for begin in begins]


def _weight(window: Window, places: Iterable[BoxFrac]) -> int:
    """Return how many places have their middle in a window."""
    x0, y0, x1, y1 = window
    return sum(x0 <= x + w / 2 <= x1 and y0 <= y + h / 2 <= y1 for x, y, w, h in places)


def _crop(image: U8, window: Window) -> Crop:
    """Return the pixels of a window; it is moved to whole pixels."""
    height, width = image.shape[:2]
    x0, y0 = round(window[0] * width), round(window[1] * height)
    x1, y1 = max(x0 + 1, round(window[2] * width)), max(y0 + 1, round(window[3] * height))
    frac = (x0 / width, y0 / height, x1 / width, y1 / height)
    return Crop(image[y0:y1, x0:x1], frac)
