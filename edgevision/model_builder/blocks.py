"""The building blocks of the networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from edgevision.errors import ModelError
from edgevision.model_builder.graph import Activation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgevision.model_builder.graph import FeatureMap
    from edgevision.model_builder.graph_builder import GraphBuilder


class MBConv(NamedTuple):
    """One row of a paper's table: inverted residuals of one shape, the first with the stride."""

    expansion: int
    kernel: int
    channels: int
    repeats: int
    stride: int
    squeeze: float = 0.0
    """Channels inside squeeze-and-excitation as a fraction of the block's input; 0: none."""


def round_channels(channels: float, *, multiple: int = 8) -> int:
    """Round to the nearest multiple of 8, but never down by more than 10 %.

    This is the rule of the MobileNet reference implementations for widths other than 1.0.
    """
    rounded = max(multiple, int(channels + multiple / 2) // multiple * multiple)
    return rounded if rounded >= 0.9 * channels else rounded + multiple


def scale_channels(channels: int, width: float) -> int:
    """Return a table's channels times the width multiplier, rounded.

    Raises:
        ModelError: less than one channel is left.
    """
    if channels * width < 1:
        msg = (
            f"expected a width that leaves every layer a channel, got {width:g} for a layer of "
            f"{channels} channels: give a larger --width"
        )
        raise ModelError(msg)
    return round_channels(channels * width)


def depthwise_separable(
    graph: GraphBuilder, name: str, source: FeatureMap, channels: int, *, stride: int
) -> FeatureMap:
    """Append a depthwise separable convolution (Howard et al. 2017, figure 3).

    Layers `<name>.depthwise` (3x3) and `<name>.pointwise` (1x1).
    """
    filtered = graph.depthwise(f"{name}.depthwise", source, kernel=3, stride=stride)
    return graph.conv(f"{name}.pointwise", filtered, channels, kernel=1)


def inverted_residual(
    graph: GraphBuilder,
    name: str,
    source: FeatureMap,
    channels: int,
    *,
    expansion: int,
    stride: int,
    kernel: int = 3,
    squeeze: float = 0.0,
) -> FeatureMap:
    """Append an inverted residual with linear bottleneck (Sandler et al. 2018, figure 3b).

    Layers `<name>.expand` (1x1; none at expansion 1), `<name>.depthwise` (kernel x kernel),
    `<name>.se` (if `squeeze` is not 0), `<name>.project` (1x1, linear) and `<name>.add` (if the
    shape stays the same).
    """
    wide = source
    if expansion != 1:
        wide = graph.conv(f"{name}.expand", source, source.channels * expansion, kernel=1)
    filtered = graph.depthwise(f"{name}.depthwise", wide, kernel=kernel, stride=stride)
    if squeeze:
        reduced = max(1, int(source.channels * squeeze))
        filtered = squeeze_and_excite(graph, f"{name}.se", filtered, reduced)
    narrow = graph.conv(
        f"{name}.project", filtered, channels, kernel=1, activation=Activation.LINEAR
    )
    if stride == 1 and source.channels == channels:
        return graph.add(f"{name}.add", branch=narrow, stream=source)
    return narrow


def squeeze_and_excite(
    graph: GraphBuilder, name: str, source: FeatureMap, reduced: int
) -> FeatureMap:
    """Append squeeze-and-excitation (Hu et al. 2018, "Squeeze-and-Excitation Networks").

    Layers `<name>.pool`, `<name>.reduce` (1x1), `<name>.expand` (1x1, sigmoid) and
    `<name>.gate`; the convolutions are trained with biases instead of batch normalization.
    """
    pooled = graph.pool(f"{name}.pool", source)
    inner = graph.conv(f"{name}.reduce", pooled, reduced, kernel=1, batch_norm=False)
    factors = graph.conv(
        f"{name}.expand",
        inner,
        source.channels,
        kernel=1,
        activation=Activation.SIGMOID,
        batch_norm=False,
    )
    return graph.gate(f"{name}.gate", source, factors)


def inverted_residuals(
    graph: GraphBuilder, source: FeatureMap, rows: Iterable[MBConv], *, width: float
) -> FeatureMap:
    """Append every block of a table as `blocks.<i>`, i from 0, with its channels scaled."""
    blocks = ((row, row.stride if i == 0 else 1) for row in rows for i in range(row.repeats))
    for index, (row, stride) in enumerate(blocks):
        source = inverted_residual(
            graph,
            f"blocks.{index}",
            source,
            scale_channels(row.channels, width),
            expansion=row.expansion,
            stride=stride,
            kernel=row.kernel,
            squeeze=row.squeeze,
        )
    return source
