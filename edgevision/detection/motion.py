"""Motion: what differs from a running background, and which frames are worth inferring."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import cv2
import numpy as np

from edgevision.clock import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgevision.boxes import BoxFrac
    from edgevision.config.camera import MotionConfig, Point
    from edgevision.frames import F32, U8

    Polygon: TypeAlias = tuple[Point, ...]

# Frames are compared at this size: averaging the pixels below removes their noise.
SIDE_PX = 100

# An object that stays becomes background with this time constant, in seconds.
LEARNING_S = 3.0

# If more than this share of the unmasked pixels changes from one frame to the next, the light has
# changed or the camera has moved.
FLOOD = 0.6

# A refresh lasts this long, and this many frames at least: a single frame can miss an object.
REFRESH_NS = NS_PER_S
REFRESH_FRAMES = 4

# After this long without a frame, the scene may be a different one.
UNKNOWN_NS = 2 * NS_PER_S


@dataclass(frozen=True, slots=True)
class Motion:
    """What moves in one frame.

    Attributes:
        boxes_frac: (x, y, w, h) of each moving part as fractions of the frame, largest first.
        area_frac: share of the frame that differs from the background, 0..1.
    """

    boxes_frac: tuple[BoxFrac, ...]
    area_frac: float


class MotionDetector:
    """A running mean of the frames, and what differs from it. For one camera and one thread."""

    def __init__(self, config: MotionConfig, masks: Iterable[Polygon] = ()) -> None:
        """Start without a background.

        Args:
            config: how much has to change to count.
            masks: polygons, corners as fractions of the frame; changes inside do not count.
        """
        self._threshold = config.threshold
        self._min_px = config.min_area * SIDE_PX * SIDE_PX
        self._counts = np.full((SIDE_PX, SIDE_PX), 255, np.uint8)
        for corners in masks:
            points = np.round(np.array(corners) * SIDE_PX).astype(np.int32)
            cv2.fillPoly(self._counts, [points], 0)
        self._watched_px = np.count_nonzero(self._counts)
        self._background: F32 | None = None
        self._seen_ns = 0

    def update(self, picture: U8, now_ns: int) -> Motion:
        """Return what moves in a frame, and update the background with it.

        The first frame, and one in which nearly everything has changed, replaces the background;
        the latter counts as motion, once.

        Args:
            picture: uint8 [h, w, 3] BGR, whole frame in any size and shape.
            now_ns: monotonic stamp of the frame.
        """
        small = cv2.resize(picture, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
        grey: F32 = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY).astype(np.float32)
        elapsed_s, self._seen_ns = max(0, now_ns - self._seen_ns) / NS_PER_S, now_ns
        if self._background is None:
            self._background = grey
            return Motion((), 0.0)
        changed = (np.abs(grey - self._background) > self._threshold).astype(np.uint8)
        changed &= self._counts
        changed_px = np.count_nonzero(changed)
        area_frac = changed_px / changed.size
        if changed_px > FLOOD * self._watched_px:
            self._background = grey
            return Motion(((0.0, 0.0, 1.0, 1.0),), area_frac)
        cv2.accumulateWeighted(grey, self._background, 1 - math.exp(-elapsed_s / LEARNING_S))
        return Motion(self._boxes(changed) if area_frac else (), area_frac)

    def _boxes(self, changed: U8) -> tuple[BoxFrac, ...]:
        """Return the connected parts that are large enough, largest first."""
        count, _, parts, _ = cv2.connectedComponentsWithStats(changed, connectivity=8)
        found = sorted(parts[1:count].tolist(), key=lambda part: (-part[4], part))
        return tuple(
            (x / SIDE_PX, y / SIDE_PX, w / SIDE_PX, h / SIDE_PX)
            for x, y, w, h, area in found
            if area >= self._min_px
        )


class MotionGate:
    """Decides whether a frame is worth inferring, by monotonic time.

    A new scene, or one not seen for a while, counts as one in which something moves: an object is
    confirmed after several detections, not after one.
    """

    def __init__(self, config: MotionConfig) -> None:
        """Start with a new scene."""
        self._hold_ns = round(config.hold_s * NS_PER_S)
        self._refresh_ns = round(config.refresh_s * NS_PER_S)
        self._seen_ns: int | None = None
        self._passed_ns = 0
        self._open_until_ns = 0
        self._burst = 0

    def passes(self, motion: Motion, now_ns: int) -> bool:
        """Return whether to infer this frame: something moves, moved lately, or a refresh is due.

        Args:
            motion: what moves in it.
            now_ns: monotonic stamp of the frame.
        """
        unknown = self._seen_ns is None or now_ns - self._seen_ns >= UNKNOWN_NS
        self._seen_ns = now_ns
        if motion.boxes_frac or unknown:
            self._open_until_ns = now_ns + self._hold_ns
        elif now_ns > self._open_until_ns and now_ns - self._passed_ns >= self._refresh_ns:
            self._open_until_ns = now_ns + REFRESH_NS
            self._burst = REFRESH_FRAMES
        passes = now_ns <= self._open_until_ns or self._burst > 0
        if passes:
            self._passed_ns = now_ns
            self._burst = max(0, self._burst - 1)
        return passes
