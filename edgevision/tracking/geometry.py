"""Points, boxes and polygons in the picture.

x goes right and y down. Whether a point is in a polygon is the same in fractions of the frame
and in pixels; distances are in pixels, because a frame is not square.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

Point: TypeAlias = tuple[float, float]

Size: TypeAlias = tuple[int, int]

# A point this near to an edge is on it: fractions of the frame, far below a pixel and far above
# the rounding of float64.
_ON_EDGE = 1e-9


def contains(polygon: Sequence[Point], point: Point) -> bool:
    """Return whether a point is in a polygon or on its edge.

    Even-odd rule (Shimrat 1962, "Algorithm 112"): a ray to the right crosses the edges an odd
    number of times. An edge owns its upper end and not its lower one, so a ray through a corner
    counts right. Where a polygon crosses itself, the parts covered twice are outside.

    Args:
        polygon: at least 3 corners; the last is joined to the first. May be concave.
        point: in the same coordinates, fractions of the frame.
    """
    x, y = point
    inside = False
    x0, y0 = polygon[-1]
    for x1, y1 in polygon:
        if _on_edge((x0, y0), (x1, y1), point):
            return True
        if (y0 > y) != (y1 > y) and x < x0 + (y - y0) * (x1 - x0) / (y1 - y0):
            inside = not inside
        x0, y0 = x1, y1
    return inside


def distance_to_edge_px(polygon: Sequence[Point], point: Point, frame_size_px: Size) -> float:
    """Return how many pixels a point is from the nearest edge of a polygon, in or out.

    Args:
        polygon: corners as fractions of the frame.
        point: as fractions of the frame.
        frame_size_px: (width, height).
    """
    width, height = frame_size_px
    here = (point[0] * width, point[1] * height)
    nearest = math.inf
    start = (polygon[-1][0] * width, polygon[-1][1] * height)
    for x, y in polygon:
        end = (x * width, y * height)
        nearest = min(nearest, _distance(start, end, here))
        start = end
    return nearest


def _on_edge(start: Point, end: Point, point: Point) -> bool:
    across, down = end[0] - start[0], end[1] - start[1]
    x, y = point[0] - start[0], point[1] - start[1]
    if abs(across * y - down * x) > _ON_EDGE * (abs(across) + abs(down)):
        return False
    return (
        min(across, 0.0) - _ON_EDGE <= x <= max(across, 0.0) + _ON_EDGE
        and min(down, 0.0) - _ON_EDGE <= y <= max(down, 0.0) + _ON_EDGE
    )


def _distance(start: Point, end: Point, point: Point) -> float:
    """Return the distance from a point to a segment, which may be a point itself."""
    across, down = end[0] - start[0], end[1] - start[1]
    x, y = point[0] - start[0], point[1] - start[1]
    length2 = across * across + down * down
    along = min(max((x * across + y * down) / length2, 0.0), 1.0) if length2 > 0 else 0.0
    return math.hypot(x - along * across, y - along * down)
