"""The kernels against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevision.frames import F32
from edgevision.inference import numpy_kernels


def naive_convolution(x: F32, weight: F32, *, stride: int, groups: int) -> F32:
    """Convolve a padded map [rows, columns, in] by [out, in / groups, k, k], number by number."""
    out_channels, group_channels, kernel, _ = weight.shape
    rows = (x.shape[0] - kernel) // stride + 1
    columns = (x.shape[1] - kernel) // stride + 1
    out = np.zeros((rows, columns, out_channels), np.float32)
    for row, column, channel in np.ndindex(out.shape):
        first = channel // (out_channels // groups) * group_channels
        patch = x[
            row * stride : row * stride + kernel,
            column * stride : column * stride + kernel,
            first : first + group_channels,
        ]
        out[row, column, channel] = np.sum(patch.transpose(2, 0, 1) * weight[channel])
    return out


@st.composite
def padded_maps(draw: st.DrawFn) -> tuple[F32, int, int]:
    """A map of any odd or even size, a kernel that fits on it, and a stride."""
    kernel = draw(st.sampled_from([1, 2, 3, 5]))
    rows, columns = (draw(st.integers(kernel, 11)) for _ in range(2))
    channels = draw(st.integers(1, 7))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    x = rng.normal(size=(rows, columns, channels)).astype(np.float32)
    return x, kernel, draw(st.integers(1, 3))


@given(padded_maps(), st.integers(0, 99))
def test_depthwise_equals_the_loop_at_every_tile_width(
    case: tuple[F32, int, int], seed: int
) -> None:
    x, kernel, stride = case
    channels = x.shape[2]
    weight = np.random.default_rng(seed).normal(size=(channels, 1, kernel, kernel))
    weight = weight.astype(np.float32)
    expected = naive_convolution(x, weight, stride=stride, groups=channels)
    columns = expected.shape[1]
    widths = [t for t in range(1, columns + 1) if columns % t == 0] if stride == 1 else [1]
    for tile in widths:
        out = np.empty((len(expected), columns // tile, tile * channels), np.float32)
        patches = numpy_kernels.windows(x, kernel=kernel, stride=stride, tile=tile)
        numpy_kernels.depthwise(
            patches, numpy_kernels.tiled(weight[:, 0].transpose(1, 2, 0), tile), out
        )
        np.testing.assert_allclose(out.reshape(expected.shape), expected, rtol=1e-4, atol=1e-5)


@given(padded_maps(), st.integers(1, 6))
def test_standard_equals_the_loop(case: tuple[F32, int, int], out_channels: int) -> None:
    x, kernel, stride = case
    rng = np.random.default_rng(out_channels)
    weight = rng.normal(size=(out_channels, x.shape[2], kernel, kernel)).astype(np.float32)
    expected = naive_convolution(x, weight, stride=stride, groups=1)
    patches = numpy_kernels.windows(x, kernel=kernel, stride=stride)
    cells = expected.shape[0] * expected.shape[1]
    matrix = weight.transpose(2, 3, 1, 0).reshape(-1, out_channels)
    out = np.empty((cells, out_channels), np.float32)
    numpy_kernels.standard(patches, matrix, np.empty((cells, len(matrix)), np.float32), out)
    np.testing.assert_allclose(out.reshape(expected.shape), expected, rtol=1e-4, atol=1e-5)


@given(padded_maps(), st.integers(1, 6))
def test_pointwise_equals_the_loop(case: tuple[F32, int, int], out_channels: int) -> None:
    x = case[0]
    rng = np.random.default_rng(out_channels)
    weight = rng.normal(size=(out_channels, x.shape[2], 1, 1)).astype(np.float32)
    out = np.empty((x.shape[0] * x.shape[1], out_channels), np.float32)
    numpy_kernels.pointwise(x.reshape(-1, x.shape[2]), weight[:, :, 0, 0].T, out)
    expected = naive_convolution(x, weight, stride=1, groups=1)
    np.testing.assert_allclose(out.reshape(expected.shape), expected, rtol=1e-4, atol=1e-5)


@given(st.integers(1, 300), st.integers(1, 2000))
def test_a_tile_divides_the_columns(columns: int, channels: int) -> None:
    assert columns % numpy_kernels.tile_width(columns, channels) == 0


def test_a_tile_of_144_channels_is_15_of_75_columns() -> None:
    assert numpy_kernels.tile_width(75, 144) == 15


@given(*(st.integers(0, 3) for _ in range(4)))
def test_padding_writes_zeros_around_the_map_and_nowhere_else(
    top: int, left: int, bottom: int, right: int
) -> None:
    framed = np.ones((top + 2 + bottom, left + 3 + right, 2), np.float32)
    numpy_kernels.clear_frame(framed, top=top, left=left, bottom=bottom, right=right)
    assert framed.sum() == 2 * 3 * 2
    assert (framed[top : top + 2, left : left + 3] == 1).all()


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("linear", lambda x: x),
        ("relu", lambda x: np.maximum(x, 0)),
        ("relu6", lambda x: np.minimum(np.maximum(x, 0), 6)),
        ("silu", lambda x: x / (1 + np.exp(-x))),
        ("hard_swish", lambda x: x * np.clip(x + 3, 0, 6) / 6),
        ("sigmoid", lambda x: 1 / (1 + np.exp(-x))),
        ("hard_sigmoid", lambda x: np.clip(x + 3, 0, 6) / 6),
    ],
)
def test_an_activation_equals_its_formula_beside_and_in_place(name: str, formula: object) -> None:
    x = np.linspace(-30, 30, 601, dtype=np.float32)
    expected = formula(x.astype(np.float64))  # type: ignore[operator]
    beside = np.empty_like(x)
    numpy_kernels.ACTIVATIONS[name](x, beside)
    np.testing.assert_allclose(beside, expected, rtol=1e-5, atol=2e-6)
    numpy_kernels.ACTIVATIONS[name](x, x)
    np.testing.assert_array_equal(x, beside)


def test_a_sigmoid_of_1e38_neither_overflows_nor_warns() -> None:
    out = np.empty(2, np.float32)
    numpy_kernels.sigmoid(np.array([-1e38, 1e38], np.float32), out)
    assert out.tolist() == [0.0, 1.0]


def test_levels_are_rounded_with_ties_to_even_and_saturate_at_both_ends() -> None:
    x = np.array([-200.4, -0.5, 0.5, 1.5, 2.5, 300.0], np.float32)
    numpy_kernels.round_to_levels(x, x, low=-128, high=127)
    assert x.tolist() == [-128, 0, 0, 2, 2, 127]


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9))
def test_squeeze_and_excitation_is_a_mean_and_a_product_for_each_channel(
    rows: int, columns: int, channels: int
) -> None:
    rng = np.random.default_rng(rows)
    x = rng.normal(size=(rows, columns, channels)).astype(np.float32)
    mean, out = np.empty((1, 1, channels), np.float32), np.empty_like(x)
    numpy_kernels.global_mean(x, np.float32(2), mean)
    numpy_kernels.gate(x, mean, np.float32(0.5), out)
    for channel in range(channels):
        expected = x[:, :, channel].mean() * x[:, :, channel]
        np.testing.assert_allclose(out[:, :, channel], expected, rtol=1e-4, atol=1e-5)


def test_a_sum_takes_each_map_times_its_factor() -> None:
    ones = np.ones((2, 2, 3), np.float32)
    out = np.empty_like(ones)
    numpy_kernels.add(ones, 2 * ones, np.float32(3), np.float32(1), out)
    assert (out == 5).all()
    numpy_kernels.add(ones, 2 * ones, np.float32(1), np.float32(4), out)
    assert (out == 9).all()
