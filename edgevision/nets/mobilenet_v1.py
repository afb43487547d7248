"""MobileNetV1 (Howard et al. 2017, "MobileNets: Efficient Convolutional Neural Networks").

Layer names: `stem`, `blocks.<i>.depthwise|pointwise` with i from 0 to 12; in the twin of
standard convolutions `blocks.<i>.conv`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from edgevision.nets.blocks import depthwise_separable, scale_channels

if TYPE_CHECKING:
    from edgevision.nets.builder import GraphBuilder
    from edgevision.nets.graph import FeatureMap


class Row(NamedTuple):
    """Lines of the paper's table 1: n separable convolutions to c channels of stride s."""

    channels: int
    repeats: int
    stride: int


STEM_CHANNELS = 32  # 3x3, stride 2

# Table 1, each pair of a depthwise and a pointwise line as one row; the side of the map that
# it gives, for an image of 224. Before the last row the paper prints stride 2, with a map that
# stays at 7: the stride is 1.
TABLE_1 = (
    #   c   n  s     224
    Row(64, 1, 1),  # 112
    Row(128, 1, 2),  # 56
    Row(128, 1, 1),  # 56
    Row(256, 1, 2),  # 28
    Row(256, 1, 1),  # 28
    Row(512, 1, 2),  # 14
    Row(512, 5, 1),  # 14
    Row(1024, 1, 2),  # 7
    Row(1024, 1, 1),  # 7
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
