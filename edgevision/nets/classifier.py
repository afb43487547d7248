"""The classifier's head: the mean of the last map, and one linear layer.

Layer names: `pool`, `classifier` (1x1 on the one cell); output `logits` [1, classes].
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevision.nets.graph import Activation

if TYPE_CHECKING:
    from edgevision.nets.builder import GraphBuilder
    from edgevision.nets.graph import FeatureMap

LOGITS_OUTPUT = "logits"


def append_classifier(graph: GraphBuilder, source: FeatureMap, *, classes: int) -> None:
    """Append the head to a network's last map."""
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
