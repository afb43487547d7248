from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgevision.tracking.association import Pair, assign

PAIRS = st.dictionaries(
    st.tuples(st.integers(0, 5), st.integers(0, 5)), st.floats(0.0, 1.0), max_size=20
).map(lambda costs: [Pair(row, column, cost) for (row, column), cost in costs.items()])


@given(PAIRS)
def test_no_row_and_no_column_is_given_twice(pairs: list[Pair]) -> None:
    chosen = assign(pairs)
    assert set(chosen) <= set(pairs)
    assert len({pair.row for pair in chosen}) == len(chosen)
    assert len({pair.column for pair in chosen}) == len(chosen)


@given(PAIRS)
def test_a_pair_is_left_out_only_for_one_that_fits_at_least_as_well(pairs: list[Pair]) -> None:
    chosen = assign(pairs)
    for pair in set(pairs) - set(chosen):
        rivals = [one for one in chosen if one.row == pair.row or one.column == pair.column]
        assert min(rival.cost for rival in rivals) <= pair.cost


@given(PAIRS)
def test_the_order_of_the_pairs_does_not_matter(pairs: list[Pair]) -> None:
    assert assign(pairs[::-1]) == assign(pairs)


@given(PAIRS, st.integers(10, 20), st.integers(10, 20))
def test_a_pair_far_from_all_others_changes_nothing_for_them(
    pairs: list[Pair], row: int, column: int
) -> None:
    far = Pair(row, column, 0.5)
    assert [pair for pair in assign([far, *pairs]) if pair != far] == assign(pairs)


def test_nothing_is_assigned_where_there_is_nothing() -> None:
    assert assign([]) == []
