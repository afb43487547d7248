"""What is known of an object from one frame in which it was seen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgevision.tracking.geometry import foot_of

if TYPE_CHECKING:
    from datetime import datetime

    from edgevision.tracking.geometry import Point
    from edgevision.tracks import BoxFrac

# A box this near to an edge of the frame is taken as cut off by it.
_AT_EDGE_FRAC = 0.01


@dataclass(frozen=True, slots=True)
class Moment:
    """When a frame arrived, and its size.

    Attributes:
        now_ns: monotonic stamp; decides everything.
        at: time of day, UTC; only ever published.
        frame_size_px: (width, height).
    """

    now_ns: int
    at: datetime
    frame_size_px: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Sighting:
    """One object in one frame in which it was seen.

    Attributes:
        label: by vote over its life so far.
        score: of the last detection that belonged to it, 0..1.
        top_score: the highest so far.
        box_frac: (x, y, w, h) as fractions of the frame, clipped to it.
        when: the frame.
    """

    label: str
    score: float
    top_score: float
    box_frac: BoxFrac
    when: Moment

    @property
    def foot(self) -> Point:
        """Return the bottom-centre point of the box, as fractions of the frame."""
        return foot_of(self.box_frac)

    @property
    def height_px(self) -> float:
        """Return the height of the box in pixels."""
        return self.box_frac[3] * self.when.frame_size_px[1]

    @property
    def area_frac(self) -> float:
        """Return the box's share of the frame, 0..1."""
        return self.box_frac[2] * self.box_frac[3]

    @property
    def ratio(self) -> float:
        """Return the box's width by its height, both in pixels; 0 for a box without height."""
        tall = self.height_px
        return self.box_frac[2] * self.when.frame_size_px[0] / tall if tall > 0 else 0.0

    @property
    def quality(self) -> float:
        """Return how good a view this is, 0..1.

        score x sqrt(area): twice the size is worth as much as twice the score, and size counts
        by length and not by area, so that near does not win over clear. Half of it where the box
        is cut off by the frame. A choice of this project, of no paper.
        """
        x, y, width, height = self.box_frac
        cut = min(x, y) < _AT_EDGE_FRAC or max(x + width, y + height) > 1 - _AT_EDGE_FRAC
        return self.score * math.sqrt(self.area_frac) * (0.5 if cut else 1.0)
