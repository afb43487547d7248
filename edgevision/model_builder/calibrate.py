"""Calibration: from float weights and real images to a quantized network."""

from __future__ import annotations

from functools import reduce
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from edgevision.model_builder.graph import Activation
from edgevision.model_builder.onnx_export import GraphSession, float_onnx, int8_onnx
from edgevision.model_builder.quantize import (
    LEVELS,
    SIGMOIDS,
    Affine,
    Moments,
    QuantizedNetwork,
    Range,
    affine,
    fit_to_inputs,
    quantize_network,
)
from edgevision.model_builder.weights import reading_bgr

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from edgevision.frames import F32, I64, U8
    from edgevision.model_builder.graph import Network, Progress
    from edgevision.model_builder.quantize import F64
    from edgevision.model_builder.weights import Weights

RELU6_HIGH = 6.0

# The activations whose results have no value below their range, and few far above it.
KEPT_WHOLE = {Activation.RELU, Activation.RELU6, Activation.SIGMOID}

# Linear maps have a few extreme outliers; clipping this share at either end costs less than the
# coarser steps that they would force on all other values.
OUTLIER_SHARE = 1e-4
BINS = 4096  # of the histogram that the share is counted in

# The scale of a sum's operand is k / 255 of the sum's scale, k an integer. The exact result is
# then a multiple of 1 / 255 (an odd number) and never close to half an integer, so every processor
# rounds it alike, in whatever order it runs and fuses the float32 arithmetic.
RATIO_STEPS = 255


def quantize_on(
    network: Network,
    weights: Weights,
    images: Sequence[U8],
    output_ranges: Mapping[str, Range],
    on_progress: Progress,
) -> QuantizedNetwork:
    """Measure ranges on images, round weights and correct biases.

    Args:
        network: the network.
        weights: its float weights.
        images: each uint8 [rows, columns, 3] BGR, of the network's input size.
        output_ranges: as in `choose_activations`.
        on_progress: called for every image.
    """
    ranges = measure_ranges(network, weights, images, on_progress)
    activations = choose_activations(network, ranges, output_ranges)
    bgr = reading_bgr(network, weights)
    nearest = quantize_network(network, bgr, activations)
    return fit_to_inputs(nearest, bgr, measure_moments(nearest, images, on_progress))


def measure_ranges(
    network: Network, weights: Weights, images: Sequence[U8], on_progress: Progress
) -> dict[str, Range]:
    """Run the float graph on images and return the range of every one of `Network.tensors`.

    Results of ReLU, ReLU6 and sigmoid: from 0 to the largest value. All others: from the
    `OUTLIER_SHARE` quantile to the 1 - `OUTLIER_SHARE` quantile, to within one of `BINS`
    histogram bins.

    Args:
        network: the network.
        weights: its float weights.
        images: each uint8 [rows, columns, 3] BGR, of the network's input size.
        on_progress: called for every image.
    """
    tensors = list(network.tensors)
    kept_whole = {conv.name for conv in network.convs if conv.activation in KEPT_WHOLE}
    linear = [name for name in tensors if name not in kept_whole]
    session = GraphSession(float_onnx(network, weights, with_maps=True), tensors)
    steps = 2 * len(images)
    spans: dict[str, Range] = {}
    for index, image in enumerate(images):
        on_progress("measuring ranges", index, steps)
        for name, values in session.run(image).items():
            seen = Range(float(np.min(values)), float(np.max(values)))
            spans[name] = seen.union(spans.get(name, seen))
    counts = {name: np.zeros(BINS, np.int64) for name in linear}
    for index, image in enumerate(images, len(images)):
        on_progress("measuring ranges", index, steps)
        maps = session.run(image)
        for name in linear:
            counts[name] += _histogram(np.asarray(maps[name], np.float32), spans[name])
    on_progress("measuring ranges", steps, steps)
    return spans | {name: without_outliers(spans[name], counts[name]) for name in linear}


def without_outliers(span: Range, counts: I64) -> Range:
    """Clip `OUTLIER_SHARE` of the values at either end of a range.

    Args:
        span: from the smallest to the largest value.
        counts: int64 [bins], the number of values in each of equal parts of the range.
    """
    cumulated = np.cumsum(counts)
    edges = np.linspace(span.low, span.high, len(counts) + 1)
    first = np.searchsorted(cumulated, cumulated[-1] * OUTLIER_SHARE)
    last = np.searchsorted(cumulated, cumulated[-1] * (1 - OUTLIER_SHARE))
    return Range(float(edges[first]), float(edges[last + 1]))


