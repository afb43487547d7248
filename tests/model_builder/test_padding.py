from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevision.model_builder.graph import Pads
from edgevision.model_builder.graph_builder import same_pads, same_size


@pytest.mark.parametrize(
    ("size", "stride", "before", "after"),
    [(300, 2, 0, 1), (75, 2, 1, 1), (38, 2, 0, 1), (19, 1, 1, 1), (1, 2, 1, 1)],
)
def test_same_padding_of_a_3x3_kernel_puts_the_odd_cell_after(
    size: int, stride: int, before: int, after: int
) -> None:
    pads = same_pads(size, size, kernel=3, stride=stride)
    assert pads == Pads(top=before, left=before, bottom=after, right=after)


def test_rows_and_columns_are_padded_by_their_own_size() -> None:
    assert same_pads(300, 75, kernel=3, stride=2) == Pads(top=0, left=1, bottom=1, right=1)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", range(1, 65))
def test_same_padding_follows_the_reference_rule_for_all_sizes_to_64(
    size: int, stride: int
) -> None:
    for kernel in (1, 3, 5, 7):
        rest = size % stride
        total = max(kernel - (stride if rest == 0 else rest), 0)
        pads = same_pads(size, size, kernel=kernel, stride=stride)
        assert (pads.top, pads.bottom) == (total // 2, total - total // 2)


@given(st.integers(1, 2000), st.integers(1, 9), st.integers(1, 4))
def test_the_last_kernel_position_ends_inside_the_padded_map(
    size: int, kernel: int, stride: int
) -> None:
    pads = same_pads(size, size, kernel=kernel, stride=stride)
    reached = (same_size(size, stride=stride) - 1) * stride + kernel
    assert reached <= size + pads.top + pads.bottom
    assert 0 <= pads.bottom - pads.top <= 1
