from __future__ import annotations

from dataclasses import FrozenInstanceError
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevision.errors import BadFrameError, SourceError
from edgevision.frames import Detections, Frame

NOON = datetime(2024, 6, 1, 12, tzinfo=UTC)


def frame_of(image: object) -> Frame:
    return Frame("yard", 3, image, 1_000, NOON)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param((1, 1, 3), id="1x1"),
        pytest.param((1, 1), id="1x1 grey"),
        pytest.param((480, 640, 3), id="BGR"),
        pytest.param((480, 640), id="grey"),
        pytest.param((480, 640, 1), id="grey with an axis"),
        pytest.param((480, 640, 4), id="BGRA"),
        pytest.param((4320, 7680, 3), id="8K"),
        pytest.param((1, 8192, 3), id="one row"),
        pytest.param((8192, 1, 4), id="one column"),
    ],
)
def test_frame_takes_any_picture_of_at_least_1_pixel(shape: tuple[int, ...]) -> None:
    image = np.zeros(shape, np.uint8)
    assert frame_of(image).image is image


@pytest.mark.parametrize(
    "shape",
    [
        (0, 0, 3),
        (0, 640, 3),
        (480, 0, 3),
        (480, 640, 0),
        (0,),
        (),
        (640,),
        (480, 640, 2),
        (480, 640, 5),
        (1, 480, 640, 3),
        (1, 1, 1, 1, 1),
    ],
)
def test_frame_refuses_an_array_that_is_no_picture_and_says_its_shape(
    shape: tuple[int, ...],
) -> None:
    with pytest.raises(BadFrameError) as caught:
        frame_of(np.zeros(shape, np.uint8))
    assert str(caught.value) == (
        "yard: expected a frame of uint8 [height, width] with 1, 3 or 4 channels, "
        f"got uint8 {list(shape)}"
    )


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "uint16", "bool", "int64"])
def test_frame_refuses_every_type_but_uint8_and_names_it(dtype: str) -> None:
    with pytest.raises(BadFrameError, match=rf"got {dtype} \[4, 4, 3\]$"):
        frame_of(np.zeros((4, 4, 3), dtype))


@given(
    st.lists(st.integers(0, 6), max_size=5),
    st.sampled_from([np.uint8, np.float32, np.int16]),
)
def test_frame_takes_exactly_nonempty_uint8_of_1_3_or_4_channels(
    shape: list[int], dtype: type[np.generic]
) -> None:
    channels = shape[2] if len(shape) == 3 else 1
    good = dtype is np.uint8 and len(shape) in (2, 3) and channels in (1, 3, 4) and all(shape)
    image = np.zeros(shape, dtype)
    if good:
        assert frame_of(image).image is image
    else:
        with pytest.raises(BadFrameError):
            frame_of(image)


def test_a_bad_frame_is_a_fault_of_the_source_with_exit_status_66() -> None:
    assert issubclass(BadFrameError, SourceError)
    assert BadFrameError.exit_status == 66


def test_a_frame_cannot_be_changed() -> None:
    frame = frame_of(np.zeros((1, 1), np.uint8))
    with pytest.raises(FrozenInstanceError):
        frame.sequence = 4  # type: ignore[misc]


@pytest.mark.parametrize("count", [0, 3])
def test_detections_are_as_many_as_their_scores(count: int) -> None:
    boxes, scores = np.zeros((count, 4), np.float32), np.zeros(count, np.float32)
    assert len(Detections(boxes, scores, np.zeros(count, np.int64))) == count