def choose_activations(
    network: Network, ranges: Mapping[str, Range], output_ranges: Mapping[str, Range]
) -> dict[str, Affine]:
    """Return the quantization of every one of `Network.tensors` and of every output.

    Args:
        network: the network.
        ranges: the range of every one of `Network.tensors`.
        output_ranges: by output, where its range is not the measured range of its maps. All
            maps of an output share one quantization, so that they can be joined as integers.
    """
    chosen = {name: affine(ranges[name]) for name in network.tensors}
    for conv in network.convs:
        if conv.activation is Activation.RELU6:
            chosen[conv.name] = Affine(min(chosen[conv.name].scale, RELU6_HIGH / LEVELS), 0)
        elif conv.activation is Activation.SIGMOID:
            chosen[conv.name] = SIGMOIDS
    for add in reversed(network.adds):  # a stream's last sum first: the earlier ones depend on it
        total = chosen[add.name]
        for name in (add.branch, add.stream):
            chosen[name] = _operand(ranges[name], total)
    for table in network.outputs:
        seen = [ranges[source.name] for source in table.sources]
        quantized = affine(output_ranges.get(table.name) or reduce(Range.union, seen))
        chosen |= dict.fromkeys([table.name, *(s.name for s in table.sources)], quantized)
    return chosen


def measure_moments(
    quantized: QuantizedNetwork, images: Sequence[U8], on_progress: Progress
) -> dict[str, Moments]:
    """Run the INT8 graph and return the moments of the image and of every convolution's input.

    The results are integers, and so are their sums and the sums of their products, which
    float64 holds exactly: the moments are the same on every processor.

    Args:
        quantized: the network.
        images: each uint8 [rows, columns, 3] BGR, of the network's input size.
        on_progress: called for every image.
    """
    network = quantized.network
    # A global mean gives one cell per image: too few to fit hundreds of weights to.
    pointwise = {conv.source for conv in network.convs if conv.kernel == 1} - network.pooled
    read = {conv.source for conv in network.convs}
    names = [layer.name for layer in network.layers if layer.name in read]
    session = GraphSession(int8_onnx(quantized, with_maps=True), names)
    sums = {name: _Sums(squares=name in pointwise) for name in [network.input.name, *names]}
    for index, image in enumerate(images):
        on_progress("fitting weights", index, len(images))
        sums[network.input.name].add(image.transpose(2, 0, 1))
        for name, levels in session.run(image).items():
            sums[name].add(levels[0])
    on_progress("fitting weights", len(images), len(images))
    affines = quantized.affines
    return {name: total.moments(affines[name]) for name, total in sums.items()}


class _Sums:
    """Sums of one map's integers and, with `squares`, of the products of its channels."""

    def __init__(self, *, squares: bool) -> None:
        self._count = 0
        self._total: F64 = np.zeros(1)
        self._products: F64 | None = np.zeros((1, 1)) if squares else None

    def add(self, levels: NDArray[np.generic]) -> None:
        """Add a map, uint8 [channels, rows, columns]."""
        cells = levels.reshape(len(levels), -1)
        self._count += cells.shape[1]
        self._total = self._total + np.sum(cells, axis=1, dtype=np.int64)
        if self._products is not None:
            real = cells.astype(np.float64)
            self._products = self._products + real @ real.T

    def moments(self, affine: Affine) -> Moments:
        """Return the moments of the real values."""
        mean = self._total / self._count
        covariance = None
        if self._products is not None:
            covariance = affine.scale**2 * (self._products / self._count - np.outer(mean, mean))
        return Moments(affine.scale * (mean - affine.zero_point), covariance)


def _operand(span: Range, total: Affine) -> Affine:
    steps = ceil((span.high - span.low) / LEVELS / total.scale * RATIO_STEPS)
    return affine(span, scale=total.scale * max(steps, 1) / RATIO_STEPS)


def _histogram(values: F32, span: Range) -> I64:
    width = (span.high - span.low) or 1.0
    bins = ((values - np.float32(span.low)) * np.float32(BINS / width)).astype(np.int64)
    return np.bincount(bins.clip(0, BINS - 1).ravel(), minlength=BINS)
