"""MobileNetV2 (Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks").

Layer names: `stem`, `blocks.<i>.expand|depthwise|project|add` with i from 0 to 16, `final`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from edgevision.nets.blocks import inverted_residual, scale_channels

if TYPE_CHECKING:
    from edgevision.nets.builder import GraphBuilder
    from edgevision.nets.graph import FeatureMap


class Row(NamedTuple):
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
    Row(1, 16, 1, 1),  # 150  112
    Row(6, 24, 2, 2),  #  75   56
    Row(6, 32, 3, 2),  #  38   28
    Row(6, 64, 4, 2),  #  19   14
    Row(6, 96, 3, 1),  #  19   14
    Row(6, 160, 3, 2),  # 10    7
    Row(6, 320, 1, 1),  # 10    7
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
