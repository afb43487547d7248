"""One tracked object: its place and motion, its looks, and the evidence for it."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

from edgevision.clock import NS_PER_S
from edgevision.events import Track
from edgevision.tracking.appearance import Place

if TYPE_CHECKING:
    from edgevision.tracking.appearance import Observation

# How far the mean of the recent scores has to be above `detection.min_score_of`, as a difference
# of logits: where that is 0.40, 0.48 confirms an object and 0.42 shows it.
CONFIRMED_SUPPORT = 0.3
SHOWN_SUPPORT = 0.1

# An object is confirmed by this many detections, the first and last this far apart: at 60 frames
# a second three of them may be one flicker.
MIN_DETECTIONS = 3
MIN_AGE_NS = NS_PER_S // 4

# Scores of the last second count, and at least as many as confirm an object.
RECENT_NS = NS_PER_S
MAX_SCORES = 64

# The looks of an object are the mean of its first views, then decay with this time constant.
LOOKS_S = 2.0

# The label changes once another has this many times the votes, so that it does not flicker.
LABEL_MAJORITY = 1.1

# Noises are relative to the object's longer side, so near and far objects are treated alike. A
# detector's centre wanders by some hundredths of the object; a person walks about 0.8 of their own
# height in a second and may stop or turn within one.
ACCELERATION = 0.5
CENTRE_NOISE = 0.06
FIRST_SPEED = 1.0

# The size is smoothed with this time constant and not predicted.
SIZE_S = 0.5

# An object out of sight is predicted at its last speed for this long, then stays there.
MAX_PREDICTION_S = 3.0

# Shorter sides are treated as this long, a fraction of the frame's height.
MIN_SIDE = 1e-3


class Target:
    """One object, confirmed or not yet.

    Attributes:
        label: the one with the most votes.
        looks: float32 [6, 3], as `appearance.describe` returns it; None: without an image.
        number: 0 until it is confirmed.
        seen: a detection of the last inferred frame belonged to it.
        seen_ns: when that was last so.
    """

    __slots__ = (
        "_begun_ns",
        "_count",
        "_detection",
        "_motion",
        "_score",
        "_scores",
        "_views",
        "_votes",
        "label",
        "looks",
        "number",
        "seen",
        "seen_ns",
    )

    def __init__(self, first: Observation, now_ns: int) -> None:
        """Start with its first detection."""
        self.label = first.label
        self.looks = first.looks
        self.number = 0
        self.seen, self.seen_ns = True, now_ns
        self._detection: int | None = None
        self._motion = MotionModel(first.place)
        self._begun_ns = now_ns
        self._count = 0
        self._views = 1
        self._votes: dict[str, float] = {}
        self._scores: deque[tuple[int, float]] = deque(maxlen=MAX_SCORES)
        self._take(first, now_ns)

    @property
    def place(self) -> Place:
        """Return where its box is, in fractions of the frame's height along both axes."""
        return self._motion.place

    @property
    def support(self) -> float:
        """Return the mean of `Observation.support` over the last second."""
        return math.fsum(support for _, support in self._scores) / len(self._scores)

    @property
    def is_convincing(self) -> bool:
        """Return whether its detections are enough to confirm it."""
        return (
            self._count >= MIN_DETECTIONS
            and self.seen_ns - self._begun_ns >= MIN_AGE_NS
            and self.support >= CONFIRMED_SUPPORT
        )

    def advance(self, before_ns: int, interval_ns: int) -> None:
        """Predict it for the next frame, in which it is not seen yet.

        Args:
            before_ns: monotonic stamp of the frame before.
            interval_ns: from then until now.
        """
        self._motion.predict(interval_ns / NS_PER_S, (before_ns - self.seen_ns) / NS_PER_S)
        self.seen = False
        self._detection = None

    def observe(self, found: Observation, now_ns: int) -> None:
        """Add the detection of this frame that belongs to it."""
        passed_s = (now_ns - self.seen_ns) / NS_PER_S
        self._motion.correct(found.place, passed_s)
        if self.looks is None or found.looks is None:
            self.looks = found.looks
        elif found.is_clear:
            self._views += 1
            weight = max(1 / self._views, -math.expm1(-passed_s / LOOKS_S))
            self.looks = self.looks + weight * (found.looks - self.looks)
        self._take(found, now_ns)

    def rest(self, now_ns: int) -> None:
        """Count it as seen and at rest in a frame that was not inferred."""
        self._motion.rest()
        self.seen, self.seen_ns = True, now_ns

    def _take(self, found: Observation, now_ns: int) -> None:
        self.seen, self.seen_ns = True, now_ns
        self._detection = found.index
        self._score = found.score
        self._count += 1
        self._scores.append((now_ns, found.support))
        while len(self._scores) > MIN_DETECTIONS and now_ns - self._scores[0][0] > RECENT_NS:
            self._scores.popleft()
        for label, score in found.votes.items():
            self._votes[label] = self._votes.get(label, 0.0) + score
        best = max(self._votes, key=self._votes.__getitem__)
        if self._votes[best] > LABEL_MAJORITY * self._votes.get(self.label, 0.0):
            self.label = best

    def track(self, aspect: float) -> Track:
        """Return the object as the rest of the program sees it.

        Args:
            aspect: the frame's width by its height.
        """
        place = self.place
        return Track(
            number=self.number,
            label=self.label,
            score=self._score,
            box_frac=(
                (place.x - place.width / 2) / aspect,
                place.y - place.height / 2,
                place.width / aspect,
                place.height,
            ),
            detection=self._detection,
            seen=self.seen,
            shown=self.seen and self.support >= SHOWN_SUPPORT,
            begun_ns=self._begun_ns,
            seen_ns=self.seen_ns,
        )


