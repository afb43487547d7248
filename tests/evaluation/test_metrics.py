from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevision.boxes import iou_matrix
from edgevision.evaluation.ground_truth import AveragePrecision, area_under_curve

ONE = np.array([[0, 0, 10, 10]], np.float32)
FAR = np.array([[50, 50, 60, 60]], np.float32)


def boxes(*rows: tuple[float, ...]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 4)


def test_iou_of_two_squares_that_share_a_half_is_a_third() -> None:
    assert iou_matrix(ONE, boxes((0, 5, 10, 15)))[0, 0] == pytest.approx(1 / 3)


def test_boxes_without_area_overlap_nothing() -> None:
    assert iou_matrix(boxes((5, 5, 5, 5)), boxes((5, 5, 5, 5)))[0, 0] == 0.0


def test_a_hit_a_miss_and_a_hit_over_two_objects_give_an_area_of_five_sixths() -> None:
    assert area_under_curve([True, False, True], objects=2) == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_an_object_found_twice_counts_the_second_time_as_wrong() -> None:
    ap = AveragePrecision(min_iou=0.5)
    ap.add(np.concatenate([ONE, ONE]), np.array([0.9, 0.8], np.float32), np.concatenate([ONE, FAR]))
    assert ap.value() == pytest.approx(0.5)


def test_detections_of_all_images_are_ranked_together() -> None:
    ap = AveragePrecision(min_iou=0.5)
    ap.add(FAR, np.array([0.9], np.float32), ONE)
    ap.add(ONE, np.array([0.5], np.float32), ONE)
    assert ap.value() == pytest.approx(0.5 * 0.5)


def test_precision_counts_the_detections_and_recall_the_objects() -> None:
    ap = AveragePrecision(min_iou=0.5)
    assert (ap.precision, ap.recall) == (0.0, 0.0)
    ap.add(np.concatenate([ONE, ONE]), np.array([0.9, 0.8], np.float32), np.concatenate([ONE, FAR]))
    ap.add(boxes(), np.empty(0, np.float32), np.concatenate([ONE, FAR]))
    assert (ap.precision, ap.recall, ap.objects) == (0.5, 0.25, 4)


def test_finding_everything_is_1_and_nothing_is_0() -> None:
    ap = AveragePrecision(min_iou=0.5)
    assert ap.value() == 0.0
    ap.add(ONE, np.array([0.2], np.float32), ONE)
    assert ap.value() == 1.0


def test_images_without_detections_still_count_their_objects() -> None:
    ap = AveragePrecision(min_iou=0.5)
    ap.add(ONE, np.array([0.2], np.float32), ONE)
    ap.add(boxes(), np.empty(0, np.float32), ONE)
    assert ap.value() == pytest.approx(0.5)


@given(st.lists(st.booleans(), max_size=30), st.integers(1, 10))
def test_average_precision_lies_between_0_and_1(hits: list[bool], more: int) -> None:
    assert 0.0 <= area_under_curve(hits, objects=sum(hits) + more) <= 1.0
