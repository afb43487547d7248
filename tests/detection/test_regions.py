"""Where a second look is taken."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgevision.clock import NS_PER_S
from edgevision.detection.regions import Regions, grid
from edgevision.records import Detections

FRAME = np.zeros((576, 768, 3), np.uint8)
SIZE_PX = (768, 576)
TOP_LEFT = (0.1, 0.1, 0.02, 0.02)
SIDE, PLACE = st.integers(1, 5000), st.floats(0, 1)
BOTTOM_RIGHT = (0.9, 0.9, 0.02, 0.02)


def windows(
    regions: Regions, motion: list[tuple[float, float, float, float]], at_s: float = 0.0
) -> list[tuple[float, ...]]:
    crops = regions.choose(FRAME, motion, round(at_s * NS_PER_S))
    return [tuple(round(edge, 2) for edge in crop.window_frac) for crop in crops]


@given(width=SIDE, height=SIDE, x=PLACE, y=PLACE)
def test_the_crops_of_a_grid_cover_every_place_of_a_frame_of_any_shape(
    width: int, height: int, x: float, y: float
) -> None:
    crops = grid(width, height)
    assert any(x0 <= x <= x1 + 1e-9 and y0 <= y <= y1 + 1e-9 for x0, y0, x1, y1 in crops)
    assert all(-1e-9 <= edge <= 1 + 1e-9 for crop in crops for edge in crop)


def test_a_usual_frame_has_four_crops_that_overlap() -> None:
    assert len(grid(1280, 720)) == len(grid(768, 576)) == len(grid(640, 640)) == 4


def test_the_crop_with_the_motion_comes_first() -> None:
    assert windows(Regions(1), [BOTTOM_RIGHT]) == [(0.45, 0.27, 1.0, 1.0)]
    assert windows(Regions(1), [TOP_LEFT]) == [(0.0, 0.0, 0.55, 0.73)]


def test_without_motion_all_crops_get_their_turn() -> None:
    regions = Regions(1)
    seen = {windows(regions, [], at_s)[0] for at_s in range(4)}
    assert len(seen) == 4


def test_a_small_object_is_looked_at_again_for_3_s() -> None:
    regions = Regions(1)
    box = np.array([[0.9, 0.9, 0.92, 0.95]], np.float32)
    small = Detections(box, np.array([0.5], np.float32), np.array([0]))
    regions.remember(small, SIZE_PX, 0)
    corner = (0.45, 0.27, 1.0, 1.0)
    assert [windows(regions, [], at_s) for at_s in (0.1, 1.0, 2.9)] == [[corner]] * 3
    later = {windows(regions, [], at_s)[0] for at_s in (4, 5, 6, 7)}
    assert len(later) == 4


def test_a_large_object_needs_no_second_look() -> None:
    regions = Regions(1)
    box = np.array([[0.5, 0.2, 1.0, 1.0]], np.float32)
    regions.remember(Detections(box, np.array([0.9], np.float32), np.array([0])), SIZE_PX, 0)
    assert len({windows(regions, [], at_s)[0] for at_s in (0.1, 0.2, 0.3, 0.4)}) == 4


def test_there_are_never_more_crops_than_allowed() -> None:
    motion = [TOP_LEFT, BOTTOM_RIGHT, (0.9, 0.1, 0.02, 0.02)]
    assert len(windows(Regions(2), motion)) == 2
    assert len(windows(Regions(8), motion)) == 4


def test_a_crop_is_a_view_of_the_pixels_it_names() -> None:
    image = np.arange(576 * 768, dtype=np.uint32).reshape(576, 768).view(np.uint8)
    image = image.reshape(576, 768, 4)
    for crop in Regions(4).choose(image, [], 0):
        x0, y0, x1, y1 = crop.window_frac
        expected = image[round(y0 * 576) : round(y1 * 576), round(x0 * 768) : round(x1 * 768)]
        assert np.shares_memory(crop.image, image)
        assert (crop.image == expected).all()
