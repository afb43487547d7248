"""Where an object is and where it will be: a Kalman filter at constant velocity."""

from __future__ import annotations

import math

from edgevision.tracking.overlap import Place

# Noises are relative to the object's longer side, so near and far objects are treated alike. A
# detector's centre wanders by some hundredths of the object; a person walks about 0.8 of their own
# height in a second and may stop or turn within one.
ACCELERATION = 0.5
CENTRE_NOISE = 0.06
FIRST_SPEED = 1.0
# The size is smoothed with this time constant and not predicted.
SIZE_S = 0.5
# An object out of sight goes on at its last speed for this long: then it may be anywhere near.
MAX_PREDICTION_S = 3.0
# The smallest side that is computed with, a fraction of the frame's height.
MIN_SIDE = 1e-3


class MotionModel:
    """Centre and velocity of one object, with their uncertainty, and its smoothed size.

    The state of each axis is (position, velocity), driven by white noise in the acceleration
    (Bar-Shalom, Li and Kirubarajan 2001, "Estimation with Applications to Tracking and
    Navigation", section 6.2.2). Both axes have the same noise and so share one covariance. All
    lengths are fractions of the frame's height; plain floats, because NumPy is slower for so few.

    """

    __slots__ = ("_c00", "_c01", "_c11", "_height", "_vx", "_vy", "_width", "_x", "_y")

    def __init__(self, first: Place) -> None:
        """Begin at a box; how fast it moves is not known yet."""
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
        """Stand still from here on; how fast it will move again is not known."""
        self._vx = self._vy = 0.0
        self._c01 = 0.0
        self._c11 = (FIRST_SPEED * self._length) ** 2

    def predict(self, elapsed_s: float, unseen_s: float) -> None:
        """Go forward in time.

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
        """Take in a box.

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
