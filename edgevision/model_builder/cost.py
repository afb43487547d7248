"""The cost of a network: parameters and multiply-adds, layer by layer.

Counted as the papers count: parameters as trained, so a convolution with batch normalization
has its weights and, per channel, a scale and a shift; multiply-adds of the convolutions only,
for one image. Additions, means, gates and activations are not counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import prod
from typing import TYPE_CHECKING

from edgevision.model_builder.graph import Conv, SqueezeExcite

if TYPE_CHECKING:
    from edgevision.model_builder.graph import FeatureMap, Network


class Kind(Enum):
    """The kind of a convolution."""

    STANDARD = "standard"
    DEPTHWISE = "depthwise"
    POINTWISE = "pointwise"
    DENSE = "dense"
    """1x1 on the single cell of a global mean: squeeze-and-excitation, classifier."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Parameters and multiply-adds; costs can be added.

    Attributes:
        parameters: trained numbers.
        multiply_adds: multiplications for one image.
    """

    parameters: int = 0
    multiply_adds: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.parameters + other.parameters, self.multiply_adds + other.multiply_adds)


@dataclass(frozen=True, slots=True)
class LayerCost:
    """The cost of one convolution.

    Attributes:
        conv: the layer.
        kind: of the layer.
        cost: of the layer.
        standard: the cost in a network of standard convolutions. A depthwise convolution and
            the pointwise one after it become one standard convolution, counted at the
            depthwise one; the pointwise one is then 0.
    """

    conv: Conv
    kind: Kind
    cost: Cost
    standard: Cost

    @property
    def output(self) -> FeatureMap:
        """The map that the layer computes."""
        return self.conv.output


@dataclass(frozen=True, slots=True)
class NetworkCost:
    """The cost of a whole network."""

    layers: tuple[LayerCost, ...]

    @property
    def total(self) -> Cost:
        """The network's cost."""
        return sum((layer.cost for layer in self.layers), Cost())

    @property
    def standard(self) -> Cost:
        """The cost with standard convolutions in place of separable ones."""
        return sum((layer.standard for layer in self.layers), Cost())

    def share(self, kind: Kind) -> float:
        """Return one kind of convolution's share of the multiply-adds, 0..1."""
        own = sum(layer.cost.multiply_adds for layer in self.layers if layer.kind is kind)
        return own / self.total.multiply_adds


def network_cost(network: Network) -> NetworkCost:
    """Count a network's parameters and multiply-adds."""
    pooled = network.pooled
    pairs = separable_pairs(network)
    merged = {pointwise.name for pointwise in pairs.values()}
    layers = []
    for conv in network.convs:
        own = standard = conv_cost(conv)
        if conv.name in pairs:
            standard = _standard(conv, pairs[conv.name])
        elif conv.name in merged:
            standard = Cost()
        layers.append(LayerCost(conv, _kind(conv, pooled), own, standard))
    return NetworkCost(tuple(layers))


def conv_cost(conv: Conv) -> Cost:
    """Count one convolution: k k (in / groups) out products per cell, and as many weights."""
    weights = prod(conv.weight_shape)
    per_channel = conv.output.channels * (2 if conv.batch_norm else 1)
    return Cost(weights + per_channel, conv.output.rows * conv.output.columns * weights)


def separable_pairs(network: Network) -> dict[str, Conv]:
    """Return the pointwise convolution that reads each depthwise one, by the latter's name.

    Squeeze-and-excitation may be between the two.
    """
    gated = {node.name: node.source for node in network.nodes if isinstance(node, SqueezeExcite)}
    depthwise = {conv.name for conv in network.convs if conv.is_depthwise}
    found = {}
    for conv in network.convs:
        source = gated.get(conv.source, conv.source)
        if conv.kernel == 1 and source in depthwise:
            found[source] = conv
    return found


def _standard(depthwise: Conv, pointwise: Conv) -> Cost:
    weights = depthwise.kernel**2 * depthwise.in_channels * pointwise.output.channels
    per_channel = pointwise.output.channels * (2 if pointwise.batch_norm else 1)
    cells = depthwise.output.rows * depthwise.output.columns
    return Cost(weights + per_channel, cells * weights)


def _kind(conv: Conv, pooled: frozenset[str]) -> Kind:
    if conv.is_depthwise:
        return Kind.DEPTHWISE
    if conv.kernel > 1:
        return Kind.STANDARD
    return Kind.DENSE if conv.name in pooled else Kind.POINTWISE
