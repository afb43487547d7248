"""The network as a graph: a few frozen node types that every writer reads.

The ONNX writers, the weight import and the cost count all walk the same nodes, so they
cannot drift apart. Activations are float maps [1, rows, columns, channels]; a node's name is
also the name of the tensor it computes and the stem of its weights' names:

    <name>.weight   float32 [out_channels, in_channels / groups, kernel, kernel]
    <name>.bias     float32 [out_channels]
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import prod
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from edgevision.nets.padding import Pads

Shape: TypeAlias = tuple[int, ...]


class Activation(Enum):
    """What follows a convolution."""

    LINEAR = "linear"
    RELU6 = "relu6"


@dataclass(frozen=True, slots=True)
class FeatureMap:
    """A tensor of the graph: its name and its shape without the batch axis."""

    name: str
    rows: int
    columns: int
    channels: int


@dataclass(frozen=True, slots=True)
class Conv:
    """A convolution with bias (batch norm folded in) and its activation.

    Attributes:
        name: of the node, its output and its weights.
        source: name of the map it reads.
        in_channels: channels of that map.
        output: the map it computes.
        kernel: side of the square kernel.
        stride: step of the kernel, both ways.
        groups: 1 for a standard convolution, in_channels for a depthwise one.
        pads: zeros around the source map.
        activation: applied to the result.
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

    @property
    def weight_shape(self) -> Shape:
        """Shape of `<name>.weight`: output channels, input channels a group, rows, columns."""
        return self.output.channels, self.in_channels // self.groups, self.kernel, self.kernel

    @property
    def is_depthwise(self) -> bool:
        """Whether every channel has its own filter."""
        return self.groups == self.in_channels == self.output.channels and self.groups > 1


@dataclass(frozen=True, slots=True)
class Add:
    """The sum of a block's branch and of the stream that bypasses the block."""

    name: str
    branch: str
    stream: str
    output: FeatureMap


@dataclass(frozen=True, slots=True)
class Predictions:
    """Head maps laid out as one table: [1, anchors, width], by map, row, column, anchor.

    Each source map holds `width` channels for every anchor of a cell.
    """

    name: str
    sources: tuple[FeatureMap, ...]
    width: int

    @property
    def count(self) -> int:
        """Number of anchors over all maps."""
        cells = sum(m.rows * m.columns * m.channels for m in self.sources)
        return cells // self.width


Node: TypeAlias = Conv | Add | Predictions


@dataclass(frozen=True, slots=True)
class Network:
    """A whole network, nodes in an order in which they can be computed."""

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
    def outputs(self) -> tuple[Predictions, ...]:
        """The tables that leave the network, in order."""
        return tuple(node for node in self.nodes if isinstance(node, Predictions))

    @property
    def stem(self) -> Conv:
        """The convolution that reads the image."""
        return next(conv for conv in self.convs if conv.source == self.input.name)

    @property
    def weight_shapes(self) -> dict[str, Shape]:
        """Name and shape of every weight array; names are stable between versions."""
        shapes: dict[str, Shape] = {}
        for conv in self.convs:
            shapes[f"{conv.name}.weight"] = conv.weight_shape
            shapes[f"{conv.name}.bias"] = (conv.output.channels,)
        return shapes

    @property
    def parameter_count(self) -> int:
        """Number of weights and biases, batch norm folded."""
        return sum(prod(shape) for shape in self.weight_shapes.values())
