from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevision.tracking.assignment import Pair, assign

GAINS = st.dictionaries(
    st.tuples(st.integers(0, 4), st.integers(0, 4)), st.floats(0.01, 1.0), max_size=16
)


def greatest_sum(gains: dict[tuple[int, int], float]) -> float:
    """Try every way of giving the rows columns."""
    columns = [*range(5), *[-1] * 5]
    return max(
        sum(gains.get((row, column), 0.0) for row, column in enumerate(order[:5]))
        for order in set(itertools.permutations(columns[:5]))
    )


@given(GAINS)
def test_no_other_assignment_gains_more(gains: dict[tuple[int, int], float]) -> None:
    chosen = assign([Pair(row, column, gain) for (row, column), gain in gains.items()])
    assert sum(pair.gain for pair in chosen) == pytest.approx(greatest_sum(gains))


@given(GAINS)
def test_no_row_and_no_column_is_given_twice(gains: dict[tuple[int, int], float]) -> None:
    pairs = [Pair(row, column, gain) for (row, column), gain in gains.items()]
    chosen = assign(pairs)
    assert set(chosen) <= set(pairs)
    assert len({pair.row for pair in chosen}) == len(chosen)
    assert len({pair.column for pair in chosen}) == len(chosen)


@given(GAINS)
def test_the_order_of_the_pairs_does_not_matter(gains: dict[tuple[int, int], float]) -> None:
    pairs = [Pair(row, column, gain) for (row, column), gain in gains.items()]
    backwards = sum(pair.gain for pair in assign(pairs[::-1]))
    assert backwards == pytest.approx(sum(pair.gain for pair in assign(pairs)))


def test_two_that_fit_well_go_before_three_that_hardly_fit() -> None:
    pairs = [Pair(0, 0, 0.9), Pair(1, 0, 0.1), Pair(0, 1, 0.1), Pair(2, 2, 0.9)]
    assert assign(pairs) == [Pair(0, 0, 0.9), Pair(2, 2, 0.9)]


def test_the_best_single_pair_is_given_up_where_two_others_gain_more() -> None:
    pairs = [Pair(0, 0, 0.6), Pair(0, 1, 0.5), Pair(1, 0, 0.5)]
    assert assign(pairs) == [Pair(0, 1, 0.5), Pair(1, 0, 0.5)]


def test_nothing_is_assigned_where_there_is_nothing() -> None:
    assert assign([]) == []
