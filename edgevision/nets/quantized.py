"""A network with all the numbers that its INT8 graph needs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from edgevision.nets.quantize import QuantizedWeight, quantize_weight
from edgevision.nets.rounding import round_to_inputs
from edgevision.nets.weights import layer_weights

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgevision.nets.graph import Network
    from edgevision.nets.moments import Moments
    from edgevision.nets.quantize import Affine
    from edgevision.nets.weights import Weights
    from edgevision.records import F32


@dataclass(frozen=True, slots=True)
class QuantizedNetwork:
    """A network, its activations' quantization, and its weights for a BGR image.

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
    """Round pointwise weights and correct all biases for the inputs that layers really get.

    Rounding W to W' shifts a layer's mean output by (W' - W) E[x]; the bias takes that back
    (Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias
    Correction", section 4.2).

    Args:
        nearest: the network with every weight at its nearest level.
        weights: the float weights that it was rounded from.
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
