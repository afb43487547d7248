"""Where the maps of a plan lie in memory: a few blocks that are reused from map to map.

A map is written once and is dead after its last reader; then another map may have its block.
Each map is surrounded by as many zeros as its readers need for padding, so that a map is never
copied to be padded: the layer that computes it writes it straight into its frame of zeros.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from edgevision.errors import ModelError
from edgevision.inference.numpy_plan import (
    AddLayer,
    ConvLayer,
    GateLayer,
    MeanLayer,
    PlanPads,
    TableLayer,
)

if TYPE_CHECKING:
    from edgevision.frames import F32
    from edgevision.inference.numpy_plan import Layer, MapLayer, Plan, Shape

NO_PADS = PlanPads(top=0, left=0, bottom=0, right=0)
MAX_WORK_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class PlacedMap:
    """A map in its frame of zeros.

    Attributes:
        framed: float32 [rows + zeros, columns + zeros, channels].
        frame: the zeros on each side.
    """

    framed: F32
    frame: PlanPads

    @property
    def inner(self) -> F32:
        """Return the map itself, float32 [rows, columns, channels], a view."""
        return self.padded(NO_PADS)

    def padded(self, pads: PlanPads) -> F32:
        """Return the map with this many zeros around it, a view.

        Args:
            pads: on no side more than the frame has.
        """
        rows, columns, _ = self.framed.shape
        frame = self.frame
        return self.framed[
            frame.top - pads.top : rows - frame.bottom + pads.bottom,
            frame.left - pads.left : columns - frame.right + pads.right,
        ]


def place_maps(
    plan: Plan, maps: dict[str, Shape], chained: list[tuple[MapLayer, ...]]
) -> dict[str, PlacedMap]:
    """Lay out all maps of a plan, the image included.

    Args:
        plan: the layers.
        maps: (rows, columns, channels) of each map by name.
        chained: the plan's `chains`; maps of one chain never share memory.

    Raises:
        ModelError: the network needs more than `MAX_WORK_BYTES`.
    """
    frames = _frames(plan)
    sizes = {name: _framed(maps[name], frame) for name, frame in frames.items()}
    numbers = {name: prod(size) for name, size in sizes.items()}
    blocks, block_of = _share(plan, chained, numbers)
    if 4 * sum(blocks) > MAX_WORK_BYTES:
        msg = (
            f"expected a network whose maps fit into {MAX_WORK_BYTES >> 20} MiB, got "
            f"{4 * sum(blocks) >> 20} MiB"
        )
        raise ModelError(msg)
    memory = [np.zeros(size, np.float32) for size in blocks]
    return {
        name: PlacedMap(memory[block_of[name]][: numbers[name]].reshape(size), frames[name])
        for name, size in sizes.items()
    }


def chains(plan: Plan) -> list[tuple[MapLayer, ...]]:
    """Group the layers, in order, into chains that are computed together, band by band.

    A chain is a depthwise convolution with the convolution before it and the pointwise one
    after it, where they follow each other directly; every other layer is a chain of its own.
    """
    found: list[tuple[MapLayer, ...]] = []
    for layer in plan.layers:
        if isinstance(layer, TableLayer):
            continue
        chain = found[-1] if found else ()
        if chain and isinstance(layer, ConvLayer) and layer.source == chain[-1].name:
            filtered = [link for link in chain if isinstance(link, ConvLayer) and link.is_depthwise]
            opens = not filtered and isinstance(chain[-1], ConvLayer) and layer.is_depthwise
            closes = filtered and chain[-1] is filtered[-1] and layer.kernel == 1
            if opens or closes:
                found[-1] = (*chain, layer)
                continue
        found.append((layer,))
    return found


def sources(layer: Layer) -> tuple[str, ...]:
    """Return the names of the maps that a layer reads."""
    match layer:
        case ConvLayer() | MeanLayer():
            return (layer.source,)
        case AddLayer():
            return layer.branch, layer.stream
        case GateLayer():
            return layer.source, layer.factors
        case TableLayer():
            return layer.sources


def _frames(plan: Plan) -> dict[str, PlanPads]:
    """Return for each map the largest padding that any of its readers needs, on each side."""
    layers = [layer for layer in plan.layers if not isinstance(layer, TableLayer)]
    frames = {plan.input.name: NO_PADS, **{layer.name: NO_PADS for layer in layers}}
    for layer in layers:
        if isinstance(layer, ConvLayer):
            held, pads = frames[layer.source], layer.pads
            frames[layer.source] = PlanPads(
                top=max(held.top, pads.top),
                left=max(held.left, pads.left),
                bottom=max(held.bottom, pads.bottom),
                right=max(held.right, pads.right),
            )
    return frames


def _framed(shape: Shape, frame: PlanPads) -> Shape:
    rows, columns, channels = shape
    return (
        rows + frame.top + frame.bottom,
        columns + frame.left + frame.right,
        channels,
    )


def _share(
    plan: Plan, chained: list[tuple[MapLayer, ...]], sizes: dict[str, int]
) -> tuple[list[int], dict[str, int]]:
    """Assign every map a block for as long as it is read.

    Args:
        plan: the layers.
        chained: its layers without the tables, in chains.
        sizes: how many numbers each map has, its frame included.

    Returns:
        The blocks' sizes, and the index of each map's block.
    """
    last = {name: step for step, chain in enumerate(chained) for c in chain for name in sources(c)}
    for layer in plan.layers:
        if isinstance(layer, TableLayer):  # concatenated at the very end
            last |= dict.fromkeys(layer.sources, len(chained))
    blocks: list[int] = []
    block_of: dict[str, int] = {}
    free: set[int] = set()

    def take(name: str) -> None:
        size = sizes[name]
        if free:
            block = min(free, key=lambda b: (abs(blocks[b] - size), b))
            free.remove(block)
            blocks[block] = max(blocks[block], size)
        else:
            block = len(blocks)
            blocks.append(size)
        block_of[name] = block

    take(plan.input.name)
    for step, chain in enumerate(chained):
        for layer in chain:
            take(layer.name)
        seen = {layer.name for layer in chain}.union(*(sources(layer) for layer in chain))
        free |= {block_of[name] for name in seen if last.get(name, step) == step}
    return blocks, block_of
