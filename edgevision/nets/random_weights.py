"""Weights for a network that nobody has trained, to try out its size and speed.

Drawn from a normal distribution whose spread keeps values near 1 before every activation
(He et al. 2015, "Delving Deep into Rectifiers", section 2.2): one over the fan-in and over
the mean square of what the layer reads. That is 1/2 behind ReLU, hence He's factor of 2.
"""

from __future__ import annotations

from math import prod, sqrt
from typing import TYPE_CHECKING

import numpy as np

from edgevision.nets.graph import Activation, Add, Conv, Gate

if TYPE_CHECKING:
    from edgevision.nets.graph import Layer, Network
    from edgevision.nets.weights import Weights
    from edgevision.records import F32

# E[f(x)^2] of a normal x of variance 1.
MEAN_SQUARES = {
    Activation.LINEAR: 1.0,
    Activation.RELU: 0.5,
    Activation.RELU6: 0.5,
    Activation.SILU: 0.356,
    Activation.HARD_SWISH: 0.332,
    Activation.SIGMOID: 0.293,
}
IMAGE_MEAN_SQUARE = 1 / 3  # of evenly spread numbers of -1..1
BIAS_SPREAD = 0.1


def random_weights(network: Network, *, seed: int) -> Weights:
    """Draw weights and biases for every layer; the same seed gives the same numbers.

    Args:
        network: the network.
        seed: 0 or more.
    """
    rng = np.random.default_rng(seed)
    squares = {network.input.name: IMAGE_MEAN_SQUARE}
    weights: dict[str, F32] = {}
    for layer in network.layers:
        squares[layer.name] = _mean_square(layer, squares)
        if isinstance(layer, Conv):
            fan_in = prod(layer.weight_shape[1:])
            spread = 1 / sqrt(fan_in * squares[layer.source])
            drawn = rng.standard_normal(layer.weight_shape, np.float32)
            weights[f"{layer.name}.weight"] = drawn * np.float32(spread)
            drawn = rng.standard_normal(layer.output.channels, np.float32)
            weights[f"{layer.name}.bias"] = drawn * np.float32(BIAS_SPREAD)
    return weights


def _mean_square(layer: Layer, squares: dict[str, float]) -> float:
    if isinstance(layer, Conv):
        return MEAN_SQUARES[layer.activation]
    if isinstance(layer, Add):
        return squares[layer.branch] + squares[layer.stream]
    if isinstance(layer, Gate):
        return squares[layer.source] * squares[layer.factors]
    return squares[layer.source]
