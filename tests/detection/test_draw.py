from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevision.detection.snapshot import draw
from edgevision.frames import DetectedObject

CAT = DetectedObject("Cat", 0.87, (0.25, 0.5, 0.5, 0.25))
FRACTIONS = st.floats(-0.5, 1.5)
BOXES = st.tuples(FRACTIONS, FRACTIONS, FRACTIONS, FRACTIONS)


def test_the_image_given_stays_as_it_is() -> None:
    image = np.zeros((100, 200, 3), np.uint8)
    drawn = draw(image, [CAT])
    assert drawn is not image
    assert not image.any()
    assert drawn.any()


def test_without_objects_the_copy_is_the_image() -> None:
    image = np.arange(300, dtype=np.uint8).reshape(10, 10, 3)
    drawn = draw(image, [])
    assert drawn is not image
    assert np.array_equal(drawn, image)


def test_the_frame_of_a_box_runs_along_its_edges_in_pixels() -> None:
    drawn = draw(np.zeros((400, 400, 3), np.uint8), [CAT])
    for x, y in ((100, 250), (300, 250), (200, 300)):
        assert drawn[y, x].any()
    assert not drawn[310:, :].any()
    assert not drawn[200:, :95].any()


def test_a_label_has_the_same_colour_in_every_picture_and_others_have_another() -> None:
    image = np.zeros((400, 400, 3), np.uint8)
    colours = [
        draw(image, [DetectedObject(label, 0.5, CAT.box_frac)])[300, 200].tolist()
        for label in ("Cat", "Cat", "Dog")
    ]
    assert colours[0] == colours[1] != colours[2]


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 300, 3), (300, 1, 3), (2, 2, 3)])
def test_a_picture_of_1_pixel_or_1_row_can_be_drawn_into(shape: tuple[int, ...]) -> None:
    assert draw(np.zeros(shape, np.uint8), [CAT]).shape == shape


@given(st.lists(BOXES, max_size=4), st.integers(1, 60), st.integers(1, 60))
def test_boxes_anywhere_leave_shape_and_type_of_any_picture_alone(
    boxes: list[tuple[float, float, float, float]], width: int, height: int
) -> None:
    objects = [DetectedObject("Hund é 犬", 0.5, box) for box in boxes]
    drawn = draw(np.zeros((height, width, 3), np.uint8), objects)
    assert drawn.shape == (height, width, 3)
    assert drawn.dtype == np.uint8