class MotionModel:
    """A Kalman filter at constant velocity for the centre of one object, and its smoothed size.

    The state of each axis is (position, velocity), driven by white noise in the acceleration
    (Bar-Shalom, Li and Kirubarajan 2001, "Estimation with Applications to Tracking and
    Navigation", section 6.2.2). Both axes have the same noise and so share one covariance. All
    lengths are fractions of the frame's height; plain floats, because NumPy is slower for so few.
    """

    __slots__ = ("_c00", "_c01", "_c11", "_height", "_vx", "_vy", "_width", "_x", "_y")

    def __init__(self, first: Place) -> None:
        """Start at a box; its speed is not known yet."""
        self._x, self._y = first.x, first.y
        self._width, self._height = max(first.width, MIN_SIDE), max(first.height, MIN_SIDE)
        self._c00 = (CENTRE_NOISE * self._length) ** 2
        self.rest()

    @property
    def place(self) -> Place:
        """Return where it is."""
        return Place(self._x, self._y, self._width, self._height)

    @property
    def _length(self) -> float:
        return max(self._width, self._height)

    def rest(self) -> None:
        """Set the speed to 0, with the uncertainty of a first detection."""
        self._vx = self._vy = 0.0
        self._c01 = 0.0
        self._c11 = (FIRST_SPEED * self._length) ** 2

    def predict(self, elapsed_s: float, unseen_s: float) -> None:
        """Predict the centre.

        Args:
            elapsed_s: since the last prediction.
            unseen_s: how long the object had been out of sight before that.
        """
        moving_s = min(elapsed_s, max(0.0, MAX_PREDICTION_S - unseen_s))
        self._x += self._vx * moving_s
        self._y += self._vy * moving_s
        noise = (ACCELERATION * self._length) ** 2
        t = elapsed_s
        self._c00 += 2 * t * self._c01 + t * t * self._c11 + noise * t**3 / 3
        self._c01 += t * self._c11 + noise * t * t / 2
        self._c11 += noise * t

    def correct(self, box: Place, passed_s: float) -> None:
        """Correct with a box.

        Args:
            box: where a detection is.
            passed_s: since the last one.
        """
        scale = self._c00 + (CENTRE_NOISE * self._length) ** 2
        gain, speed_gain = self._c00 / scale, self._c01 / scale
        off_x, off_y = box.x - self._x, box.y - self._y
        self._x += gain * off_x
        self._y += gain * off_y
        self._vx += speed_gain * off_x
        self._vy += speed_gain * off_y
        self._c11 -= speed_gain * self._c01
        self._c01 -= gain * self._c01
        self._c00 -= gain * self._c00
        weight = -math.expm1(-passed_s / SIZE_S)
        self._width += weight * (max(box.width, MIN_SIDE) - self._width)
        self._height += weight * (max(box.height, MIN_SIDE) - self._height)
