"""INT8 quantization: r = s (q - z) with real number r, scale s, integer q, zero point z.

Activations are uint8 with a zero point, one scale a tensor; weights int8 with z = 0, one
scale an output channel; biases int32 with z = 0 and the scale of the sum of products,
s = s_input * s_weight (Jacob et al. 2018, "Quantization and Training of Neural Networks for
Efficient Integer-Arithmetic-Only Inference", section 2).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, frexp, ldexp
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgevision.model_builder.weights import layer_weights

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgevision.frames import F32
    from edgevision.model_builder.graph import Conv, Network
    from edgevision.model_builder.weights import Weights

I8: TypeAlias = NDArray[np.int8]
I32: TypeAlias = NDArray[np.int32]
F64: TypeAlias = NDArray[np.float64]

LEVELS = 255  # steps between the 256 values of a uint8
WEIGHT_LIMIT = 127  # -128 is left out, so that the range is symmetric
# 255 * (126 + 2) < 32767: each of a pair may have been rounded by up to one level.
PAIR_LIMIT = 126
SCALE_BITS = 8  # significant bits of an activation's scale
PASSES = 4  # over the input channels, at most, in rounding a 1x1 convolution

# Pixels 0..255 become -1..1, as MobileNet was trained.
PIXEL_SCALE = 1 / 127.5
HALF_STEP = 0.5 * PIXEL_SCALE


@dataclass(frozen=True, slots=True)
class Range:
    """The real numbers a tensor takes; 0 is always included, so zero padding is exact."""

    low: float
    high: float

    def __post_init__(self) -> None:
        """Extend the range to include 0."""
        object.__setattr__(self, "low", min(self.low, 0.0))
        object.__setattr__(self, "high", max(self.high, 0.0))

    def union(self, other: Range) -> Range:
        """Return the smallest range that includes both."""
        return Range(min(self.low, other.low), max(self.high, other.high))


@dataclass(frozen=True, slots=True)
class Affine:
    """A tensor's uint8 quantization: r = scale (q - zero_point)."""

    scale: float
    zero_point: int


# A sigmoid lies between 0 and 1; the last of the 256 values is 255 / 256.
SIGMOIDS = Affine(scale=1 / 256, zero_point=0)

# A pixel p stands for p / 127.5 - 1 = (p - 127.5) / 127.5. A zero point is an integer, so the
# graph reads (p - 128) / 127.5, and the missing half step goes into the stem's bias. Only the
# padding, which stays at 0, is off by half a step.
PIXELS = Affine(scale=PIXEL_SCALE, zero_point=128)


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
        """Return the dequantized weight, float64 in the shape of the levels."""
        return self.levels * self.scale.astype(np.float64)[:, None, None, None]


@dataclass(frozen=True, slots=True)
class Moments:
    """Statistics of a map over all cells of all images; `calibrate.measure_moments` takes them.

    Attributes:
        mean: float64 [channels], real values.
        covariance: float64 [channels, channels], real values squared; None where no 1x1
            convolution reads the map.
    """

    mean: F64
    covariance: F64 | None


@dataclass(frozen=True, slots=True)
class QuantizedNetwork:
    """A network with all the numbers that its INT8 graph needs; it reads a BGR image.

    Attributes:
        network: the layers.
        activations: the quantization of every layer's result and, under the name of an
            output, the one that all maps of this output share.
        weights: by layer, for an image of real numbers -1..1.
        biases: by layer, float32 [out], for the same image; not yet quantized.
    """

    network: Network
    activations: Mapping[str, Affine]
    weights: Mapping[str, QuantizedWeight]
    biases: Mapping[str, F32]

    @property
    def affines(self) -> dict[str, Affine]:
        """`activations`, and the quantization of the image."""
        return {**self.activations, self.network.input.name: PIXELS}

    def integer_bias(self, conv: Conv) -> tuple[I32, F32]:
        """Return a layer's bias as the INT8 graph adds it, int32 [out], and its scale [out]."""
        weight = self.weights[conv.name]
        bias = self.biases[conv.name]
        if conv.source == self.network.input.name:
            bias = (bias + HALF_STEP * weight.real.sum(axis=(1, 2, 3))).astype(np.float32)
        scale = np.float32(self.affines[conv.source].scale) * weight.scale
        return quantize_bias(bias, scale), scale


def quantize_network(
    network: Network, weights: Weights, activations: Mapping[str, Affine]
) -> QuantizedNetwork:
    """Round every weight to its nearest level.

    Args:
        network: the network.
        weights: its float weights, for a BGR image.
        activations: as in `QuantizedNetwork`.
    """
    layers = {conv.name: layer_weights(weights, conv) for conv in network.convs}
    return QuantizedNetwork(
        network,
        activations,
        {name: quantize_weight(weight) for name, (weight, _) in layers.items()},
        {name: bias for name, (_, bias) in layers.items()},
    )


