"""A network small enough to run in a test, with every kind of layer in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgevision.model_builder.blocks import inverted_residual
from edgevision.model_builder.graph import Activation
from edgevision.model_builder.graph_builder import GraphBuilder

if TYPE_CHECKING:
    from edgevision.frames import F32, U8
    from edgevision.model_builder.graph import Network
    from edgevision.model_builder.weights import Weights


@dataclass(frozen=True, slots=True)
class TinyNetwork:
    network: Network
    weights: Weights
    images: tuple[U8, ...]


def make_tiny_network(rng: np.random.Generator) -> TinyNetwork:
    graph = GraphBuilder(rows=33, columns=33, channels=3)
    x = graph.conv("stem", graph.image, 8, kernel=3, stride=2)
    x = inverted_residual(graph, "blocks.0", x, 8, expansion=1, stride=1)
    x = inverted_residual(graph, "blocks.1", x, 16, expansion=4, stride=2)
    x = inverted_residual(graph, "blocks.2", x, 16, expansion=4, stride=1)
    head = graph.conv("head", x, 10, kernel=1, activation=Activation.LINEAR)
    graph.predictions("table", [head], width=5)
    network = graph.build("tiny")
    images = tuple(rng.integers(0, 256, (33, 33, 3), np.uint8) for _ in range(8))
    return TinyNetwork(network, random_weights(network, rng), images)


def random_weights(network: Network, rng: np.random.Generator) -> dict[str, F32]:
    """Weights under which activations keep their size from layer to layer."""
    weights: dict[str, F32] = {}
    for name, shape in network.weight_shapes.items():
        spread = np.sqrt(2 / np.prod(shape[1:])) if name.endswith("weight") else 0.1
        weights[name] = rng.normal(0, spread, shape).astype(np.float32)
    return weights


def ignore_progress(step: str, done: int, total: int) -> None:
    """Take progress and say nothing."""
