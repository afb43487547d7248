"""From float weights and images to a quantized network, in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevision.nets.calibrate import choose_activations, measure_ranges
from edgevision.nets.moments import measure_moments
from edgevision.nets.quantized import QuantizedNetwork, fit_to_inputs, quantize_network
from edgevision.nets.weights import reading_bgr

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgevision.nets.graph import Network
    from edgevision.nets.progress import Progress
    from edgevision.nets.quantize import Range
    from edgevision.nets.weights import Weights
    from edgevision.records import U8


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
        output_ranges: as `choose_activations` takes them.
        on_progress: told about every image.
    """
    ranges = measure_ranges(network, weights, images, on_progress)
    activations = choose_activations(network, ranges, output_ranges)
    bgr = reading_bgr(network, weights)
    nearest = quantize_network(network, bgr, activations)
    return fit_to_inputs(nearest, bgr, measure_moments(nearest, images, on_progress))
