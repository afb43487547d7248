"""The default network: MobileNetV2 1.0 at 300x300 under an SSD head."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevision.nets.architectures import Head, architecture, lay_out

if TYPE_CHECKING:
    from edgevision.card import AnchorMap
    from edgevision.nets.graph import Network

SIDE = 300


def ssd_mobilenet_v2(*, classes: int) -> tuple[Network, tuple[AnchorMap, ...]]:
    """Return the network and the anchors that its rows of output belong to.

    Args:
        classes: number of classes, the background included.
    """
    plan = lay_out(architecture("mobilenet_v2"), head=Head.SSD, side=SIDE, classes=classes - 1)
    return plan.network, plan.anchors
