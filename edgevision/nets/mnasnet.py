"""MnasNet (Tan et al. 2019, "MnasNet: Platform-Aware Neural Architecture Search for Mobile").

Layer names: `stem`, `blocks.<i>.expand|depthwise|se|project|add`, `final`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgevision.nets.blocks import MBConv, inverted_residuals, scale_channels

if TYPE_CHECKING:
    from edgevision.nets.builder import GraphBuilder
    from edgevision.nets.graph import FeatureMap

SE = 0.25  # channels inside squeeze-and-excitation, of the block's input (section 4.1)
FINAL_CHANNELS = 1280  # 1x1; no width multiplies it


@dataclass(frozen=True, slots=True)
class Variant:
    """One network of the family.

    Attributes:
        stem_channels: of the 3x3 convolution of stride 2 that reads the image.
        rows: the blocks. Expansion 1 is the paper's SepConv: depthwise, then linear pointwise.
    """

    stem_channels: int
    rows: tuple[MBConv, ...]


# Figure 7; the side of the map that each row gives, for an image of 224.
# 3,887,038 parameters, 311.6 M multiply-adds; table 1 prints 3.9 M and 312 M.
A1 = Variant(
    32,
    (
        #      t  k   c  n  s  se      224
        MBConv(1, 3, 16, 1, 1),  #     112
        MBConv(6, 3, 24, 2, 2),  #      56
        MBConv(3, 5, 40, 3, 2, SE),  #  28
        MBConv(6, 3, 80, 4, 2),  #      14
        MBConv(6, 3, 112, 2, 1, SE),  # 14
        MBConv(6, 5, 160, 3, 2, SE),  #  7
        MBConv(6, 3, 320, 1, 1),  #      7
    ),
)
# Without squeeze-and-excitation (table 2); rows as in the authors' code (tensorflow/tpu).
# 4,383,312 parameters, 314.4 M multiply-adds.
B1 = Variant(
    32,
    (
        #      t  k   c  n  s      224
        MBConv(1, 3, 16, 1, 1),  # 112
        MBConv(3, 3, 24, 3, 2),  #  56
        MBConv(3, 5, 40, 3, 2),  #  28
        MBConv(6, 5, 80, 3, 2),  #  14
        MBConv(6, 3, 96, 2, 1),  #  14
        MBConv(6, 5, 192, 4, 2),  #  7
        MBConv(6, 3, 320, 1, 1),  #  7
    ),
)
# The small model of section 5.2, table 4; rows as in the authors' code (tensorflow/tpu).
# 2,030,264 parameters, 68.3 M multiply-adds, as the 2.0 M and 68 M that it states.
SMALL = Variant(
    8,
    (
        #      t  k   c  n  s  se     224
        MBConv(1, 3, 8, 1, 1),  #     112
        MBConv(3, 3, 16, 1, 2),  #     56
        MBConv(6, 3, 16, 2, 2),  #     28
        MBConv(6, 5, 32, 4, 2, SE),  # 14
        MBConv(6, 3, 32, 3, 1, SE),  # 14
        MBConv(6, 5, 88, 3, 2, SE),  #  7
        MBConv(6, 3, 144, 1, 1),  #     7
    ),
)


def mnasnet(graph: GraphBuilder, *, variant: Variant, width: float = 1.0) -> FeatureMap:
    """Append the network up to the last 1x1 convolution, without pooling and classifier.

    Args:
        graph: the graph to append to; its image is the input.
        variant: which network.
        width: multiplies every channel count but the last.

    Returns:
        The map of layer `final`.
    """
    stem = scale_channels(variant.stem_channels, width)
    x = graph.conv("stem", graph.image, stem, kernel=3, stride=2)
    x = inverted_residuals(graph, x, variant.rows, width=width)
    return graph.conv("final", x, FINAL_CHANNELS, kernel=1)
