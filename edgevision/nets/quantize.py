"""The arithmetic of INT8: r = s (q - z), real number r, scale s, integer q, zero point z.

Activations are uint8 with a zero point, one scale a tensor; weights int8 with z = 0, one
scale an output channel; biases int32 with z = 0 and the scale that the sum of products has,
s = s_input * s_weight (Jacob et al. 2018, "Quantization and Training of Neural Networks for
Efficient Integer-Arithmetic-Only Inference", section 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, frexp, ldexp
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from edgevision.records import F32

I8: TypeAlias = NDArray[np.int8]
I32: TypeAlias = NDArray[np.int32]
F64: TypeAlias = NDArray[np.float64]

LEVELS = 255  # steps between the 256 values of a uint8
WEIGHT_LIMIT = 127  # -128 is left out, so that the range is symmetric
# 255 * (126 + 2) < 32767: each of a pair may have been rounded by up to one level.
PAIR_LIMIT = 126
SCALE_BITS = 8


@dataclass(frozen=True, slots=True)
class Range:
    """The real numbers a tensor takes; 0 is always inside, so zero padding is exact."""

    low: float
    high: float

    def __post_init__(self) -> None:
        """Stretch the range to hold 0."""
        object.__setattr__(self, "low", min(self.low, 0.0))
        object.__setattr__(self, "high", max(self.high, 0.0))

    def union(self, other: Range) -> Range:
        """Return the range that holds both."""
        return Range(min(self.low, other.low), max(self.high, other.high))


@dataclass(frozen=True, slots=True)
class Affine:
    """How a tensor's uint8 values stand for real numbers: r = scale (q - zero_point)."""

    scale: float
    zero_point: int


# A sigmoid lies between 0 and 1; the last of the 256 values is 255 / 256.
SIGMOIDS = Affine(scale=1 / 256, zero_point=0)


def affine(span: Range, *, scale: float | None = None) -> Affine:
    """Return the uint8 quantization that covers a range.

    Args:
        span: the range; all zero counts as 0..1.
        scale: the scale to use; by default the smallest of `SCALE_BITS` significant bits.
    """
    if scale is None:
        scale = short_scale((span.high - span.low) / LEVELS or 1 / LEVELS)
    return Affine(scale, round(min(max(-span.low / scale, 0), LEVELS)))


def short_scale(scale: float) -> float:
    """Round up to `SCALE_BITS` significant bits.

    Ranges are measured in float32, whose last bits depend on the processor's instructions;
    rounded scales are the same everywhere. A scale never shrinks, so nothing new saturates.
    """
    mantissa, exponent = frexp(scale)
    return ldexp(ceil(ldexp(mantissa, SCALE_BITS)), exponent - SCALE_BITS)


@dataclass(frozen=True, slots=True)
class QuantizedWeight:
    """A layer's weight as integers.

    Attributes:
        levels: int8 [out, in / groups, kernel, kernel], -127..127.
        scale: float32 [out].
    """

    levels: I8
    scale: F32

    @property
    def real(self) -> F64:
        """Return the weight that the levels stand for, float64 in the shape of the levels."""
        return self.levels * self.scale.astype(np.float64)[:, None, None, None]


def quantize_weight(weight: F32) -> QuantizedWeight:
    """Round each output channel to the nearest levels of its own scale.

    Args:
        weight: float32 [out, in / groups, kernel, kernel].
    """
    scale = weight_scale(weight)
    levels = np.rint(weight / scale[:, None, None, None]).clip(-WEIGHT_LIMIT, WEIGHT_LIMIT)
    return QuantizedWeight(levels.astype(np.int8), scale)


def weight_scale(weight: F32) -> F32:
    """Return the smallest scales, float32 [out], that are safe; a channel of zeros has 1.

    x86 processors without VNNI multiply pairs of neighbouring inputs (uint8, up to 255) and
    weights and add the two products in 16 bits, saturating. So that no sum can exceed
    32767 = 128.5 * 255, two neighbours of one sign share `PAIR_LIMIT` levels; results are
    then the same on all processors. Depthwise kernels do not pair.

    Args:
        weight: float32 [out, in / groups, kernel, kernel].
    """
    # In the order of the products: rows, columns, input channels.
    products = weight.transpose(0, 2, 3, 1).reshape(len(weight), -1)
    needed = np.abs(products).max(axis=1) / WEIGHT_LIMIT
    if weight.shape[1] > 1:
        even = np.pad(products, ((0, 0), (0, products.shape[1] % 2)))
        pairs = even.reshape(len(weight), -1, 2)
        positive = np.maximum(pairs, 0).sum(axis=2).max(axis=1)
        negative = np.maximum(-pairs, 0).sum(axis=2).max(axis=1)
        needed = np.maximum(needed, np.maximum(positive, negative) / PAIR_LIMIT)
    return np.where(needed > 0, needed, 1).astype(np.float32)


def quantize_bias(bias: F32, scale: F32) -> I32:
    """Quantize a bias, float32 [out], by float32 [out] scales s_input * s_weight to int32 [out]."""
    limits = np.iinfo(np.int32)
    levels = np.rint(bias.astype(np.float64) / scale).clip(limits.min, limits.max)
    return levels.astype(np.int32)
