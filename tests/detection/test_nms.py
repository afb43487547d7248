from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevision.detection.ssd import suppress

if TYPE_CHECKING:
    from edgevision.frames import F32, I64

# Sixteenths are exact in float32, and no quotient of areas made of them is 0.4567.
CORNER = st.integers(-64, 64)
SIDE = st.integers(1, 64)
BOXES = st.lists(st.tuples(CORNER, CORNER, SIDE, SIDE), max_size=14)
IOU = 0.4567


def arrays_of(
    boxes: list[tuple[int, int, int, int]], scores: list[float], class_ids: list[int]
) -> tuple[F32, F32, I64]:
    corners = [(x / 16, y / 16, (x + w) / 16, (y + h) / 16) for x, y, w, h in boxes]
    return (
        np.array(corners, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.array(class_ids, np.int64),
    )


@st.composite
def scenes(draw: st.DrawFn) -> tuple[F32, F32, I64]:
    """Boxes that reach far outside, scores with ties, few classes: as hard as it gets."""
    boxes = draw(BOXES)
    count = len(boxes)
    scores = draw(st.lists(st.sampled_from([0.25, 0.5, 0.75, 0.9]), min_size=count, max_size=count))
    class_ids = draw(st.lists(st.integers(0, 23), min_size=count, max_size=count))
    few = draw(st.integers(1, 24))
    return arrays_of(boxes, scores, [class_id % few for class_id in class_ids])


def overlap(one: F32, other: F32) -> float:
    a, b = [float(value) for value in one], [float(value) for value in other]
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return width * height / (both - width * height)


def reference(boxes: F32, scores: F32, class_ids: I64, iou: float) -> list[int]:
    """Greedy suppression as its definition reads, in n^2 steps."""
    kept: list[int] = []
    for candidate in sorted(range(len(boxes)), key=lambda index: -float(scores[index])):
        rivals = [index for index in kept if class_ids[index] == class_ids[candidate]]
        if all(overlap(boxes[rival], boxes[candidate]) <= iou for rival in rivals):
            kept.append(candidate)
    return kept


@given(scenes())
def test_what_is_kept_is_what_the_definition_keeps_in_its_order(
    scene: tuple[F32, F32, I64],
) -> None:
    assert suppress(*scene, iou=IOU).tolist() == reference(*scene, IOU)


@given(scenes())
def test_kept_boxes_come_best_first_and_never_twice(scene: tuple[F32, F32, I64]) -> None:
    kept = suppress(*scene, iou=IOU)
    assert len(set(kept.tolist())) == len(kept)
    assert (np.diff(scene[1][kept]) <= 0).all()


@given(scenes())
def test_suppressing_what_was_kept_keeps_all_of_it(scene: tuple[F32, F32, I64]) -> None:
    kept = suppress(*scene, iou=IOU)
    again = suppress(*(values[kept] for values in scene), iou=IOU)
    assert again.tolist() == list(range(len(kept)))


@given(scenes(), st.integers(-4, 4), st.integers(-4, 4))
def test_moving_all_boxes_changes_nothing(
    scene: tuple[F32, F32, I64], right: int, down: int
) -> None:
    boxes, scores, class_ids = scene
    moved = boxes + np.array([right, down, right, down], np.float32)
    assert (
        suppress(moved, scores, class_ids, iou=IOU).tolist()
        == suppress(boxes, scores, class_ids, iou=IOU).tolist()
    )


@given(BOXES.filter(len))
def test_boxes_of_different_classes_are_all_kept(boxes: list[tuple[int, int, int, int]]) -> None:
    count = len(boxes)
    scene = arrays_of(boxes, [0.5] * count, list(range(count)))
    assert suppress(*scene, iou=IOU).tolist() == list(range(count))


def test_equal_boxes_of_24_classes_that_reach_far_outside_are_all_kept() -> None:
    scene = arrays_of([(-64, -64, 65, 65)] * 24, [0.5] * 24, list(range(24)))
    assert suppress(*scene, iou=0.1).tolist() == list(range(24))


def test_no_boxes_keep_no_boxes() -> None:
    kept = suppress(*arrays_of([], [], []), iou=0.5)
    assert kept.shape == (0,)
    assert kept.dtype == np.int64


def test_of_2_equal_boxes_with_equal_scores_the_first_is_kept() -> None:
    scene = arrays_of([(0, 0, 8, 8), (0, 0, 8, 8)], [0.5, 0.5], [1, 1])
    assert suppress(*scene, iou=0.5).tolist() == [0]


def test_of_2_equal_boxes_the_better_one_is_kept_wherever_it_stands() -> None:
    scene = arrays_of([(0, 0, 8, 8), (0, 0, 8, 8)], [0.5, 0.75], [1, 1])
    assert suppress(*scene, iou=0.5).tolist() == [1]


@pytest.mark.parametrize(("iou", "kept"), [(0.32, [0]), (0.34, [0, 1])])
def test_2_boxes_with_an_overlap_of_a_third_are_one_object_below_that_threshold(
    iou: float, kept: list[int]
) -> None:
    scene = arrays_of([(0, 0, 8, 8), (4, 0, 8, 8)], [0.9, 0.5], [1, 1])
    assert suppress(*scene, iou=iou).tolist() == kept


def test_a_suppressed_box_suppresses_no_third_one() -> None:
    scene = arrays_of([(0, 0, 16, 16), (6, 0, 16, 16), (12, 0, 16, 16)], [0.9, 0.75, 0.5], [1] * 3)
    assert suppress(*scene, iou=0.4).tolist() == [0, 2]


def test_a_score_of_0_is_no_reason_to_go() -> None:
    assert suppress(*arrays_of([(0, 0, 8, 8)], [0.0], [1]), iou=0.5).tolist() == [0]
