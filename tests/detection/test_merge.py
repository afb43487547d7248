"""Detections of crops are merged with those of the full frame, without duplicates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevision.boxes import ios_matrix
from edgevision.detection.regions import CropDetections, in_window, merge
from edgevision.frames import Detections

LEFT = (0.0, 0.0, 0.55, 0.55)
MIDDLE = (0.2, 0.2, 0.75, 0.75)
PERSON, CAR = 0, 1


def found(*boxes: tuple[float, ...], label: int = PERSON) -> Detections:
    """(x0, y0, x1, y1, score) as detections of the frame."""
    rows = np.array(boxes, np.float32).reshape(-1, 5)
    return Detections(rows[:, :4], rows[:, 4], np.full(len(rows), label, np.int64))


def kept(merged: Detections) -> list[float]:
    return [round(float(score), 3) for score in merged.scores]


NOTHING = found()


def test_a_small_object_that_only_a_crop_shows_is_added() -> None:
    crop = CropDetections(found((0.3, 0.3, 0.35, 0.4, 0.6)), MIDDLE)
    assert kept(merge(found((0.8, 0.8, 0.9, 0.9, 0.5)), [crop])) == [0.6, 0.5]


def test_an_object_that_both_show_is_one_and_the_better_box_stays() -> None:
    crop = CropDetections(found((0.3, 0.3, 0.4, 0.5, 0.7)), MIDDLE)
    merged = merge(found((0.31, 0.3, 0.41, 0.5, 0.5)), [crop])
    assert kept(merged) == [0.7]
    assert merged.boxes[0] == pytest.approx([0.3, 0.3, 0.4, 0.5])


def test_an_object_of_another_label_stays_beside_it() -> None:
    crop = CropDetections(found((0.3, 0.3, 0.4, 0.5, 0.7), label=CAR), MIDDLE)
    assert kept(merge(found((0.3, 0.3, 0.4, 0.5, 0.5)), [crop])) == [0.7, 0.5]


@pytest.mark.parametrize(
    "cut",
    [(0.2, 0.3, 0.3, 0.4), (0.3, 0.2, 0.4, 0.3), (0.7, 0.3, 0.749, 0.4), (0.3, 0.7, 0.4, 0.75)],
)
def test_what_the_crop_has_cut_off_is_left_out(cut: tuple[float, ...]) -> None:
    assert len(merge(NOTHING, [CropDetections(found((*cut, 0.9)), MIDDLE)])) == 0


def test_what_ends_at_the_edge_of_the_frame_is_not_cut_off() -> None:
    assert len(merge(NOTHING, [CropDetections(found((0, 0, 0.1, 0.2, 0.9)), LEFT)])) == 1


def test_what_fills_a_crop_is_left_to_the_full_frame() -> None:
    assert len(merge(NOTHING, [CropDetections(found((0.25, 0.25, 0.7, 0.5, 0.9)), MIDDLE)])) == 0


def test_a_part_of_a_large_object_is_no_object_of_its_own() -> None:
    whole = found((0.1, 0.1, 0.9, 0.9, 0.8))
    sleeve = CropDetections(found((0.4, 0.4, 0.6, 0.6, 0.6)), MIDDLE)
    assert kept(merge(whole, [sleeve])) == [0.8]


def test_a_part_is_not_lost_to_a_whole_that_is_lost_itself() -> None:
    whole = found((0.1, 0.1, 0.5, 0.7, 0.7))
    part = CropDetections(found((0.42, 0.3, 0.55, 0.45, 0.6)), (0.3, 0.2, 0.85, 0.75))
    better = CropDetections(found((0.1, 0.1, 0.4, 0.62, 0.8)), (0.0, 0.0, 0.9, 0.9))
    assert kept(merge(whole, [part])) == [0.7]
    assert kept(merge(whole, [better])) == [0.8]
    assert kept(merge(whole, [part, better])) == [0.8, 0.6]


def test_one_found_with_certainty_is_not_lost_to_a_large_box_that_is_a_guess() -> None:
    guess = found((0.1, 0.1, 0.9, 0.9, 0.2))
    sure = CropDetections(found((0.4, 0.4, 0.5, 0.6, 0.8)), MIDDLE)
    assert kept(merge(guess, [sure]))[0] == 0.8


def test_two_people_side_by_side_in_one_crop_stay_two() -> None:
    pair = found((0.3, 0.3, 0.4, 0.6, 0.7), (0.33, 0.3, 0.43, 0.6, 0.6))
    assert kept(merge(NOTHING, [CropDetections(pair, MIDDLE)])) == [0.7, 0.6]


def test_boxes_of_a_crop_are_moved_to_where_it_lies_in_the_frame() -> None:
    crop = in_window((0.5, 0.25, 1.0, 0.75), found((0.0, 0.0, 0.5, 1.0, 0.9)))
    assert crop.detections.boxes[0] == pytest.approx([0.5, 0.25, 0.75, 0.75])


COORDINATE = st.floats(0, 0.9).map(lambda value: round(value, 3))
BOX = st.builds(
    lambda x, y, w, h, score: (x, y, min(1.0, x + w), min(1.0, y + h), score),
    COORDINATE,
    COORDINATE,
    st.floats(0.02, 0.4),
    st.floats(0.02, 0.4),
    st.floats(0.1, 0.95),
)
FOUND = st.builds(
    lambda boxes, label: found(*boxes, label=label),
    st.lists(BOX, max_size=6),
    st.sampled_from([PERSON, CAR]),
)


@given(full=FOUND, first=FOUND, second=FOUND)
def test_the_order_of_the_crops_does_not_matter(
    full: Detections, first: Detections, second: Detections
) -> None:
    crops = [CropDetections(first, LEFT), CropDetections(second, MIDDLE)]
    one, other = merge(full, crops), merge(full, crops[::-1])
    assert one.boxes.tolist() == other.boxes.tolist()
    assert one.scores.tolist() == other.scores.tolist()


@given(full=FOUND, first=FOUND, second=FOUND)
def test_a_box_goes_only_for_one_of_its_label_that_stays_overlaps_it_and_is_no_weaker(
    full: Detections, first: Detections, second: Detections
) -> None:
    windows = ((-1.0, -1.0, 2.0, 2.0), (-1.0, -1.0, 3.0, 3.0))  # they cut off nothing
    crops = [CropDetections(*pair) for pair in zip((first, second), windows, strict=True)]
    merged = merge(full, crops)
    for each in (full, first, second):
        ios = ios_matrix(each.boxes, merged.boxes)
        for row in range(len(each)):
            better = (merged.scores >= each.scores[row]) & (merged.class_ids == each.class_ids[row])
            assert (ios[row][better] > 0.4).any()


@given(full=FOUND, crop=FOUND)
def test_merging_a_second_time_changes_nothing(full: Detections, crop: Detections) -> None:
    merged = merge(full, [CropDetections(crop, MIDDLE)])
    again = merge(merged, [])
    assert sorted(again.boxes.tolist()) == sorted(merged.boxes.tolist())


@given(full=FOUND)
def test_without_crops_nothing_is_lost(full: Detections) -> None:
    assert sorted(kept(merge(full, []))) == sorted(kept(full))
