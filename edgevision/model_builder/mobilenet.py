"""MobileNetV2 (Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks").

Layer names: `stem`, `blocks.<i>.expand|depthwise|project|add` with i from 0 to 16, `final`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from edgevision.model_builder.blocks import depthwise_separable, inverted_residual, scale_channels

if TYPE_CHECKING:
    from edgevision.model_builder.graph import FeatureMap
    from edgevision.model_builder.graph_builder import GraphBuilder


class BottleneckRow(NamedTuple):
    """One line of the paper's table 2: n inverted residuals, the first of stride s."""

    expansion: int
    channels: int
    repeats: int
    stride: int


# With a classifier of 1000 classes at 224: 3,504,872 parameters, 300.8 M multiply-adds; the
# paper's table 4 prints 3.4 M and 300 M.
STEM_CHANNELS = 32  # 3x3, stride 2

FINAL_CHANNELS = 1280  # 1x1

# Table 2; the side of the map that each row gives, for an image of 300 and of 224.
TABLE_2 = (
    #   t    c  n  s     300  224
    BottleneckRow(1, 16, 1, 1),  # 150  112
    BottleneckRow(6, 24, 2, 2),  #  75   56
    BottleneckRow(6, 32, 3, 2),  #  38   28
    BottleneckRow(6, 64, 4, 2),  #  19   14
    BottleneckRow(6, 96, 3, 1),  #  19   14
    BottleneckRow(6, 160, 3, 2),  # 10    7
    BottleneckRow(6, 320, 1, 1),  # 10    7
)


def mobilenet_v2(graph: GraphBuilder, *, width: float = 1.0) -> FeatureMap:
    """Append the network up to the last 1x1 convolution, without pooling and classifier.

    Args:
        graph: the graph to append to; its image is the input.
        width: multiplies every channel count; the last layer only grows (section 4.1).

    Returns:
        The map of layer `final`.
    """
    x = graph.conv("stem", graph.image, scale_channels(STEM_CHANNELS, width), kernel=3, stride=2)
    blocks = ((row, row.stride if i == 0 else 1) for row in TABLE_2 for i in range(row.repeats))
    for index, (row, stride) in enumerate(blocks):
        x = inverted_residual(
            graph,
            f"blocks.{index}",
            x,
            scale_channels(row.channels, width),
            expansion=row.expansion,
            stride=stride,
        )
    return graph.conv("final", x, scale_channels(FINAL_CHANNELS, max(width, 1.0)), kernel=1)


# FOLDED:
# MobileNetV1 (Howard et al. 2017, "MobileNets: Efficient Convolutional Neural Networks").
#
# Layer names: `stem`, `blocks.<i>.depthwise|pointwise` with i from 0 to 12; in the twin of
# standard convolutions `blocks.<i>.conv`.


class SeparableRow(NamedTuple):
    """Lines of the paper's table 1: n separable convolutions to c channels of stride s."""

    channels: int
    repeats: int
    stride: int


# Table 1, each pair of a depthwise and a pointwise line as one row; the side of the map that
# it gives, for an image of 224. Before the last row the paper prints stride 2, with a map that
# stays at 7: the stride is 1.
TABLE_1 = (
    #   c   n  s     224
    SeparableRow(64, 1, 1),  # 112
    SeparableRow(128, 1, 2),  # 56
    SeparableRow(128, 1, 1),  # 56
    SeparableRow(256, 1, 2),  # 28
    SeparableRow(256, 1, 1),  # 28
    SeparableRow(512, 1, 2),  # 14
    SeparableRow(512, 5, 1),  # 14
    SeparableRow(1024, 1, 2),  # 7
    SeparableRow(1024, 1, 1),  # 7
)


# Table 4, with a classifier of 1000 classes at 224:
#     separable          4,231,976 parameters   568.7 M multiply-adds   70.6 % top-1
#     full convolution  29,294,088 parameters  4867 M multiply-adds     71.7 % top-1
# The paper prints 4.2 and 29.3 million parameters, 569 and 4866 million multiply-adds.


def mobilenet_v1(graph: GraphBuilder, *, width: float = 1.0, full_conv: bool = False) -> FeatureMap:
    """Append the network without pooling and classifier.

    Args:
        graph: the graph to append to; its image is the input.
        width: multiplies every channel count (section 3.3).
        full_conv: write a standard 3x3 convolution in place of each separable one (table 4).

    Returns:
        The map of the last block.
    """
    x = graph.conv("stem", graph.image, scale_channels(STEM_CHANNELS, width), kernel=3, stride=2)
    blocks = [row for row in TABLE_1 for _ in range(row.repeats)]
    for index, row in enumerate(blocks):
        name, channels = f"blocks.{index}", scale_channels(row.channels, width)
        if full_conv:
            x = graph.conv(f"{name}.conv", x, channels, kernel=3, stride=row.stride)
        else:
            x = depthwise_separable(graph, name, x, channels, stride=row.stride)
    return x
