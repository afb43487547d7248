from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgevision.frames import F32
from edgevision.model_builder.quantize import (
    LEVELS,
    Range,
    affine,
    quantize_bias,
    quantize_weight,
    short_scale,
)

reals = st.floats(-1000, 1000, width=32)
weights = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(2, 6), st.just(3), st.just(3)),
    elements=st.floats(-8, 8, width=32),
)


@given(reals, reals, st.floats(0, 1))
def test_a_real_number_in_range_comes_back_within_one_step(a: float, b: float, at: float) -> None:
    span = Range(min(a, b), max(a, b))
    quantized = affine(span)
    real = span.low + at * (span.high - span.low)
    level = round(min(max(real / quantized.scale + quantized.zero_point, 0), LEVELS))
    restored = quantized.scale * (level - quantized.zero_point)
    assert abs(restored - real) <= quantized.scale


@given(reals, reals)
def test_zero_is_always_represented_exactly(a: float, b: float) -> None:
    quantized = affine(Range(min(a, b), max(a, b)))
    assert 0 <= quantized.zero_point <= LEVELS


def test_a_range_above_zero_is_stretched_down_to_it() -> None:
    assert Range(2.0, 6.0) == Range(0.0, 6.0)
    assert affine(Range(2.0, 6.0)).zero_point == 0


@given(st.floats(1e-6, 1e6))
def test_a_rounded_scale_is_never_smaller_and_at_most_1_in_128_larger(scale: float) -> None:
    assert scale <= short_scale(scale) <= scale * (1 + 1 / 128)


@given(st.floats(1e-6, 1e6))
def test_a_rounded_scale_stays_when_rounded_again(scale: float) -> None:
    assert short_scale(short_scale(scale)) == short_scale(scale)


@given(weights)
def test_every_weight_comes_back_within_half_a_step_of_its_channel(weight: F32) -> None:
    quantized = quantize_weight(weight)
    bound = quantized.scale[:, None, None, None] * 0.5
    assert (np.abs(quantized.real - weight) <= bound * (1 + 1e-5)).all()


@given(weights)
def test_no_pair_of_neighbouring_weights_can_saturate_16_bits(weight: F32) -> None:
    levels = quantize_weight(weight).levels.astype(np.int64)
    products = levels.transpose(0, 2, 3, 1).reshape(len(levels), -1)
    even = np.pad(products, ((0, 0), (0, products.shape[1] % 2)))
    sums = 255 * even.reshape(len(levels), -1, 2)
    largest = np.maximum(sums, 0).sum(axis=2).max()
    smallest = np.minimum(sums, 0).sum(axis=2).min()
    assert largest <= np.iinfo(np.int16).max
    assert smallest >= np.iinfo(np.int16).min


def test_a_depthwise_channel_uses_all_127_levels() -> None:
    weight = np.full((1, 1, 3, 3), 0.5, np.float32)
    assert (quantize_weight(weight).levels == 127).all()


def test_a_channel_of_zeros_stays_zero_at_scale_1() -> None:
    quantized = quantize_weight(np.zeros((2, 4, 1, 1), np.float32))
    assert quantized.scale.tolist() == [1.0, 1.0]
    assert not quantized.levels.any()


@pytest.mark.parametrize(("bias", "level"), [(0.5, 50), (-0.126, -13), (1e12, 2**31 - 1)])
def test_a_bias_is_rounded_to_steps_of_the_product_scale_and_stays_in_32_bits(
    bias: float, level: int
) -> None:
    levels = quantize_bias(np.array([bias], np.float32), np.array([0.01], np.float32))
    assert levels.tolist() == [level]
