"""The heads of the networks: SSD with its anchors, and the classifier.

SSD (Liu et al. 2016, "SSD: Single Shot MultiBox Detector") has the layers `extras.<i>.reduce`
(1x1) and `extras.<i>.conv` (3x3, stride 2) with i from 0 to 3, and `head.<k>.box` and
`head.<k>.class` (1x1) on feature map k, 0 to 5. Its outputs are `box_encodings` [1, a, 4] as
(ty, tx, th, tw) and `class_predictions` [1, a, classes] as logits.

SSDLite (Sandler et al. 2018, section 6.2) is depthwise separable too: its extra stages have
`extras.<i>.depthwise` (3x3, stride 2) and `extras.<i>.pointwise` in place of `conv`, and each
predictor follows a depthwise 3x3, `head.<k>.<kind>.depthwise`.

The classifier is the mean of the last map and one linear layer: layers `pool` and `classifier`
(1x1 on the one cell), output `logits` [1, classes].
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

from edgevision.model_builder.blocks import depthwise_separable
from edgevision.model_builder.graph import Activation
from edgevision.model_builder.quantize import Range
from edgevision.model_card import AnchorMap, AnchorShape, BoxCoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgevision.model_builder.graph import FeatureMap
    from edgevision.model_builder.graph_builder import GraphBuilder

BOX_OUTPUT = "box_encodings"
CLASS_OUTPUT = "class_predictions"
LOGITS_OUTPUT = "logits"

# The label that a detector's class 0 has in `labels.txt`.
BACKGROUND = "???"

# The factors that box offsets were multiplied by in training: SSD's variances of 0.1 and 0.2.
BOX_CODER = BoxCoder(centre_divisor=10.0, size_divisor=5.0)

# The ranges that the outputs' integers cover. A size offset of +-12 is a factor of e^2.4 = 11
# larger or smaller; the head emits values down to -80 where there is no object. Logits of -8 and
# 8 are scores of 0.0003 and 0.9997.
OUTPUT_RANGES = {BOX_OUTPUT: Range(-12.0, 12.0), CLASS_OUTPUT: Range(-8.0, 8.0)}

# Channels of the 3x3 convolutions after the backbone; the 1x1 before each has half as many.
EXTRA_CHANNELS = (512, 256, 256, 128)  # maps of 5, 3, 2 and 1 cells a side for an image of 300


@dataclass(frozen=True, slots=True)
class AnchorSettings:
    """The settings from which the anchors were generated in training.

    Attributes:
        min_scale: side of the second map's square anchor, as a fraction of the image.
        max_scale: the same for the last map.
        lowest_scale: side of the small square anchor on the first map.
        ratios: width / height of the anchors on every map but the first.
    """

    min_scale: float = 0.2
    max_scale: float = 0.95
    lowest_scale: float = 0.1
    ratios: tuple[float, ...] = (1.0, 2.0, 1 / 2, 3.0, 1 / 3)


def append_ssd(
    graph: GraphBuilder, last: FeatureMap, *, classes: int, lite: bool
) -> tuple[AnchorMap, ...]:
    """Append the whole SSD head to a backbone and return the anchors of the outputs' rows.

    The first map is the input of the backbone's last convolution of stride 2: the last map at
    stride 16, in MobileNetV2 the expansion in block 13 (Sandler et al. 2018, section 6.2).

    Args:
        graph: holds the backbone and nothing else.
        last: the backbone's last map.
        classes: number of classes, the background included.
        lite: SSDLite, with depthwise separable convolutions in the head.
    """
    maps = [graph.last_halved(), last, *extra_stages(graph, last, lite=lite)]
    anchors = anchor_maps(maps, AnchorSettings())
    predictors(graph, maps, anchors, classes=classes, lite=lite)
    return anchors


def extra_stages(graph: GraphBuilder, source: FeatureMap, *, lite: bool) -> list[FeatureMap]:
    """Append the extra stages after the backbone and return their maps, largest first."""
    maps = []
    for index, channels in enumerate(EXTRA_CHANNELS):
        name = f"extras.{index}"
        source = graph.conv(f"{name}.reduce", source, channels // 2, kernel=1)
        if lite:
            source = depthwise_separable(graph, name, source, channels, stride=2)
        else:
            source = graph.conv(f"{name}.conv", source, channels, kernel=3, stride=2)
        maps.append(source)
    return maps


def predictors(
    graph: GraphBuilder,
    maps: Sequence[FeatureMap],
    anchors: Sequence[AnchorMap],
    *,
    classes: int,
    lite: bool,
) -> None:
    """Append a box and a class convolution (1x1, linear) to every map, and the two outputs.

    Args:
        graph: the graph to append to.
        maps: the feature maps, largest first.
        anchors: the anchors of each map.
        classes: number of classes, the background included.
        lite: with a depthwise convolution before each of them.
    """
    boxes: list[FeatureMap] = []
    logits: list[FeatureMap] = []
    for index, (source, shapes) in enumerate(zip(maps, anchors, strict=True)):
        count = len(shapes.shapes)
        for kind, width, heads in (("box", 4, boxes), ("class", classes, logits)):
            name, read = f"head.{index}.{kind}", source
            if lite:
                read = graph.depthwise(f"{name}.depthwise", source, kernel=3)
            head = graph.conv(
                name,
                read,
                count * width,
                kernel=1,
                activation=Activation.LINEAR,
                batch_norm=False,
            )
            heads.append(head)
    graph.predictions(BOX_OUTPUT, boxes, width=4)
    graph.predictions(CLASS_OUTPUT, logits, width=classes)


def anchor_maps(maps: Sequence[FeatureMap], settings: AnchorSettings) -> tuple[AnchorMap, ...]:
    """Return the anchors of every feature map.

    Scales are linear over the maps, s_k = min + (max - min) * k / (m - 1) for k from 0, and
    s_m = 1. The first map has three anchors: a small square and ratios 2 and 1/2 at s_0. Each
    other map has all ratios at s_k, then a square of sqrt(s_k * s_(k+1)) (section 2.2).
    """
    step = (settings.max_scale - settings.min_scale) / (len(maps) - 1)
    scales = [settings.min_scale + step * k for k in range(len(maps))]
    lowest = (
        AnchorShape(scale=settings.lowest_scale, ratio=1.0),
        AnchorShape(scale=scales[0], ratio=2.0),
        AnchorShape(scale=scales[0], ratio=1 / 2),
    )
    others = [
        (
            *(AnchorShape(scale=scale, ratio=ratio) for ratio in settings.ratios),
            AnchorShape(scale=sqrt(scale * following), ratio=1.0),
        )
        for scale, following in zip(scales[1:], [*scales[2:], 1.0], strict=True)
    ]
    return tuple(
        AnchorMap(rows=m.rows, columns=m.columns, shapes=shapes)
        for m, shapes in zip(maps, [lowest, *others], strict=True)
    )


def append_classifier(graph: GraphBuilder, source: FeatureMap, *, classes: int) -> None:
    """Append a classifier to a network's last map."""
    pooled = graph.pool("pool", source)
    scores = graph.conv(
        "classifier",
        pooled,
        classes,
        kernel=1,
        activation=Activation.LINEAR,
        batch_norm=False,
    )
    graph.logits(LOGITS_OUTPUT, scores)
