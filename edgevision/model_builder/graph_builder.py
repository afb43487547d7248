"""Building a network node by node; the builder works out the size of every map."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevision.errors import ModelError
from edgevision.model_builder.graph import (
    Activation,
    Add,
    Conv,
    FeatureMap,
    GlobalPool,
    Logits,
    Network,
    Node,
    Output,
    Pads,
    Predictions,
    SqueezeExcite,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


class GraphBuilder:
    """Collects nodes; each layer method appends one and returns the map it computes."""

    def __init__(
        self, *, rows: int, columns: int, channels: int, activation: Activation = Activation.RELU6
    ) -> None:
        """Start with the image.

        Args:
            rows: of the image.
            columns: of the image.
            channels: of the image.
            activation: the default activation of convolutions.

        Raises:
            ModelError: a size is not positive.
        """
        if min(rows, columns, channels) < 1:
            msg = f"expected an input of at least 1x1x1, got {rows}x{columns}x{channels}"
            raise ModelError(msg)
        self.image = FeatureMap("image", rows, columns, channels)
        self._activation = activation
        self._nodes: dict[str, Node] = {}
        self._maps = {self.image.name: self.image}

    def conv(
        self,
        name: str,
        source: FeatureMap,
        channels: int,
        *,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        activation: Activation | None = None,
        batch_norm: bool = True,
    ) -> FeatureMap:
        """Append a convolution with SAME padding to `channels` output channels."""
        rows = same_size(source.rows, stride=stride)
        columns = same_size(source.columns, stride=stride)
        output = FeatureMap(name, rows, columns, channels)
        pads = same_pads(source.rows, source.columns, kernel=kernel, stride=stride)
        self._append(
            Conv(
                name=name,
                source=source.name,
                in_channels=source.channels,
                output=output,
                kernel=kernel,
                stride=stride,
                groups=groups,
                pads=pads,
                activation=activation or self._activation,
                batch_norm=batch_norm,
            )
        )
        return output

    def depthwise(
        self, name: str, source: FeatureMap, *, kernel: int, stride: int = 1
    ) -> FeatureMap:
        """Append a depthwise convolution: every channel has its own filter."""
        channels = source.channels
        return self.conv(name, source, channels, kernel=kernel, stride=stride, groups=channels)

    def add(self, name: str, *, branch: FeatureMap, stream: FeatureMap) -> FeatureMap:
        """Append the residual sum of two maps of one shape."""
        output = FeatureMap(name, stream.rows, stream.columns, stream.channels)
        self._append(Add(name, branch.name, stream.name, output))
        return output

    def pool(self, name: str, source: FeatureMap) -> FeatureMap:
        """Append the mean over all cells: a one-cell map with the source's channels."""
        output = FeatureMap(name, 1, 1, source.channels)
        self._append(GlobalPool(name, source.name, output))
        return output

    def gate(self, name: str, source: FeatureMap, factors: FeatureMap) -> FeatureMap:
        """Append the product of a map and one factor per channel."""
        output = FeatureMap(name, source.rows, source.columns, source.channels)
        self._append(SqueezeExcite(name, source.name, factors.name, output))
        return output

    def logits(self, name: str, source: FeatureMap) -> Logits:
        """Append an output: a one-cell map as [1, classes]."""
        node = Logits(name, source)
        self._append(node)
        return node

    def predictions(self, name: str, sources: Sequence[FeatureMap], *, width: int) -> Predictions:
        """Append an output: the head maps as one table with `width` numbers a row."""
        node = Predictions(name, tuple(sources), width)
        self._append(node)
        return node

    def map(self, name: str) -> FeatureMap:
        """Return the map that the layer `name` computes.

        Raises:
            ModelError: there is no such layer.
        """
        if name not in self._maps:
            msg = f"expected the name of a layer, got {name!r}"
            raise ModelError(msg)
        return self._maps[name]

    def last_halved(self) -> FeatureMap:
        """Return the map that the last convolution of stride 2 reads.

        Raises:
            ModelError: there is no such convolution.
        """
        convs = [node for node in self._nodes.values() if isinstance(node, Conv)]
        halving = [conv.source for conv in convs if conv.stride == 2]
        if not halving:
            msg = "expected a network with a convolution of stride 2, got one without"
            raise ModelError(msg)
        return self._maps[halving[-1]]

    def build(self, name: str) -> Network:
        """Return the finished network."""
        return Network(name, self.image, tuple(self._nodes.values()))

    def _append(self, node: Node) -> None:
        if node.name in self._nodes:
            msg = f"expected a unique layer name, got {node.name!r} a second time"
            raise ModelError(msg)
        self._nodes[node.name] = node
        if not isinstance(node, Output):
            self._maps[node.name] = node.output


def same_pads(rows: int, columns: int, *, kernel: int, stride: int) -> Pads:
    """Return the zeros that TensorFlow's SAME padding adds around a map.

    An odd cell is added after the map (bottom, right), not before it. At stride 2 the padding
    is therefore asymmetric, and a network trained with it cannot be run with the symmetric
    padding of other frameworks.
    """
    top, bottom = _along(rows, kernel, stride)
    left, right = _along(columns, kernel, stride)
    return Pads(top, left, bottom, right)


def same_size(size: int, *, stride: int) -> int:
    """Return the output size of a SAME convolution: ceil(size / stride)."""
    return -(-size // stride)


def _along(size: int, kernel: int, stride: int) -> tuple[int, int]:
    total = max((same_size(size, stride=stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2
