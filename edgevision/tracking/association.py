"""Which detection belongs to which object: by place, size, looks and label, best pair first."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgevision.boxes import iou
from edgevision.clock import NS_PER_S
from edgevision.tracking.appearance import distances

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from edgevision.boxes import F64
    from edgevision.tracking.appearance import Observation, Place
    from edgevision.tracking.target import Target

# How far a detection may be from the expected place of its object, in multiples of the object's
# longer side: more with every second out of sight, because people stop and turn.
GATE = 0.6
GATE_PER_SECOND = 0.4
MAX_GATE_S = 3.0

# Largest |ln| of the ratio of the heights.
MAX_SIZE_CHANGE = 0.5

# Distance and looks have equal weight, each from 0 to 1; the change of size has little.
LOOKS_SHARE = 0.5
SIZE_SHARE = 0.1

# A distance between looks (`appearance.distances`) that counts as the full 1.
MAX_LOOKS_DISTANCE = 60.0

# A pair that costs this much or more is not made. It is above what looks alone can cost, so that
# an object that stays in its place is not lost because the light has changed.
MAX_COST = 0.6

# A detection of another label continues an object only at the expected place.
OTHER_LABEL_IOU = 0.6
OTHER_LABEL_COST = 0.2


def associate(targets: Sequence[Target], found: Sequence[Observation], now_ns: int) -> list[Pair]:
    """Match detections to objects.

    Args:
        targets: the objects, predicted to `now_ns`.
        found: the detections.
        now_ns: monotonic stamp of the frame.

    Returns:
        Pairs of an index in `targets` (row) and in `found` (column), each used at most once.
    """
    if not targets or not found:
        return []
    expected = _as_array([target.place for target in targets])
    boxes = _as_array([one.place for one in found])
    unseen_s = (now_ns - np.array([target.seen_ns for target in targets])) / NS_PER_S
    away = _distances(expected, boxes, unseen_s)
    change = np.abs(np.log(np.maximum(boxes[:, 3], 1e-6) / expected[:, 3, None]))
    rows, columns = np.nonzero((away < 1) & (change < MAX_SIZE_CHANGE))
    apart = away[rows, columns]
    looks = _difference(targets, found, rows, columns, apart)
    costs = apart + LOOKS_SHARE * (looks - apart) + SIZE_SHARE * change[rows, columns]
    pairs = [
        Pair(row, column, cost + _label_cost(targets[row], found[column]))
        for row, column, cost in zip(rows.tolist(), columns.tolist(), costs.tolist(), strict=True)
    ]
    return assign(pair for pair in pairs if pair.cost < MAX_COST)


@dataclass(frozen=True, slots=True)
class Pair:
    """A row and a column that may be matched.

    Attributes:
        row: index of the one, from 0.
        column: index of the other, from 0.
        cost: the lower, the better the match.
    """

    row: int
    column: int
    cost: float


def assign(pairs: Iterable[Pair]) -> list[Pair]:
    """Choose pairs, the cheapest first, so that no row and no column is used twice.

    Greedy: the assignment with the least sum (Hungarian method) gives the same figures on
    recordings, in five times the code and without a useful bound on its time.

    Returns:
        The pairs chosen, the cheapest first.
    """
    rows: set[int] = set()
    columns: set[int] = set()
    chosen = []
    for pair in sorted(pairs, key=lambda pair: (pair.cost, pair.row, pair.column)):
        if pair.row not in rows and pair.column not in columns:
            rows.add(pair.row)
            columns.add(pair.column)
            chosen.append(pair)
    return chosen


def _label_cost(target: Target, found: Observation) -> float:
    """Return what a detection costs for its label; infinite if it cannot be the object."""
    if target.label in found.votes:
        return 0.0
    is_there = iou(target.place.box, found.place.box) >= OTHER_LABEL_IOU
    return OTHER_LABEL_COST if is_there else math.inf


def _distances(expected: F64, boxes: F64, unseen_s: F64) -> F64:
    """Return float64 [n, m], how far detections are from objects; 1 is the farthest allowed.

    Args:
        expected: float64 [n, 4], (centre x, centre y, w, h) of the objects.
        boxes: float64 [m, 4], of the detections.
        unseen_s: float64 [n], how long each object has been out of sight.
    """
    reach = expected[:, 2:].max(axis=1)
    reach *= GATE + GATE_PER_SECOND * np.minimum(unseen_s, MAX_GATE_S)
    away: F64 = np.hypot(expected[:, None, 0] - boxes[:, 0], expected[:, None, 1] - boxes[:, 1])
    away /= reach[:, None]
    return away


def _as_array(places: Sequence[Place]) -> F64:
    """Return float64 [n, 4], (centre x, centre y, w, h)."""
    rows = [(place.x, place.y, place.width, place.height) for place in places]
    return np.array(rows, np.float64)


def _difference(
    targets: Sequence[Target],
    found: Sequence[Observation],
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    unknown: F64,
) -> F64:
    """Return how different the looks of each pair are, 0..1; `unknown` if any has none."""
    known = [target.looks for target in targets if target.looks is not None]
    new = [one.looks for one in found if one.looks is not None]
    if len(known) < len(targets) or len(new) < len(found):
        return unknown
    apart = distances(np.stack(known)[rows], np.stack(new)[columns])
    result: F64 = np.minimum(apart / MAX_LOOKS_DISTANCE, 1).astype(np.float64)
    return result
