"""The default network: MobileNetV2 1.0 at 300x300 under an SSD head."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevision.nets.builder import GraphBuilder
from edgevision.nets.mobilenet_v2 import mobilenet_v2
from edgevision.nets.ssd import AnchorSettings, anchor_maps, extra_stages, predictors

if TYPE_CHECKING:
    from edgevision.card import AnchorMap
    from edgevision.nets.graph import Network

SIDE = 300
# The last block at stride 16 widens 96 to 576 channels; the head reads that expansion
# (Sandler et al. 2018, section 6.2).
FIRST_MAP = "blocks.13.expand"


def ssd_mobilenet_v2(*, classes: int) -> tuple[Network, tuple[AnchorMap, ...]]:
    """Return the network and the anchors that its rows of output belong to.

    Args:
        classes: number of classes, the background included.
    """
    graph = GraphBuilder(rows=SIDE, columns=SIDE, channels=3)
    final = mobilenet_v2(graph)
    maps = [graph.map(FIRST_MAP), final, *extra_stages(graph, final)]
    anchors = anchor_maps(maps, AnchorSettings())
    predictors(graph, maps, anchors, classes=classes)
    return graph.build("ssd_mobilenet_v2"), anchors
