"""EfficientNet, EfficientNet-Lite and MnasNet: networks of inverted residuals.

EfficientNet: Tan & Le 2019, "EfficientNet: Rethinking Model Scaling for CNNs". MnasNet: Tan et
al. 2019, "MnasNet: Platform-Aware Neural Architecture Search for Mobile".

Layer names of all: `stem`, `blocks.<i>.expand|depthwise|se|project|add`, `final`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

from edgevision.model_builder.blocks import MBConv, inverted_residuals, scale_channels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgevision.model_builder.graph import FeatureMap
    from edgevision.model_builder.graph_builder import GraphBuilder


@dataclass(frozen=True, slots=True)
class Scaling:
    """One EfficientNet: how far the table is scaled (section 3.3).

    Attributes:
        width: multiplies channels.
        depth: multiplies the number of blocks of a row.
        side: of the training images, in pixels.
        lite: ReLU6 and no squeeze-and-excitation; stem, last convolution and the depth of the
            first and last row are not scaled.
    """

    width: float
    depth: float
    side: int
    lite: bool = False


@dataclass(frozen=True, slots=True)
class Variant:
    """One MnasNet.

    Attributes:
        stem_channels: of the 3x3 convolution of stride 2 that reads the image.
        rows: the blocks. Expansion 1 is the paper's SepConv: depthwise, then linear pointwise.
    """

    stem_channels: int
    rows: tuple[MBConv, ...]


STEM_CHANNELS = 32  # 3x3, stride 2; EfficientNet only
FINAL_CHANNELS = 1280  # 1x1; in MnasNet no width multiplies it
# Channels inside squeeze-and-excitation, as a fraction of the block's input (MnasNet,
# section 4.1); EfficientNet has the same.
SE = 0.25

# EfficientNet, table 1, rows 2 to 8; the side of the map that each row gives, for an image of 224.
TABLE_1 = (
    #      t  k   c  n  s  se      224
    MBConv(1, 3, 16, 1, 1, SE),  # 112
    MBConv(6, 3, 24, 2, 2, SE),  #  56
    MBConv(6, 5, 40, 2, 2, SE),  #  28
    MBConv(6, 3, 80, 3, 2, SE),  #  14
    MBConv(6, 5, 112, 3, 1, SE),  # 14
    MBConv(6, 5, 192, 4, 2, SE),  #  7
    MBConv(6, 3, 320, 1, 1, SE),  #  7
)

# Section 3.3 scales by alpha = 1.2 (depth), beta = 1.1 (width), gamma = 1.15 (side) to powers
# that the authors' code (tensorflow/tpu) rounds to these figures. Parameters and multiply-adds
# at each network's own side; table 2 prints them rounded: 5.3 M and 0.39 B for B0, 66 M and 37 B
# for B7.
SCALINGS = {
    #              w    d  side      parameters, multiply-adds
    "b0": Scaling(1.0, 1.0, 224),  #  5,288,548    385.8 M
    "b1": Scaling(1.0, 1.1, 240),  #  7,794,184    686.8 M
    "b2": Scaling(1.1, 1.2, 260),  #  9,109,994    993.6 M
    "b3": Scaling(1.2, 1.4, 300),  # 12,233,232   1827.1 M
    "b4": Scaling(1.4, 1.8, 380),  # 19,341,616   4393.8 M
    "b5": Scaling(1.6, 2.2, 456),  # 30,389,784  10266.4 M
    "b6": Scaling(1.8, 2.6, 528),  # 43,040,704  19067.6 M
    "b7": Scaling(2.0, 3.1, 600),  # 66,347,960  37745.9 M
    # No paper: README of tensorflow/tpu/models/official/efficientnet/lite, which prints 407 M
    # multiply-adds for Lite0.
    "lite0": Scaling(1.0, 1.0, 224, lite=True),  #  4,652,008    385.2 M
    "lite1": Scaling(1.0, 1.1, 240, lite=True),  #  5,416,680    600.2 M
    "lite2": Scaling(1.1, 1.2, 260, lite=True),  #  6,092,072    859.7 M
    "lite3": Scaling(1.2, 1.4, 280, lite=True),  #  8,197,096   1383.3 M
    "lite4": Scaling(1.4, 1.8, 300, lite=True),  # 13,006,568   2553.0 M
}

# MnasNet, figure 7; the side of the map that each row gives, for an image of 224.
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

# MnasNet without squeeze-and-excitation (table 2); rows as in the authors' code (tensorflow/tpu).
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

# The small MnasNet of section 5.2, table 4; rows as in the authors' code (tensorflow/tpu).
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


def efficientnet(graph: GraphBuilder, *, scaling: Scaling, width: float = 1.0) -> FeatureMap:
    """Append an EfficientNet up to the last 1x1 convolution, without pooling and classifier.

    Args:
        graph: the graph to append to; its image is the input.
        scaling: which EfficientNet.
        width: multiplies channels once more, wherever the scaling does.

    Returns:
        The map of layer `final`.
    """
    width *= scaling.width
    ends = 1.0 if scaling.lite else width
    x = graph.conv("stem", graph.image, scale_channels(STEM_CHANNELS, ends), kernel=3, stride=2)
    x = inverted_residuals(graph, x, scaled_rows(scaling), width=width)
    return graph.conv("final", x, scale_channels(FINAL_CHANNELS, ends), kernel=1)


def scaled_rows(scaling: Scaling) -> Iterator[MBConv]:
    """Return the table with its repeats scaled, rounded up; the channels are not yet scaled."""
    for row in TABLE_1:
        kept = scaling.lite and row in {TABLE_1[0], TABLE_1[-1]}
        depth = 1.0 if kept else scaling.depth
        squeeze = 0.0 if scaling.lite else row.squeeze
        yield row._replace(repeats=ceil(row.repeats * depth), squeeze=squeeze)


def mnasnet(graph: GraphBuilder, *, variant: Variant, width: float = 1.0) -> FeatureMap:
    """Append a MnasNet up to the last 1x1 convolution, without pooling and classifier.

    Args:
        graph: the graph to append to; its image is the input.
        variant: which MnasNet.
        width: multiplies every channel count but the last.

    Returns:
        The map of layer `final`.
    """
    stem = scale_channels(variant.stem_channels, width)
    x = graph.conv("stem", graph.image, stem, kernel=3, stride=2)
    x = inverted_residuals(graph, x, variant.rows, width=width)
    return graph.conv("final", x, FINAL_CHANNELS, kernel=1)
