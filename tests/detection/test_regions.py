"""Which crops of a frame are inferred as well."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevision.clock import NS_PER_S
from edgevision.detection.regions import CROP_SHARE, Regions, grid
from edgevision.frames import U8

FRAME = np.zeros((576, 768, 3), np.uint8)
SIZE_PX = (768, 576)
INPUT_PX = 300
TOP_LEFT = (0.1, 0.1, 0.05, 0.1)
BOTTOM_RIGHT = (0.85, 0.85, 0.05, 0.1)
Box = tuple[float, float, float, float]

FRACTION = st.floats(0, 0.9)
BOXES = st.lists(st.tuples(FRACTION, FRACTION, st.floats(0, 0.5), st.floats(0, 0.5)), max_size=8)


def windows(
    regions: Regions, motion: list[Box], at_s: float = 0.0, image: U8 = FRAME
) -> list[tuple[float, ...]]:
    crops = regions.choose(image, motion, round(at_s * NS_PER_S), smallest_px=INPUT_PX)
    return [crop.window_frac for crop in crops]


def shows(window: tuple[float, ...], box: Box) -> bool:
    x, y, w, h = box
    x0, y0, x1, y1 = window
    return x0 <= x and y0 <= y and x + w <= x1 and y + h <= y1


@given(
    width=st.integers(1, 5000), height=st.integers(1, 5000), x=st.floats(0, 1), y=st.floats(0, 1)
)
def test_the_crops_of_a_grid_cover_every_place_of_a_frame_of_any_shape(
    width: int, height: int, x: float, y: float
) -> None:
    crops = grid(width, height, INPUT_PX).tolist()
    places = (x * width, y * height)
    assert not crops or any(
        x0 <= places[0] <= x1 and y0 <= places[1] <= y1 for x0, y0, x1, y1 in crops
    )
    for x0, y0, x1, y1 in crops:
        assert 0 <= x0 < x1 <= width
        assert 0 <= y0 < y1 <= height


@pytest.mark.parametrize(
    ("size_px", "crops"),
    [
        ((640, 480), 4),
        ((768, 576), 4),
        ((1280, 720), 2),  # two rows would be the same but for 16 lines
        ((720, 1280), 2),
        ((1920, 640), 2),
        ((300, 300), 0),  # the network sees every pixel
        ((320, 240), 0),
    ],
)
def test_a_frame_has_as_many_crops_as_show_more_than_it_does(
    size_px: tuple[int, int], crops: int
) -> None:
    assert len(grid(*size_px, INPUT_PX)) == crops


@pytest.mark.parametrize("place", [TOP_LEFT, BOTTOM_RIGHT, (0.4, 0.5, 0.1, 0.15)])
def test_the_crop_shows_what_moves(place: Box) -> None:
    (window,) = windows(Regions(1), [place], 0)
    (later,) = windows(Regions(1), [place], 100)
    assert shows(window, place)
    assert shows(later, place)


@given(motion=BOXES, most=st.integers(1, 8))
def test_crops_lie_within_the_frame_and_there_are_never_more_than_allowed(
    motion: list[Box], most: int
) -> None:
    crops = windows(Regions(most), motion)
    assert 1 <= len(crops) <= most
    assert all(0 <= edge <= 1 for crop in crops for edge in crop)
    assert len(set(crops)) == len(crops)


def test_one_small_object_in_a_large_frame_gets_a_close_crop() -> None:
    image = np.zeros((1080, 1920, 3), np.uint8)
    person = (0.6, 0.4, 0.01, 0.05)
    regions = Regions(1)
    crops = [windows(regions, [person], at_s / 10, image)[0] for at_s in range(10)]
    close = [crop for crop in crops if round((crop[2] - crop[0]) * 1920) == INPUT_PX]
    assert len(close) >= 7
    assert all(shows(crop, person) for crop in close)


def test_two_groups_at_opposite_ends_take_two_crops() -> None:
    crops = windows(Regions(2), [TOP_LEFT, BOTTOM_RIGHT])
    assert any(shows(crop, TOP_LEFT) for crop in crops)
    assert any(shows(crop, BOTTOM_RIGHT) for crop in crops)


def test_what_fills_a_crop_draws_no_crop() -> None:
    large = (0.1, 0.1, 0.4, 0.8)
    with_it, without = Regions(1), Regions(1)
    for tenth in range(40):
        assert windows(with_it, [large], tenth / 10) == windows(without, [], tenth / 10)


def test_without_motion_all_crops_of_the_grid_get_their_turn() -> None:
    regions = Regions(1)
    seen = [windows(regions, [], at_s / 10)[0] for at_s in range(8)]
    assert len(set(seen[:4])) == 4
    assert seen[:4] == seen[4:]


@pytest.mark.parametrize("fps", [2, 7, 30])
@pytest.mark.parametrize("most", [1, 2])
def test_a_corner_is_looked_at_every_few_seconds_while_trees_move_everywhere_else(
    fps: int, most: int
) -> None:
    trees = [(x, 0.02, 0.04, 0.1) for x in (0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)]
    regions = Regions(most)
    looked_s = [
        number / fps
        for number in range(60 * fps)
        if any(shows(crop, BOTTOM_RIGHT) for crop in windows(regions, trees, number / fps))
    ]
    gaps_s = [b - a for a, b in itertools.pairwise([0.0, *looked_s, 60.0])]
    assert max(gaps_s) < 25


def test_a_small_object_is_looked_at_again_for_2_s() -> None:
    regions = Regions(1)
    small = (0.4, 0.5, 0.03, 0.08)
    regions.remember([small], SIZE_PX, 0)
    of_grid = set(windows(Regions(4), []))
    seen = [windows(regions, [], tenth / 10)[0] for tenth in range(40)]
    close = [crop not in of_grid for crop in seen]
    assert sum(close[:20]) >= 10
    assert all(shows(crop, small) for crop in seen if crop not in of_grid)
    assert not any(close[20:])


def test_one_that_no_crop_showed_this_time_is_not_forgotten() -> None:
    regions = Regions(2)
    regions.remember([BOTTOM_RIGHT], SIZE_PX, 0)
    regions.remember([TOP_LEFT], SIZE_PX, NS_PER_S // 2)
    crops = windows(regions, [], 1.0)
    assert any(shows(crop, TOP_LEFT) for crop in crops)
    assert any(shows(crop, BOTTOM_RIGHT) for crop in crops)


def test_the_memory_is_bounded() -> None:
    regions = Regions(2)
    for number in range(1000):
        boxes = [(column / 40, (number % 50) / 50, 0.01, 0.01) for column in range(40)]
        regions.remember(boxes, SIZE_PX, number)
    assert len(regions._seen.boxes) == len(regions._seen.at_ns) == 64


def test_a_camera_that_changes_its_size_gets_another_grid() -> None:
    regions = Regions(4)
    assert len(windows(regions, [])) == 4
    assert len(windows(regions, [], 0.1, np.zeros((720, 1280), np.uint8))) == 2
    assert windows(regions, [], 0.2, np.zeros((240, 320), np.uint8)) == []


def test_crops_are_squares_between_the_networks_input_and_half_the_frame() -> None:
    regions = Regions(4)
    for tenth in range(20):
        motion = [(0.05 * tenth, 0.5, 0.01 + 0.005 * tenth, 0.1)]
        for x0, y0, x1, y1 in windows(regions, motion, tenth / 10):
            width, height = round((x1 - x0) * 768), round((y1 - y0) * 576)
            assert width == height
            assert INPUT_PX <= width <= round(CROP_SHARE * 768)


def test_a_crop_is_a_view_of_the_pixels_it_names() -> None:
    image = np.arange(576 * 768, dtype=np.uint32).reshape(576, 768).view(np.uint8)
    image = image.reshape(576, 768, 4)
    for crop in Regions(4).choose(image, [TOP_LEFT], 0, smallest_px=INPUT_PX):
        x0, y0, x1, y1 = crop.window_frac
        expected = image[round(y0 * 576) : round(y1 * 576), round(x0 * 768) : round(x1 * 768)]
        assert np.shares_memory(crop.image, image)
        assert (crop.image == expected).all()
