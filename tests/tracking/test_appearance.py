from __future__ import annotations

import numpy as np
import pytest

from edgevision.tracking.appearance import describe, distances

WHOLE = np.array([[0, 0, 1, 1]], np.float32)


def plain(*bgr: int, size: tuple[int, int] = (60, 30)) -> np.ndarray:
    return np.full((*size, len(bgr)), bgr, np.uint8)


def apart(one: np.ndarray, other: np.ndarray) -> float:
    return float(distances(describe(one, WHOLE), describe(other, WHOLE))[0])


def test_the_same_object_has_no_distance_at_any_size() -> None:
    small = plain(10, 200, 30, size=(24, 12))
    assert apart(small, plain(10, 200, 30, size=(960, 480))) == pytest.approx(0, abs=1e-3)


def test_another_colour_is_further_away_than_a_shadow() -> None:
    red = plain(40, 40, 160)
    assert apart(red, plain(160, 40, 40)) > 3 * apart(red, plain(30, 30, 120))


def test_it_matters_which_half_has_which_colour() -> None:
    up = np.concatenate([plain(0, 0, 200, size=(30, 30)), plain(200, 0, 0, size=(30, 30))])
    assert apart(up, up[::-1]) > 100


def test_what_is_at_the_sides_of_a_box_does_not_matter() -> None:
    image = plain(50, 60, 70)
    beside = image.copy()
    beside[:, :5] = beside[:, -5:] = 255
    assert apart(image, beside) == 0


@pytest.mark.parametrize("shape", [(60, 30), (60, 30, 1), (60, 30, 4)])
def test_grey_and_four_channel_images_are_described_too(shape: tuple[int, ...]) -> None:
    looks = describe(np.full(shape, 90, np.uint8), WHOLE)
    assert looks.shape == (1, 6, 3)
    assert looks[0, 0].tolist() == pytest.approx([90, 0, 0], abs=0.2)


def test_grey_as_one_channel_looks_like_grey_as_three() -> None:
    assert apart(plain(90), plain(90, 90, 90)) == pytest.approx(0, abs=0.2)


def test_boxes_may_reach_beyond_the_frame_or_have_no_area() -> None:
    boxes = np.array([[-2, -2, 1, 1], [0.9, 0.9, 5, 5], [0.5, 0.5, 0, 0]], np.float32)
    assert np.isfinite(describe(plain(1, 2, 3), boxes)).all()


def test_no_boxes_have_no_looks() -> None:
    assert describe(plain(1, 2, 3), np.zeros((0, 4), np.float32)).shape == (0, 6, 3)
