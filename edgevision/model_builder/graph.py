"""A network as a graph of a few frozen node types, read by every exporter.

The ONNX and NumPy exporters, the weight import and the cost count all walk the same nodes, so
they cannot drift apart. Activations are float maps [1, rows, columns, channels]; a node's name
is also the name of the tensor it computes and the prefix of its weights' names:

    <name>.weight   float32 [out_channels, in_channels / groups, kernel, kernel]
    <name>.bias     float32 [out_channels]
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from math import prod
from typing import TypeAlias

Shape: TypeAlias = tuple[int, ...]
Progress: TypeAlias = Callable[[str, int, int], None]
"""How a long step reports its progress: (current step, items done, items in all), 0 done first."""


class Activation(Enum):
    """The function applied to a convolution's result."""

    LINEAR = "linear"
    RELU = "relu"
    RELU6 = "relu6"
    SILU = "silu"
    """x sigmoid(x) (Ramachandran et al. 2017, "Searching for Activation Functions": swish)."""
    HARD_SWISH = "hard_swish"
    """x clip(x + 3, 0, 6) / 6 (Howard et al. 2019, "Searching for MobileNetV3", section 5.2)."""
    SIGMOID = "sigmoid"

    @property
    def is_clip(self) -> bool:
        """Whether saturation alone computes it: linear, ReLU or ReLU6."""
        return self in {Activation.LINEAR, Activation.RELU, Activation.RELU6}


@dataclass(frozen=True, slots=True)
class FeatureMap:
    """A tensor of the graph: its name and its shape without the batch axis."""

    name: str
    rows: int
    columns: int
    channels: int


@dataclass(frozen=True, slots=True)
class Pads:
    """Zero cells added on each side of a map; `same_pads` computes them."""

    top: int
    left: int
    bottom: int
    right: int


@dataclass(frozen=True, slots=True)
class Conv:
    """A convolution with bias (batch norm folded in) and its activation.

    Attributes:
        name: of the node, its output and its weights.
        source: name of the map it reads.
        in_channels: channels of that map.
        output: the map it computes.
        kernel: side of the square kernel.
        stride: step of the kernel, in rows and in columns.
        groups: 1 for a standard convolution, in_channels for a depthwise one.
        pads: zeros around the source map.
        activation: applied to the result.
        batch_norm: whether it was trained with batch normalization in place of a bias. The
            exported network has it folded into weight and bias; only the cost differs.
    """

    name: str
    source: str
    in_channels: int
    output: FeatureMap
    kernel: int
    stride: int
    groups: int
    pads: Pads
    activation: Activation
    batch_norm: bool = True

    @property
    def weight_shape(self) -> Shape:
        """Shape of `<name>.weight`: [out_channels, in_channels / groups, rows, columns]."""
        return self.output.channels, self.in_channels // self.groups, self.kernel, self.kernel

    @property
    def is_depthwise(self) -> bool:
        """Whether every channel has its own filter."""
        return self.groups == self.in_channels == self.output.channels and self.groups > 1

    @property
    def linear_name(self) -> str:
        """Name of the result before the activation; a separate tensor unless linear."""
        return self.name if self.activation is Activation.LINEAR else f"{self.name}.linear"


@dataclass(frozen=True, slots=True)
class Add:
    """The sum of a block's branch and of the stream that bypasses the block."""

    name: str
    branch: str
    stream: str
    output: FeatureMap


@dataclass(frozen=True, slots=True)
class GlobalPool:
    """The mean of every channel over all cells: [1, 1, 1, channels]."""

    name: str
    source: str
    output: FeatureMap


@dataclass(frozen=True, slots=True)
class SqueezeExcite:
    """A map scaled by one factor per channel (squeeze-and-excitation's last step).

    Attributes:
        name: of the node and its output.
        source: name of the map.
        factors: name of the map [1, 1, 1, channels] that holds the factors, 0..1.
        output: the product, in the shape of the source.
    """

    name: str
    source: str
    factors: str
    output: FeatureMap


@dataclass(frozen=True, slots=True)
class Predictions:
    """Head maps joined to one table [1, anchors, width], ordered by map, row, column, anchor.

    Each source map has `width` channels for every anchor of a cell.
    """

    name: str
    sources: tuple[FeatureMap, ...]
    width: int

    @property
    def count(self) -> int:
        """Number of anchors over all maps."""
        cells = sum(m.rows * m.columns * m.channels for m in self.sources)
        return cells // self.width

    @property
    def shape(self) -> Shape:
        """Shape of the output."""
        return 1, self.count, self.width


@dataclass(frozen=True, slots=True)
class Logits:
    """A one-cell map as the output of a classifier: [1, classes]."""

    name: str
    source: FeatureMap

    @property
    def sources(self) -> tuple[FeatureMap, ...]:
        """The source map in a tuple, for symmetry with `Predictions`."""
        return (self.source,)

    @property
    def shape(self) -> Shape:
        """Shape of the output."""
        return 1, self.source.channels


Layer: TypeAlias = Conv | Add | GlobalPool | SqueezeExcite
Output: TypeAlias = Predictions | Logits
Node: TypeAlias = Layer | Output


@dataclass(frozen=True, slots=True)
class Network:
    """A whole network, its nodes in topological order."""

    name: str
    input: FeatureMap
    nodes: tuple[Node, ...]

    @property
    def convs(self) -> tuple[Conv, ...]:
        """All convolutions, in order."""
        return tuple(node for node in self.nodes if isinstance(node, Conv))

    @property
    def adds(self) -> tuple[Add, ...]:
        """All residual sums, in order."""
        return tuple(node for node in self.nodes if isinstance(node, Add))

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All nodes that compute a map, in order."""
        return tuple(node for node in self.nodes if isinstance(node, Layer))

    @property
    def tensors(self) -> dict[str, FeatureMap]:
        """Name and shape of every result that an INT8 graph stores, in order.

        That is every layer's result, and a convolution's result before an activation that
        saturation cannot compute.
        """
        found: dict[str, FeatureMap] = {}
        for layer in self.layers:
            if isinstance(layer, Conv) and not layer.activation.is_clip:
                found[layer.linear_name] = layer.output
            found[layer.name] = layer.output
        return found

    @property
    def pooled(self) -> frozenset[str]:
        """Names of all global means and of the maps that convolutions compute from them."""
        names: set[str] = set()
        for layer in self.layers:
            if isinstance(layer, GlobalPool) or (isinstance(layer, Conv) and layer.source in names):
                names.add(layer.name)
        return frozenset(names)

    @property
    def outputs(self) -> tuple[Output, ...]:
        """All outputs, in order."""
        return tuple(node for node in self.nodes if isinstance(node, Output))

    @property
    def stem(self) -> Conv:
        """The convolution that reads the image."""
        return next(conv for conv in self.convs if conv.source == self.input.name)

    @property
    def weight_shapes(self) -> dict[str, Shape]:
        """Name and shape of every weight array; the names are stable between versions."""
        shapes: dict[str, Shape] = {}
        for conv in self.convs:
            shapes[f"{conv.name}.weight"] = conv.weight_shape
            shapes[f"{conv.name}.bias"] = (conv.output.channels,)
        return shapes

    @property
    def parameter_count(self) -> int:
        """Number of weights and biases, batch norm folded."""
        return sum(prod(shape) for shape in self.weight_shapes.values())
