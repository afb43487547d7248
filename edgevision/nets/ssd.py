"""The SSD head (Liu et al. 2016, "SSD: Single Shot MultiBox Detector") and its anchors.

Layer names: `extras.<i>.reduce` (1x1) and `extras.<i>.conv` (3x3, stride 2) with i from 0 to
3; `head.<k>.box` and `head.<k>.class` on feature map k, 0 to 5; outputs `box_encodings`
[1, a, 4] as (ty, tx, th, tw) and `class_predictions` [1, a, classes] as logits.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

from edgevision.card import AnchorMap, AnchorShape
from edgevision.nets.graph import Activation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgevision.nets.builder import GraphBuilder
    from edgevision.nets.graph import FeatureMap

BOX_OUTPUT = "box_encodings"
CLASS_OUTPUT = "class_predictions"

# Channels of the 3x3 convolutions behind the backbone; the 1x1 before each has half as many.
EXTRA_CHANNELS = (512, 256, 256, 128)  # maps of 5, 3, 2 and 1 cells a side for an image of 300


@dataclass(frozen=True, slots=True)
class AnchorSettings:
    """What the anchors were generated from in training.

    Attributes:
        min_scale: side of the second map's square anchor, as a fraction of the image.
        max_scale: the same on the last map.
        lowest_scale: side of the small square anchor on the first map.
        ratios: width / height of the anchors on every map but the first.
    """

    min_scale: float = 0.2
    max_scale: float = 0.95
    lowest_scale: float = 0.1
    ratios: tuple[float, ...] = (1.0, 2.0, 1 / 2, 3.0, 1 / 3)


def extra_stages(graph: GraphBuilder, source: FeatureMap) -> list[FeatureMap]:
    """Append the stages behind the backbone and return their maps, largest first."""
    maps = []
    for index, channels in enumerate(EXTRA_CHANNELS):
        reduced = graph.conv(f"extras.{index}.reduce", source, channels // 2, kernel=1)
        source = graph.conv(f"extras.{index}.conv", reduced, channels, kernel=3, stride=2)
        maps.append(source)
    return maps


def predictors(
    graph: GraphBuilder, maps: Sequence[FeatureMap], anchors: Sequence[AnchorMap], *, classes: int
) -> None:
    """Append a box and a class convolution (1x1, linear) to every map, and the two outputs.

    Args:
        graph: the graph to append to.
        maps: the feature maps, largest first.
        anchors: the anchors of each map.
        classes: number of classes, the background included.
    """
    boxes: list[FeatureMap] = []
    logits: list[FeatureMap] = []
    for index, (source, shapes) in enumerate(zip(maps, anchors, strict=True)):
        count = len(shapes.shapes)
        for kind, width, heads in (("box", 4, boxes), ("class", classes, logits)):
            head = graph.conv(
                f"head.{index}.{kind}",
                source,
                count * width,
                kernel=1,
                activation=Activation.LINEAR,
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
