"""Which detection belongs to which object: the assignment of the greatest gain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True)
class Pair:
    """A row and a column that may be put together.

    Attributes:
        row: index of the one, from 0.
        column: index of the other, from 0.
        gain: what putting them together is worth; above 0.
    """

    row: int
    column: int
    gain: float


def assign(pairs: Sequence[Pair]) -> list[Pair]:
    """Choose pairs so that no row and no column is used twice and the sum of gains is greatest.

    Exact. Rows and columns that no chain of pairs connects are solved apart from each other, so
    many objects far from each other cost no more than they would one by one.

    Returns:
        The pairs chosen, by row.
    """
    chosen: list[Pair] = []
    for group in _connected(pairs):
        chosen += group if len(group) == 1 else _solve(group)
    return sorted(chosen, key=lambda pair: pair.row)


def _connected(pairs: Iterable[Pair]) -> list[list[Pair]]:
    """Split pairs into groups that share no row and no column."""
    group_of: dict[tuple[bool, int], list[Pair]] = {}
    groups: dict[int, list[Pair]] = {}
    for pair in pairs:
        ends = ((False, pair.row), (True, pair.column))
        first, second = (group_of.get(end) for end in ends)
        joined = first or second or []
        if first is not None and second is not None and first is not second:
            if len(first) < len(second):
                first, second = second, first
            joined = first
            first += second
            for other in second:
                group_of[False, other.row] = group_of[True, other.column] = first
            del groups[id(second)]
        joined.append(pair)
        group_of[ends[0]] = group_of[ends[1]] = joined
        groups[id(joined)] = joined
    return list(groups.values())


def _solve(pairs: Sequence[Pair]) -> list[Pair]:
    """Solve one group with the Hungarian method.

    What is no pair gains nothing, so the best assignment of every row to some column contains
    the best choice of pairs.
    """
    rows = sorted({pair.row for pair in pairs})
    columns = sorted({pair.column for pair in pairs})
    row_at = {row: index for index, row in enumerate(rows)}
    column_at = {column: index for index, column in enumerate(columns)}
    by_place = {(row_at[pair.row], column_at[pair.column]): pair for pair in pairs}
    if len(rows) > len(columns):
        by_place = {(column, row): pair for (row, column), pair in by_place.items()}
        rows, columns = columns, rows
    costs = [[0.0] * len(columns) for _ in rows]
    for (row, column), pair in by_place.items():
        costs[row][column] = -pair.gain
    places = enumerate(_hungarian(costs))
    return [by_place[place] for place in places if place in by_place]


def _hungarian(costs: Sequence[Sequence[float]]) -> list[int]:
    """Give each row a column of its own at the least sum of costs; as many columns or more.

    Kuhn 1955, in the form with potentials and shortest augmenting paths (Jonker and Volgenant
    1987): O(rows^2 columns).
    """
    width = len(costs[0])
    of_row = [0.0] * len(costs)
    of_column = [0.0] * width
    owner = [-1] * width
    for start in range(len(costs)):
        least = [float("inf")] * width
        back = [-1] * width  # the column before this one on the cheapest path; -1: the start
        free = list(range(width))
        done: list[int] = []
        row, column = start, -1
        while True:
            base = of_row[row]
            prices = costs[row]
            for other in free:
                reduced = prices[other] - base - of_column[other]
                if reduced < least[other]:
                    least[other] = reduced
                    back[other] = column
            nearest = min(free, key=least.__getitem__)
            step = least[nearest]
            of_row[start] += step
            for other in done:
                of_row[owner[other]] += step
                of_column[other] -= step
            for other in free:
                least[other] -= step
            column = nearest
            if owner[column] < 0:
                break
            done.append(column)
            free.remove(column)
            row = owner[column]
        while back[column] >= 0:
            owner[column] = owner[back[column]]
            column = back[column]
        owner[column] = start
    return [owner.index(row) for row in range(len(costs))]
