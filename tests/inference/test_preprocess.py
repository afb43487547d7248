from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgevision.frames import U8, Detections
from edgevision.inference.preprocess import InputGeometry, Preprocessor
from edgevision.model_card import InputSpec

WIDTH, HEIGHT = 32, 24
SIDES = st.integers(1, 80)


@st.composite
def pictures(draw: st.DrawFn, channels: tuple[int, ...] = (3,)) -> U8:
    """A picture of any size with one of these numbers of channels."""
    shape = (draw(SIDES), draw(SIDES), draw(st.sampled_from(channels)))
    seed = draw(st.integers(0, 2**32 - 1))
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.fixture(scope="session")
def preprocessor() -> Preprocessor:
    return Preprocessor(InputSpec(name="image", width=WIDTH, height=HEIGHT, scaling="none"))


def resized_exactly(image: U8) -> U8:
    """Bilinear with 8 bits of weight, pixel centres aligned, rounded once at the end."""

    def weights(size: int, wanted: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        place = (np.arange(wanted) + 0.5) * size / wanted - 0.5
        first = np.floor(place).astype(int)
        second_weight = np.rint((place - first) * 256).astype(int)
        return first.clip(0, size - 1), (first + 1).clip(0, size - 1), second_weight

    top, bottom, down = weights(image.shape[0], HEIGHT)
    left, right, across = weights(image.shape[1], WIDTH)
    wide = image.astype(int)
    across = across[None, :, None]
    rows = wide[:, left] * (256 - across) + wide[:, right] * across
    down = down[:, None, None]
    both = rows[top] * (256 - down) + rows[bottom] * down
    return np.asarray((both + (1 << 15)) >> 16, np.uint8)


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param((480, 640, 3), id="BGR"),
        pytest.param((480, 640, 4), id="BGRA"),
        pytest.param((480, 640, 1), id="grey with an axis"),
        pytest.param((480, 640), id="grey"),
        pytest.param((1, 1), id="1x1 grey"),
        pytest.param((1, 1, 3), id="1x1"),
        pytest.param((1, 1, 4), id="1x1 BGRA"),
        pytest.param((4320, 7680, 3), id="8K"),
        pytest.param((1, 70000, 3), id="one row"),
        pytest.param((70000, 1), id="one column"),
    ],
)
def test_any_frame_becomes_1x24x32x3_of_its_colour(
    preprocessor: Preprocessor, shape: tuple[int, ...]
) -> None:
    prepared = preprocessor.prepare(np.full(shape, 77, np.uint8))
    assert prepared.image.shape == (1, HEIGHT, WIDTH, 3)
    assert prepared.image.dtype == np.uint8
    assert (prepared.image == 77).all()


@pytest.mark.parametrize("shape", [(480, 640, 3), (480, 640), (480, 640, 1), (480, 640, 4)])
def test_the_geometry_keeps_the_frames_width_and_height_in_this_order(
    preprocessor: Preprocessor, shape: tuple[int, ...]
) -> None:
    assert preprocessor.prepare(np.zeros(shape, np.uint8)).geometry.frame_size_px == (640, 480)


@given(pictures())
def test_three_channels_are_opencvs_exact_resize(preprocessor: Preprocessor, image: U8) -> None:
    expected = cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR_EXACT)
    assert np.array_equal(preprocessor.prepare(image).image[0], expected)


@given(pictures())
def test_the_fast_resize_is_opencvs_bilinear_one_and_within_2_levels_of_the_exact_one(
    preprocessor: Preprocessor, image: U8
) -> None:
    spec = InputSpec(name="image", width=WIDTH, height=HEIGHT, scaling="none")
    found = Preprocessor(spec, "fast").prepare(image).image[0]
    expected = cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
    exact = preprocessor.prepare(image).image[0]
    assert np.array_equal(found, expected)
    assert np.abs(found.astype(int) - exact.astype(int)).max() <= 2


@given(pictures())
def test_the_exact_resize_is_within_1_level_of_bilinear_worked_out_in_whole_numbers(
    preprocessor: Preprocessor, image: U8
) -> None:
    difference = preprocessor.prepare(image).image[0].astype(int) - resized_exactly(image)
    assert np.abs(difference).max() <= 1


@given(pictures((1,)))
def test_grey_gives_three_equal_channels_of_the_resized_grey(
    preprocessor: Preprocessor, image: U8
) -> None:
    prepared = preprocessor.prepare(image).image[0]
    expected = preprocessor.prepare(np.repeat(image, 3, axis=2)).image[0]
    assert np.array_equal(prepared, expected)
    assert np.array_equal(preprocessor.prepare(image[..., 0]).image[0], expected)


@given(pictures((4,)))
def test_of_bgra_the_transparency_is_left_out(preprocessor: Preprocessor, image: U8) -> None:
    expected = preprocessor.prepare(np.ascontiguousarray(image[..., :3])).image
    assert np.array_equal(preprocessor.prepare(image).image, expected)


@given(pictures())
def test_a_view_with_strides_is_resized_as_its_copy(preprocessor: Preprocessor, image: U8) -> None:
    turned = image[::-1, :, ::-1]
    expected = preprocessor.prepare(np.ascontiguousarray(turned)).image
    assert np.array_equal(preprocessor.prepare(turned).image, expected)


@given(pictures((1, 3, 4)))
def test_the_frame_stays_as_it_is(preprocessor: Preprocessor, image: U8) -> None:
    copy = image.copy()
    preprocessor.prepare(image)
    assert np.array_equal(image, copy)


def test_a_frame_of_the_inputs_size_goes_through_unchanged(preprocessor: Preprocessor) -> None:
    image = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    prepared = preprocessor.prepare(image).image
    assert np.array_equal(prepared[0], image)
    assert not np.shares_memory(prepared, image)


def detections(boxes: list[list[float]]) -> Detections:
    count = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.linspace(1, 0, count, dtype=np.float32),
        np.arange(count, dtype=np.int64),
    )


def test_boxes_are_clipped_to_the_frame() -> None:
    inside = InputGeometry((640, 480)).to_frame(detections([[-0.25, 0.5, 0.5, 1.5]]))
    assert inside.boxes.tolist() == [[0.0, 0.5, 0.5, 1.0]]


def test_a_box_wholly_outside_the_frame_becomes_a_line_at_its_edge() -> None:
    inside = InputGeometry((640, 480)).to_frame(detections([[1.5, 0.25, 2.0, 0.5]]))
    assert inside.boxes.tolist() == [[1.0, 0.25, 1.0, 0.5]]


@given(arrays(np.float32, (5, 4), elements=st.floats(-3, 3, width=32)))
def test_clipping_leaves_scores_classes_and_whatever_lies_inside_alone(boxes: np.ndarray) -> None:
    before = detections(boxes.tolist())
    after = InputGeometry((640, 480)).to_frame(before)
    inside = (boxes >= 0) & (boxes <= 1)
    assert (after.boxes[inside] == boxes[inside]).all()
    assert ((after.boxes >= 0) & (after.boxes <= 1)).all()
    assert after.scores is before.scores
    assert after.class_ids is before.class_ids


def test_no_boxes_are_no_boxes() -> None:
    assert len(InputGeometry((640, 480)).to_frame(detections([]))) == 0
