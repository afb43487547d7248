from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgevision.detection.ssd import decode_boxes
from edgevision.errors import ModelMismatchError
from edgevision.frames import F32
from edgevision.model_card import BoxCoder

CODER = BoxCoder(centre_divisor=10.0, size_divisor=5.0)
FRACTIONS = st.floats(0.0625, 1.0, width=32)
COUNTS = st.shared(st.integers(0, 20), key="count")


def rows_of(elements: st.SearchStrategy[float]) -> st.SearchStrategy[F32]:
    return COUNTS.flatmap(lambda count: arrays(np.float32, (count, 4), elements=elements))


def encode(corners: F32, anchors: F32, coder: BoxCoder) -> F32:
    """Turn corners into offsets: the inverse, from Girshick et al. 2014, appendix C."""
    centres = (corners[:, 2:] + corners[:, :2])[:, ::-1] / 2
    sizes = (corners[:, 2:] - corners[:, :2])[:, ::-1]
    centre_offsets = (centres - anchors[:, :2]) / anchors[:, 2:] * coder.centre_divisor
    size_offsets = np.log(sizes / anchors[:, 2:]) * coder.size_divisor
    return np.concatenate([centre_offsets, size_offsets], axis=1).astype(np.float32)


def decoded(*offsets: float, anchor: tuple[float, ...]) -> list[float]:
    boxes = decode_boxes(np.array([offsets], np.float32), np.array([anchor], np.float32), CODER)
    values: list[float] = boxes[0].tolist()
    return values


def test_offsets_of_0_give_the_anchor_itself_as_corners() -> None:
    corners = decoded(0, 0, 0, 0, anchor=(0.5, 0.25, 0.5, 0.25))
    assert corners == [0.125, 0.25, 0.375, 0.75]


def test_ty_of_10_moves_the_box_down_by_its_anchors_height() -> None:
    corners = decoded(10, 0, 0, 0, anchor=(0.25, 0.5, 0.5, 0.25))
    assert corners == [0.375, 0.5, 0.625, 1.0]


def test_tx_of_minus_5_moves_the_box_left_by_half_its_anchors_width() -> None:
    corners = decoded(0, -5, 0, 0, anchor=(0.5, 0.5, 0.5, 0.25))
    assert corners == [0.25, 0.25, 0.5, 0.75]


def test_th_of_5_makes_the_box_e_times_as_high() -> None:
    # 0.2 * e = 0.543656; half of it is 0.271828.
    corners = decoded(0, 0, 5, 0, anchor=(0.5, 0.5, 0.2, 0.2))
    assert corners == pytest.approx([0.4, 0.228172, 0.6, 0.771828], abs=1e-6)


def test_tw_of_5_ln_2_makes_the_box_twice_as_wide() -> None:
    corners = decoded(0, 0, 0, 3.4657359, anchor=(0.5, 0.5, 0.2, 0.2))
    assert corners == pytest.approx([0.3, 0.4, 0.7, 0.6], abs=1e-6)


def test_a_box_may_reach_outside_0_to_1() -> None:
    corners = decoded(0, 0, 0, 0, anchor=(0.0, 1.0, 0.5, 0.5))
    assert corners == [0.75, -0.25, 1.25, 0.25]


def test_wild_size_offsets_give_finite_boxes() -> None:
    assert np.isfinite(decoded(1e6, -1e6, 1e30, 1e30, anchor=(0.5, 0.5, 1.0, 1.0))).all()


def test_no_offsets_give_no_boxes() -> None:
    nothing = np.zeros((0, 4), np.float32)
    assert decode_boxes(nothing, nothing, CODER).shape == (0, 4)


@pytest.mark.parametrize("shape", [(5, 4), (7, 4), (6, 3), (1, 6, 4)])
def test_offsets_that_do_not_fit_6_anchors_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelMismatchError) as caught:
        decode_boxes(np.zeros(shape, np.float32), np.zeros((6, 4), np.float32), CODER)
    assert str(caught.value) == (
        f"expected box offsets of shape (6, 4) as the anchors, got {shape}"
    )


@given(rows_of(FRACTIONS), rows_of(FRACTIONS), st.floats(1, 20), st.floats(1, 20))
def test_decoding_what_was_encoded_gives_the_same_corners(
    anchors: F32, boxes: F32, centre_divisor: float, size_divisor: float
) -> None:
    coder = BoxCoder(centre_divisor=centre_divisor, size_divisor=size_divisor)
    corners = boxes.copy()
    corners[:, 2:] += corners[:, :2]
    decoded_again = decode_boxes(encode(corners, anchors, coder), anchors, coder)
    np.testing.assert_allclose(decoded_again, corners, atol=1e-4)


@given(rows_of(st.floats(-40, 40, width=32)), rows_of(FRACTIONS))
def test_corners_come_in_order_and_their_centre_moves_with_the_offsets(
    offsets: F32, anchors: F32
) -> None:
    boxes = decode_boxes(offsets, anchors, CODER)
    assert (boxes[:, 2:] >= boxes[:, :2]).all()
    centres = ((boxes[:, :2] + boxes[:, 2:]) / 2)[:, ::-1]
    expected = anchors[:, :2] + offsets[:, :2] / 10 * anchors[:, 2:]
    scale = 1 + np.abs(boxes).max(axis=1, initial=0, keepdims=True)
    assert (np.abs(centres - expected) <= 1e-5 * scale).all()


@given(rows_of(st.floats(-40, 40, width=32)), rows_of(FRACTIONS))
def test_the_inputs_stay_as_they_are(offsets: F32, anchors: F32) -> None:
    copies = offsets.copy(), anchors.copy()
    decode_boxes(offsets, anchors, CODER)
    assert np.array_equal(offsets, copies[0])
    assert np.array_equal(anchors, copies[1])
