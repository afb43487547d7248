"""MobileNetV1 and MobileNetV2.

MobileNetV1 (Howard et al. 2017, "MobileNets: Efficient Convolutional Neural Networks"). Layer
names: `stem`, `blocks.<i>.depthwise|pointwise` with i from 0 to 12; in the variant with standard
convolutions `blocks.<i>.conv`.

MobileNetV2 (Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks"). Layer
names: `stem`, `blocks.<i>.expand|depthwise|project|add` with i from 0 to 16, `final`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from edgevision.model_builder.blocks import (
    MBConv,
    depthwise_separable,
    inverted_residuals,
    scale_channels,
)

if TYPE_CHECKING:
    from edgevision.model_builder.graph import FeatureMap
    from edgevision.model_builder.graph_builder import GraphBuilder


class SeparableRow(NamedTuple):
    """Lines of MobileNetV1's table 1: n separable convolutions to c channels, of stride s."""

    channels: int
    repeats: int
    stride: int


STEM_CHANNELS = 32  # 3x3, stride 2; both papers
FINAL_CHANNELS = 1280  # 1x1; MobileNetV2 only

# MobileNetV1, table 1, each pair of a depthwise and a pointwise line as one row; the side of the
# map that it gives, for an image of 224. Before the last row the paper prints stride 2, with a
# map that stays at 7: the stride is 1.
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
# MobileNetV1, table 4, with a classifier of 1000 classes at 224:
#     separable          4,231,976 parameters   568.7 M multiply-adds   70.6 % top-1
#     full convolution  29,294,088 parameters  4867 M multiply-adds     71.7 % top-1
# The paper prints 4.2 and 29.3 million parameters, 569 and 4866 million multiply-adds.

# MobileNetV2, table 2; the side of the map that each row gives, for an image of 300 and of 224.
# With a classifier of 1000 classes at 224: 3,504,872 parameters, 300.8 M multiply-adds; the
# paper's table 4 prints 3.4 M and 300 M.
TABLE_2 = (
    #      t  k  c  n  s       300  224
    MBConv(1, 3, 16, 1, 1),  # 150  112
    MBConv(6, 3, 24, 2, 2),  #  75   56
    MBConv(6, 3, 32, 3, 2),  #  38   28
    MBConv(6, 3, 64, 4, 2),  #  19   14
    MBConv(6, 3, 96, 3, 1),  #  19   14
    MBConv(6, 3, 160, 3, 2),  # 10    7
    MBConv(6, 3, 320, 1, 1),  # 10    7
)


def mobilenet_v1(graph: GraphBuilder, *, width: float = 1.0, full_conv: bool = False) -> FeatureMap:
    """Append MobileNetV1 without pooling and classifier.

    Args:
        graph: the graph to append to; its image is the input.
        width: multiplies every channel count (section 3.3).
        full_conv: use a standard 3x3 convolution in place of each separable one (table 4).

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


def mobilenet_v2(graph: GraphBuilder, *, width: float = 1.0) -> FeatureMap:
    """Append MobileNetV2 up to the last 1x1 convolution, without pooling and classifier.

    Args:
        graph: the graph to append to; its image is the input.
        width: multiplies every channel count; the last layer only grows (section 4.1).

    Returns:
        The map of layer `final`.
    """
    x = graph.conv("stem", graph.image, scale_channels(STEM_CHANNELS, width), kernel=3, stride=2)
    x = inverted_residuals(graph, x, TABLE_2, width=width)
    return graph.conv("final", x, scale_channels(FINAL_CHANNELS, max(width, 1.0)), kernel=1)
