"""Zones: where an object is, for how long, whether it loiters; masks and filters; polygons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np

from edgevision.clock import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from edgevision.boxes import Point
    from edgevision.config.camera import FilterConfig, MaskConfig, ZoneConfig
    from edgevision.tracking.history import History

# An object leaves a zone once its foot is further from it than this part of its height. Boxes of
# an object at rest jitter by a few hundredths of their height.
_LEAVE_MARGIN = 0.1

# A point this near to an edge is on it: fractions of the frame, far below a pixel and far above
# the rounding of float64.
_ON_EDGE_FRAC = 1e-9


@dataclass(frozen=True, slots=True)
class ZoneChange:
    """An object has entered or left a zone, or loiters in it; fields as in `events.ZoneEvent`."""

    kind: Literal["enter", "leave", "loitering"]
    zone: str
    dwell_s: float


@dataclass(slots=True)
class _Visit:
    """One object's visit to one zone.

    Attributes:
        inside_ns: monotonic stamp of the first frame with its foot inside.
        entered_ns: when it entered, after the zone's dwell time and filter; None: not yet.
        loiters: it has been reported as loitering.
    """

    inside_ns: int
    entered_ns: int | None = None
    loiters: bool = False


class ZoneVisits:
    """The visits of one object to the zones of its camera.

    It is inside from the first frame in which its foot is in the polygon or on its edge, until
    its foot is further from it than 0.1 of the height of its box, so jitter on the edge has no
    effect. It has entered once it has been inside for `min_dwell_s` and has passed the zone's
    filter in one frame since; later frames need not pass it. Only frames in which the object is
    seen count: a predicted box enters and leaves nothing.
    """

    def __init__(self, zones: Mapping[str, ZoneConfig]) -> None:
        """Start outside all zones."""
        self._zones = zones
        self._visits: dict[str, _Visit] = {}
        self._entered: dict[str, None] = {}

    @property
    def current(self) -> tuple[str, ...]:
        """Return the zones it has entered and not left, in the order of the configuration."""
        return tuple(name for name in self._zones if self._has_entered(name))

    @property
    def entered(self) -> tuple[str, ...]:
        """Return all zones it has ever entered, in the order of entering."""
        return tuple(self._entered)

    @property
    def loitering(self) -> tuple[str, ...]:
        """Return those of `current` where it loiters."""
        return tuple(
            name for name in self._zones if name in self._visits and self._visits[name].loiters
        )

    def step(self, seen: History) -> tuple[ZoneChange, ...]:
        """Take the object as of the next frame in which it is seen.

        Returns:
            Leaves, then enters, then loitering, each in the order of the configuration.
        """
        outside = [
            name for name in self._present() if not self._is_still_in(self._zones[name], seen)
        ]
        left = self._leave(outside, seen.when.now_ns)
        entered = [
            self._enter(name, seen.when.now_ns)
            for name, zone in self._zones.items()
            if not self._has_entered(name) and self._may_enter(name, zone, seen)
        ]
        loiters = [
            change
            for name, zone in self._zones.items()
            if (change := self._loiter(name, zone, seen.when.now_ns)) is not None
        ]
        return (*left, *entered, *loiters)

    def close(self, now_ns: int) -> tuple[ZoneChange, ...]:
        """Leave all zones.

        Args:
            now_ns: monotonic stamp of the last frame in which it was seen.
        """
        return self._leave(self._present(), now_ns)

    def _has_entered(self, name: str) -> bool:
        visit = self._visits.get(name)
        return visit is not None and visit.entered_ns is not None

    def _is_still_in(self, zone: ZoneConfig, seen: History) -> bool:
        if not takes(zone.labels, seen.label):
            return False
        if contains(zone.polygon, seen.foot):
            return True
        gap_px = distance_to_edge_px(zone.polygon, seen.foot, seen.when.frame_size_px)
        return gap_px <= _LEAVE_MARGIN * seen.height_px

    def _may_enter(self, name: str, zone: ZoneConfig, seen: History) -> bool:
        visit = self._visits.get(name)
        if visit is None:
            if not takes(zone.labels, seen.label):
                return False
            if not contains(zone.polygon, seen.foot):
                return False
            visit = self._visits[name] = _Visit(seen.when.now_ns)
        inside_ns = seen.when.now_ns - visit.inside_ns
        return inside_ns >= zone.min_dwell_s * NS_PER_S and passes(zone.filters, seen)

    def _enter(self, name: str, now_ns: int) -> ZoneChange:
        self._visits[name].entered_ns = now_ns
        self._entered[name] = None
        return ZoneChange("enter", name, 0.0)

    def _leave(self, zones: Iterable[str], now_ns: int) -> tuple[ZoneChange, ...]:
        ended = [(name, self._visits.pop(name)) for name in zones]
        return tuple(
            ZoneChange("leave", name, (now_ns - visit.entered_ns) / NS_PER_S)
            for name, visit in ended
            if visit.entered_ns is not None
        )

    def _present(self) -> tuple[str, ...]:
        """Return the zones it is inside, entered or not, in the order of the configuration."""
        return tuple(name for name in self._zones if name in self._visits)

    def _loiter(self, name: str, zone: ZoneConfig, now_ns: int) -> ZoneChange | None:
        visit = self._visits.get(name)
        if (
            visit is None
            or visit.entered_ns is None
            or visit.loiters
            or zone.loiter_after_s is None
        ):
            return None
        dwell_s = (now_ns - visit.entered_ns) / NS_PER_S
        if dwell_s < zone.loiter_after_s:
            return None
        visit.loiters = True
        return ZoneChange("loitering", name, dwell_s)


def passes(filters: Mapping[str, FilterConfig], seen: History) -> bool:
    """Return whether an object passes the filter of its label; without one it does.

    The score is the highest so far, so that an object counts from the first frame that shows it
    clearly; area and ratio are those of the last frame. A value equal to a bound passes.
    """
    wanted = filters.get(seen.label)
    return wanted is None or (
        _within(wanted.min_score, seen.top_score, None)
        and _within(wanted.min_area, seen.area_frac, wanted.max_area)
        and _within(wanted.min_ratio, seen.ratio, wanted.max_ratio)
    )


def is_masked(masks: Iterable[MaskConfig], seen: History) -> bool:
    """Return whether the foot of an object is in a mask that applies to its label."""
    return any(
        takes(mask.labels, seen.label) and contains(mask.polygon, seen.foot) for mask in masks
    )


def takes(labels: tuple[str, ...] | None, label: str) -> bool:
    """Return whether a label is among these; None: every label is."""
    return labels is None or label in labels


def contains(polygon: Sequence[Point], point: Point) -> bool:
    """Return whether a point is in a polygon or on its edge.

    Even-odd rule (Shimrat 1962, "Algorithm 112"): a ray to the right crosses the edges an odd
    number of times. An edge owns its upper end and not its lower one, so a ray through a corner
    is counted correctly. Where a polygon crosses itself, the parts covered twice are outside.

    In float64: `cv2.pointPolygonTest` takes float32, for which points on a slanted edge are up to
    1e-7 beside it, and needs four times as long for four corners.

    Args:
        polygon: at least 3 corners; the last is joined to the first. May be concave.
        point: in the same coordinates, fractions of the frame.
    """
    x, y = point
    inside = False
    x0, y0 = polygon[-1]
    for x1, y1 in polygon:
        if _is_on_edge((x0, y0), (x1, y1), point):
            return True
        if (y0 > y) != (y1 > y) and x < x0 + (y - y0) * (x1 - x0) / (y1 - y0):
            inside = not inside
        x0, y0 = x1, y1
    return inside


def distance_to_edge_px(
    polygon: Sequence[Point], point: Point, frame_size_px: tuple[int, int]
) -> float:
    """Return how many pixels a point is from the nearest edge of a polygon, inside or outside.

    OpenCV takes float32: the result is within 2e-7 of the polygon's extent from the exact one.

    Args:
        polygon: corners as fractions of the frame.
        point: as fractions of the frame.
        frame_size_px: (width, height).
    """
    # Relative to the point, so that the nearest corner keeps the most digits.
    corners_px = (np.subtract(polygon, point) * frame_size_px).astype(np.float32)
    return abs(cv2.pointPolygonTest(corners_px, (0.0, 0.0), measureDist=True))


def _is_on_edge(start: Point, end: Point, point: Point) -> bool:
    across, down = end[0] - start[0], end[1] - start[1]
    x, y = point[0] - start[0], point[1] - start[1]
    if abs(across * y - down * x) > _ON_EDGE_FRAC * (abs(across) + abs(down)):
        return False
    return (
        min(across, 0.0) - _ON_EDGE_FRAC <= x <= max(across, 0.0) + _ON_EDGE_FRAC
        and min(down, 0.0) - _ON_EDGE_FRAC <= y <= max(down, 0.0) + _ON_EDGE_FRAC
    )


def _within(low: float | None, value: float, high: float | None) -> bool:
    return (low is None or value >= low) and (high is None or value <= high)
