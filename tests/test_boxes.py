from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevision.boxes import (
    area_of,
    clip_box,
    corners,
    foot_of,
    intersections,
    ios_matrix,
    iou,
    iou_matrix,
    ratio_of,
)

Box = tuple[float, float, float, float]

COORDINATE = st.floats(-2, 2)
BOX = st.tuples(COORDINATE, COORDINATE, st.floats(0, 2), st.floats(0, 2))
SOLID = st.tuples(COORDINATE, COORDINATE, st.floats(0.01, 2), st.floats(0.01, 2))
EMPTY = np.zeros((0, 4))


@given(BOX)
def test_a_clipped_box_and_its_foot_are_in_the_frame(box: Box) -> None:
    clipped = clip_box(box)
    x, y, width, height = clipped
    assert min(clipped) >= 0
    assert x + width <= 1 + 1e-12
    assert y + height <= 1 + 1e-12
    assert 0 <= min(foot_of(clipped)) <= max(foot_of(clipped)) <= 1
    assert clip_box(clipped) == pytest.approx(clipped, abs=1e-12)


@given(SOLID, SOLID)
def test_iou_is_the_same_both_ways_and_1_for_the_same_box(a: Box, b: Box) -> None:
    assert iou(a, b) == pytest.approx(iou(b, a))
    assert 0 <= iou(a, b) <= 1 + 1e-9
    assert iou(a, a) == pytest.approx(1)


def test_boxes_without_an_area_overlap_by_0() -> None:
    assert iou((0.5, 0.5, 0.0, 0.0), (0.5, 0.5, 0.0, 0.0)) == 0
    assert iou((0.0, 0.0, 0.5, 0.5), (0.5, 0.5, 0.5, 0.5)) == 0


def test_two_squares_that_share_a_half_overlap_by_a_third() -> None:
    assert iou((0, 0, 1, 1), (0, 0.5, 1, 1)) == pytest.approx(1 / 3)


@given(st.lists(BOX, max_size=5), st.lists(BOX, max_size=5))
def test_the_matrix_holds_the_iou_of_each_pair(some: list[Box], others: list[Box]) -> None:
    found = iou_matrix(corners(some), corners(others))
    assert found.shape == (len(some), len(others))
    expected = np.array([iou(a, b) for a in some for b in others])
    assert found.ravel() == pytest.approx(expected, abs=1e-9)


@given(SOLID, SOLID)
def test_iou_is_the_common_area_over_the_area_of_both_together(a: Box, b: Box) -> None:
    common = intersections(corners([a]), corners([b]))[0, 0]
    assert iou(a, b) == pytest.approx(common / (area_of(a) + area_of(b) - common), abs=1e-9)


@given(st.lists(SOLID, max_size=5))
def test_the_smaller_box_is_at_least_as_much_overlapped_as_the_union(some: list[Box]) -> None:
    boxes = corners(some)
    shares = ios_matrix(boxes, boxes)
    assert (shares >= iou_matrix(boxes, boxes) - 1e-9).all()
    assert (shares <= 1 + 1e-9).all()
    assert shares.diagonal() == pytest.approx(1)


@given(SOLID, st.floats(0.01, 1), st.floats(0.01, 1), st.floats(0, 1), st.floats(0, 1))
def test_a_box_within_another_shares_all_of_its_area(
    outer: Box, width: float, height: float, right: float, down: float
) -> None:
    x, y, w, h = outer
    inner = (x + right * w * (1 - width), y + down * h * (1 - height), w * width, h * height)
    assert ios_matrix(corners([inner]), corners([outer]))[0, 0] == pytest.approx(1)
    assert iou(inner, outer) == pytest.approx(width * height)


@given(st.lists(BOX, max_size=5), st.lists(BOX, max_size=5))
def test_float32_corners_give_the_figures_of_the_same_corners_in_float64(
    some: list[Box], others: list[Box]
) -> None:
    a, b = (corners(boxes).astype(np.float32) for boxes in (some, others))
    for matrix in (iou_matrix, ios_matrix, intersections):
        found = matrix(a, b)
        assert found.dtype == np.float64
        assert (found == matrix(a.astype(np.float64), b.astype(np.float64))).all()


def test_boxes_without_an_area_share_0_of_it_with_themselves() -> None:
    boxes = corners([(0.5, 0.5, 0.0, 0.0), (0.5, 0.0, 0.0, 1.0)])
    assert not iou_matrix(boxes, boxes).any()
    assert not ios_matrix(boxes, boxes).any()


def test_no_boxes_are_an_empty_array() -> None:
    assert corners([]).shape == (0, 4)
    assert intersections(EMPTY, EMPTY).shape == (0, 0)
    assert iou_matrix(EMPTY, np.ones((3, 4))).shape == (0, 3)
    assert ios_matrix(np.ones((3, 4)), EMPTY).shape == (3, 0)


def test_a_quarter_of_a_frame_twice_as_wide_as_high_is_twice_as_wide_as_high() -> None:
    assert area_of((0.2, 0.2, 0.5, 0.5)) == 0.25
    assert ratio_of((0.2, 0.2, 0.5, 0.5), (640, 320)) == 2
    assert ratio_of((0.2, 0.2, 0.5, 0.0), (640, 320)) == 0
