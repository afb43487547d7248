"""Whether the pictures of a camera show anything: detection of frozen and black pictures.

Each picture is sampled at 128 x 72 points, which takes 20 µs at 1280 x 720. The thresholds come
from measurements on 768 x 576 pictures, of the share of samples that differ by more than one level
between two pictures:

- one still picture, encoded over and over: 1 % (MPEG-4), none (JPEG of constant quality);
- a running clock in it: 0.2 %;
- sensor noise with a standard deviation of one level, after JPEG: 7 % at night, 30 % by day;
- the two most similar successive frames of PETS09-S2L1: much more.

A still picture whose encoding quality changes each time does not count as frozen: it cannot be
distinguished from a noisy one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np

from edgevision.clock import NS_PER_S

if TYPE_CHECKING:
    from edgevision.capture.protocol import Arrival
    from edgevision.frames import U8

SAMPLES = (128, 72)  # columns, rows

# A picture has changed if more than this share of samples differ by more than one level.
CHANGED_SHARE = 0.02

# A picture is black if its brightest cell is at most DARK_LEVEL and its darkest at most
# FLAT_LEVELS below that. Cells are means over a grid of 16 x 9, which averages noise away; the
# darkest and brightest 5 % are ignored: a clock in the picture, a lamp.
CELLS = (16, 9)
IGNORED_CELLS = CELLS[0] * CELLS[1] // 20
DARK_LEVEL = 32
FLAT_LEVELS = 6


@dataclass(frozen=True, slots=True)
class PictureState:
    """What the pictures look like.

    Attributes:
        status: online, or frozen or black for as long as configured.
        since: arrival of the first picture that looked like this; None while online.
    """

    status: Literal["online", "frozen", "black"]
    since: Arrival | None = None


ALIVE = PictureState("online")


class PictureWatch:
    """Checks each picture of one camera."""

    def __init__(self, *, frozen_after_s: float | None, black_after_s: float | None) -> None:
        """Report frozen or black after these times; None: never."""
        self._frozen_after_s = frozen_after_s
        self._black_after_s = black_after_s
        self._reference: U8 | None = None
        self._unchanged_since: Arrival | None = None
        self._black_since: Arrival | None = None

    def see(self, image: U8, arrival: Arrival) -> PictureState:
        """Check the next picture, uint8 [h, w] or [h, w, c]."""
        samples = _grey(cv2.resize(image, SAMPLES, interpolation=cv2.INTER_NEAREST))
        if _is_black(samples):
            self._black_since = self._black_since or arrival
        else:
            self._black_since = None
        if self._reference is None or _differ(samples, self._reference):
            self._reference, self._unchanged_since = samples, arrival
        if _lasts(self._black_since, arrival, self._black_after_s):
            return PictureState("black", self._black_since)
        if _lasts(self._unchanged_since, arrival, self._frozen_after_s):
            return PictureState("frozen", self._unchanged_since)
        return ALIVE


def _lasts(since: Arrival | None, now: Arrival, after_s: float | None) -> bool:
    if since is None or after_s is None:
        return False
    return now.captured_ns - since.captured_ns >= after_s * NS_PER_S


def _grey(samples: np.ndarray) -> U8:
    if samples.ndim == 3 and samples.shape[2] > 1:
        code = cv2.COLOR_BGR2GRAY if samples.shape[2] == 3 else cv2.COLOR_BGRA2GRAY
        samples = cv2.cvtColor(samples, code)
    return np.asarray(samples, np.uint8).reshape(SAMPLES[1], SAMPLES[0])


def _differ(samples: U8, reference: U8) -> bool:
    changed = cv2.absdiff(samples, reference) > 1
    return int(np.count_nonzero(changed)) > CHANGED_SHARE * samples.size


def _is_black(samples: U8) -> bool:
    cells = np.sort(cv2.resize(samples, CELLS, interpolation=cv2.INTER_AREA), axis=None)
    darkest, brightest = int(cells[IGNORED_CELLS]), int(cells[-1 - IGNORED_CELLS])
    return brightest <= DARK_LEVEL and brightest - darkest <= FLAT_LEVELS
