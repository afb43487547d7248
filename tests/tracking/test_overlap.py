from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevision.boxes import Place, as_array, common_areas, iou

PLACES = st.builds(
    Place, st.floats(-1, 2), st.floats(-1, 2), st.floats(0.01, 1), st.floats(0.01, 1)
)


def iou_of(one: Place, other: Place) -> float:
    boxes = as_array([one, other])
    return float(iou(boxes[0], boxes[1:])[0])


def test_two_squares_that_share_a_half_overlap_by_a_third() -> None:
    assert iou_of(Place(0, 0, 1, 1), Place(0, 0.5, 1, 1)) == pytest.approx(1 / 3)


@given(PLACES, PLACES)
def test_overlap_lies_between_0_and_1_and_is_the_same_both_ways(one: Place, other: Place) -> None:
    assert 0 <= iou_of(one, other) <= 1 + 1e-9
    assert iou_of(one, other) == pytest.approx(iou_of(other, one))


@given(PLACES)
def test_a_box_is_itself(one: Place) -> None:
    assert iou_of(one, one) == pytest.approx(1)


@given(PLACES, PLACES)
def test_common_areas_and_overlap_agree(one: Place, other: Place) -> None:
    boxes = as_array([one, other])
    common = common_areas(boxes[:, :2], boxes[:, 2:])[0, 1]
    union = one.width * one.height + other.width * other.height - common
    assert iou_of(one, other) == pytest.approx(common / union, abs=1e-9)


def test_no_places_are_an_empty_array() -> None:
    assert as_array([]).shape == (0, 4)
    assert common_areas(np.zeros((0, 2)), np.zeros((0, 2))).shape == (0, 0)