def fit_to_inputs(
    nearest: QuantizedNetwork, weights: Weights, moments: Mapping[str, Moments]
) -> QuantizedNetwork:
    """Round pointwise weights and correct all biases for the inputs that layers get in practice.

    Rounding W to W' shifts a layer's mean output by (W' - W) E[x]; the bias corrects that
    (Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias
    Correction", section 4.2).

    Args:
        nearest: the network with every weight rounded to its nearest level.
        weights: the float weights before rounding.
        moments: the mean, and for the inputs of 1x1 convolutions the covariance, of the image
            and of every layer's result.
    """
    levels = dict(nearest.weights)
    biases = dict(nearest.biases)
    for conv in nearest.network.convs:
        weight, bias = layer_weights(weights, conv)
        seen = moments[conv.source]
        if conv.kernel == 1 and seen.covariance is not None:
            levels[conv.name] = round_to_inputs(weight, seen.covariance)
        lost = (weight - levels[conv.name].real).sum(axis=(2, 3))
        shift = lost[:, 0] * seen.mean if conv.is_depthwise else (lost * seen.mean).sum(axis=1)
        biases[conv.name] = (bias + shift).astype(np.float32)
    return replace(nearest, weights=levels, biases=biases)


def quantize_weight(weight: F32) -> QuantizedWeight:
    """Round each output channel to the nearest levels of its own scale.

    Args:
        weight: float32 [out, in / groups, kernel, kernel].
    """
    scale = weight_scale(weight)
    levels = np.rint(weight / scale[:, None, None, None]).clip(-WEIGHT_LIMIT, WEIGHT_LIMIT)
    return QuantizedWeight(levels.astype(np.int8), scale)


def weight_scale(weight: F32) -> F32:
    """Return the smallest safe scales, float32 [out]; a channel of zeros has 1.

    x86 processors without VNNI multiply pairs of neighbouring inputs (uint8, up to 255) and
    weights and add the two products in 16 bits, saturating. So that no sum can exceed
    32767 = 128.5 * 255, two neighbours of one sign share `PAIR_LIMIT` levels; the
    results are then the same on all processors. Depthwise kernels are not paired.

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


def round_to_inputs(weight: F32, covariance: F64) -> QuantizedWeight:
    """Round a 1x1 convolution's weights so that its output changes least.

    The nearest level is best for each weight alone, but not for the layer: errors of weights
    whose inputs rise and fall together can cancel (Nagel et al. 2020, "Up or Down? Adaptive
    Rounding for Post-Training Quantization"). With the error e = W' - W of one output channel
    and the covariance C of the inputs, the variance of the output's error is e C e^T. It is
    reduced by moving one weight after another to its second nearest level where that helps.

    Args:
        weight: float32 [out, in, 1, 1].
        covariance: float64 [in, in], of the input channels.

    Returns:
        The levels, each less than one step from the float weight.
    """
    scale = weight_scale(weight)
    exact = weight[:, :, 0, 0] / scale.astype(np.float64)[:, None]
    levels = np.rint(exact).clip(-WEIGHT_LIMIT, WEIGHT_LIMIT)
    error = levels - exact
    gradient = error @ covariance  # half the gradient, of every output channel
    for _ in range(PASSES):
        if not _improve(levels, error, gradient, covariance):
            break
    return QuantizedWeight(levels.astype(np.int8)[:, :, None, None], scale)


def quantize_bias(bias: F32, scale: F32) -> I32:
    """Quantize a bias, float32 [out], by float32 [out] scales s_input * s_weight to int32 [out]."""
    limits = np.iinfo(np.int32)
    levels = np.rint(bias.astype(np.float64) / scale).clip(limits.min, limits.max)
    return levels.astype(np.int32)


def affine(span: Range, *, scale: float | None = None) -> Affine:
    """Return the uint8 quantization that covers a range.

    Args:
        span: the range; 0..0 is taken as 0..1.
        scale: the scale to use; by default the smallest of `SCALE_BITS` significant bits.
    """
    if scale is None:
        scale = short_scale((span.high - span.low) / LEVELS or 1 / LEVELS)
    return Affine(scale, round(min(max(-span.low / scale, 0), LEVELS)))


def short_scale(scale: float) -> float:
    """Round up to `SCALE_BITS` significant bits.

    Ranges are measured in float32, whose last bits depend on the processor's instructions;
    rounded scales are the same on all processors. A scale never shrinks, so no further value
    saturates.
    """
    mantissa, exponent = frexp(scale)
    return ldexp(ceil(ldexp(mantissa, SCALE_BITS)), exponent - SCALE_BITS)


def _improve(levels: F64, error: F64, gradient: F64, covariance: F64) -> bool:
    """Visit every input channel once and update the first three arrays; return if any changed."""
    changed = False
    for channel in np.flatnonzero(np.diagonal(covariance)):
        step = -np.sign(gradient[:, channel])
        gain = 2 * step * gradient[:, channel] + covariance[channel, channel]
        allowed = (np.abs(error[:, channel] + step) < 1) & (
            np.abs(levels[:, channel] + step) <= WEIGHT_LIMIT
        )
        moved = np.flatnonzero((gain < 0) & allowed & (step != 0))
        if len(moved):
            changed = True
            levels[moved, channel] += step[moved]
            error[moved, channel] += step[moved]
            gradient[moved] += step[moved, None] * covariance[channel]
    return changed
