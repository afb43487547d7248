"""The operations of a convolutional network, in NumPy alone.

A map is float32 [rows, columns, channels]: the channels of one cell are adjacent in memory, then
the cells of a row, then the rows. Every kernel writes into `out`, so that next to nothing is
allocated per image.

Three facts about NumPy decide how fast this is. A matrix product goes to BLAS. Everything else
is a pass over memory, and `np.einsum` is the only pass that multiplies *and* adds
(`out += x * w`), which is what a depthwise convolution does k * k times. And a pass is fast
where its innermost loop is a thousand numbers long, which `tiled` takes care of.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import as_strided

from edgevision.frames import F32

if TYPE_CHECKING:
    from collections.abc import Mapping

# Numbers in the innermost loop of a depthwise convolution: long enough to hide the cost of a
# loop, short enough that k * k rows of weights stay in the first-level cache or near it.
INNER_LOOP = 2048

ActivationKernel: TypeAlias = Callable[[F32, F32], None]


# ---- Convolutions -------------------------------------------------------------------------


def clear_frame(framed: F32, *, top: int, left: int, bottom: int, right: int) -> None:
    """Pad a map: write the zeros of the frame around it.

    Args:
        framed: float32 [top + rows + bottom, left + columns + right, channels].
        top: rows of zeros above the map; likewise the other sides.
        left: columns of zeros to its left.
        bottom: rows of zeros below it.
        right: columns of zeros to its right.
    """
    rows, columns, _ = framed.shape
    framed[:top] = 0
    framed[rows - bottom :] = 0
    framed[:, :left] = 0
    framed[:, columns - right :] = 0


def windows(x: F32, *, kernel: int, stride: int, tile: int = 1) -> F32:
    """Return the window of a padded map under every position of a kernel, without copying.

    Args:
        x: float32 [rows, columns, channels], its last two axes contiguous.
        kernel: side of the kernel.
        stride: its step.
        tile: columns of the result computed together; divides their number; 1 unless stride is 1.

    Returns:
        float32 [out_rows, out_columns / tile, kernel, kernel, tile * channels], a view.
    """
    rows, columns, channels = x.shape
    out_rows = (rows - kernel) // stride + 1
    out_columns = (columns - kernel) // stride + 1
    row, cell, number = x.strides
    return as_strided(
        x,
        (out_rows, out_columns // tile, kernel, kernel, tile * channels),
        (stride * row, stride * tile * cell, row, cell, number),
        writeable=False,
    )


def standard(patches: F32, weight: F32, columns: F32, out: F32) -> None:
    """Convolve, every output channel over all input channels, as one matrix product.

    Args:
        patches: float32 [rows, columns, k, k, in], `windows` of the padded map.
        weight: float32 [k * k * in, out].
        columns: float32 [rows * columns, k * k * in], overwritten with one patch per row.
        out: float32 [rows * columns, out].
    """
    columns.reshape(patches.shape)[...] = patches
    np.matmul(columns, weight, out=out)


def depthwise(patches: F32, weight: F32, out: F32) -> None:
    """Convolve every channel with its own filter: k * k multiply-adds per number of the result.

    Args:
        patches: float32 [rows, columns, k, k, channels], `windows` of the padded map.
        weight: float32 [k, k, channels].
        out: float32 [rows, columns, channels].

    With `tile` columns computed together, there are so many times fewer columns and more channels
    in patches, weight and out.
    """
    np.einsum("hwyxc,yxc->hwc", patches, weight, out=out)


def pointwise(x: F32, weight: F32, out: F32) -> None:
    """Convolve 1x1: multiply every cell's channels by one matrix.

    Args:
        x: float32 [cells, in].
        weight: float32 [in, out].
        out: float32 [cells, out].
    """
    np.matmul(x, weight, out=out)


def tile_width(columns: int, channels: int) -> int:
    """Return the divisor of `columns` for which tile * channels is closest to `INNER_LOOP`."""
    divisors = [tile for tile in range(1, columns + 1) if columns % tile == 0]
    return min(divisors, key=lambda tile: abs(np.log(tile * channels / INNER_LOOP)))


def tiled(weight: F32, tile: int) -> F32:
    """Repeat a depthwise weight [k, k, channels] for several columns: [k, k, tile * channels]."""
    return np.ascontiguousarray(np.tile(weight, (1, 1, tile)))


# ---- Squeeze-and-excitation, residual sums ----------------------------------------------------


def global_mean(x: F32, factor: np.float32, out: F32) -> None:
    """Average every channel over all cells, times a factor.

    Args:
        x: float32 [rows, columns, channels].
        factor: 1 unless the unit changes.
        out: float32 [1, 1, channels].
    """
    np.mean(x, axis=(0, 1), keepdims=True, out=out)
    np.multiply(out, factor, out=out)


def gate(x: F32, gains: F32, factor: np.float32, out: F32) -> None:
    """Multiply every channel by its own gain.

    Squeeze-and-excitation (Hu et al. 2018, "Squeeze-and-Excitation Networks") is a
    `global_mean`, two `pointwise` convolutions of that one cell and this.

    Args:
        x: float32 [rows, columns, channels].
        gains: float32 [1, 1, channels].
        factor: 1 unless the unit changes.
        out: float32 [rows, columns, channels].
    """
    np.multiply(x, gains * factor, out=out)


def add(
    first: F32, second: F32, first_factor: np.float32, second_factor: np.float32, out: F32
) -> None:
    """Add two maps of one shape, each times a factor, which is 1 unless its unit changes."""
    np.multiply(first, first_factor, out=out)
    np.add(out, second if second_factor == 1 else second * second_factor, out=out)


# ---- Activations: x and out have one shape and may be the same array ---------------------------


def identity(x: F32, out: F32) -> None:
    """Copy."""
    if out is not x:
        out[...] = x


def relu(x: F32, out: F32) -> None:
    """max(x, 0)."""
    np.maximum(x, 0, out=out)


def relu6(x: F32, out: F32) -> None:
    """min(max(x, 0), 6), in one pass instead of two."""
    np.clip(x, 0, 6, out=out)


def sigmoid(x: F32, out: F32) -> None:
    """1 / (1 + exp(-x)) = (1 + tanh(x / 2)) / 2, which cannot overflow."""
    np.multiply(x, 0.5, out=out)
    np.tanh(out, out=out)
    np.multiply(out, 0.5, out=out)
    np.add(out, 0.5, out=out)


def hard_sigmoid(x: F32, out: F32) -> None:
    """clip(x + 3, 0, 6) / 6."""
    np.add(x, 3, out=out)
    np.clip(out, 0, 6, out=out)
    np.multiply(out, 1 / 6, out=out)


def silu(x: F32, out: F32) -> None:
    """Multiply x by sigmoid(x)."""
    _times_itself(sigmoid, x, out)


def hard_swish(x: F32, out: F32) -> None:
    """Multiply x by hard_sigmoid(x)."""
    _times_itself(hard_sigmoid, x, out)


def _times_itself(factor: ActivationKernel, x: F32, out: F32) -> None:
    kept = x.copy() if out is x else x
    factor(kept, out)
    np.multiply(out, kept, out=out)


ACTIVATIONS: Mapping[str, ActivationKernel] = {
    "linear": identity,
    "relu": relu,
    "relu6": relu6,
    "silu": silu,
    "hard_swish": hard_swish,
    "sigmoid": sigmoid,
    "hard_sigmoid": hard_sigmoid,
}

# Those that only clip to a range.
SATURATIONS = frozenset({"linear", "relu", "relu6"})


def round_to_levels(x: F32, out: F32, *, low: float, high: float) -> None:
    """Round to whole numbers, ties to even, and saturate, as storing 8 bits does.

    Args:
        x: float32, overwritten.
        out: float32 in the shape of x.
        low: lowest level.
        high: highest level.
    """
    np.rint(x, out=x)
    np.clip(x, low, high, out=out)
