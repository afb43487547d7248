"""Exporting a network as `numpy.npz`: a plan and its weights, for the NumPy backend.

It is written from the same network and numbers as the ONNX graphs, so the two cannot drift
apart. The bytes depend on nothing else: entries have no timestamps and are not compressed.
"""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from edgevision.inference.numpy_plan import (
    PLAN,
    AddLayer,
    ConvLayer,
    GateLayer,
    Levels,
    MeanLayer,
    Plan,
    PlanInput,
    PlanPads,
    TableLayer,
)
from edgevision.model_builder.graph import Add, Conv, GlobalPool, Predictions, SqueezeExcite
from edgevision.model_builder.quantize import PIXEL_SCALE, PIXELS
from edgevision.model_builder.weights import layer_weights, reading_bgr

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from edgevision.inference.numpy_plan import Layer
    from edgevision.model_builder.graph import Network, Node
    from edgevision.model_builder.quantize import Affine, QuantizedNetwork
    from edgevision.model_builder.weights import Weights

# The pixel value that stands for 0 in the float graph: 127.5 / 127.5 - 1.
MIDDLE = 127.5


def float_plan(network: Network, weights: Weights) -> bytes:
    """Write the network with float32 weights.

    Args:
        network: the network.
        weights: its weights, trained on RGB images of -1..1; checked.
    """
    arrays: dict[str, NDArray[Any]] = {}
    bgr = reading_bgr(network, weights)
    for conv in network.convs:
        weight, bias = layer_weights(bgr, conv)
        arrays[f"{conv.name}.weight"] = weight.astype(np.float32)
        arrays[f"{conv.name}.bias"] = bias.astype(np.float32)
    return _npz(_plan(network, offset=MIDDLE, levels={}), arrays)


def int8_plan(quantized: QuantizedNetwork) -> bytes:
    """Write the network with the INT8 graph's weights and biases.

    The integers are the INT8 graph's, and NumPy rounds every result to the same levels: a
    difference of one level in an early layer results in different boxes.
    """
    network = quantized.network
    arrays: dict[str, NDArray[Any]] = {}
    for conv in network.convs:
        weight = quantized.weights[conv.name]
        arrays[f"{conv.name}.weight"] = weight.levels
        arrays[f"{conv.name}.scale"] = weight.scale
        arrays[f"{conv.name}.bias"], _ = quantized.integer_bias(conv)
    levels = {name: _levels(affine) for name, affine in quantized.activations.items()}
    return _npz(_plan(network, offset=PIXELS.zero_point, levels=levels), arrays)


def _levels(affine: Affine) -> Levels:
    return Levels(scale=affine.scale, zero_point=affine.zero_point)


def _plan(network: Network, *, offset: float, levels: Mapping[str, Levels]) -> Plan:
    image = network.input
    return Plan(
        network=network.name,
        input=PlanInput(
            name=image.name,
            rows=image.rows,
            columns=image.columns,
            channels=image.channels,
            offset=offset,
            scale=PIXEL_SCALE,
        ),
        layers=tuple(_layer(node, levels) for node in network.nodes),
    )


def _layer(node: Node, levels: Mapping[str, Levels]) -> Layer:
    if isinstance(node, Conv):
        pads = node.pads
        return ConvLayer(
            name=node.name,
            source=node.source,
            channels=node.output.channels,
            kernel=node.kernel,
            stride=node.stride,
            groups=node.groups,
            pads=PlanPads(top=pads.top, left=pads.left, bottom=pads.bottom, right=pads.right),
            activation=node.activation.value,
            levels=levels.get(node.name),
        )
    if isinstance(node, Add):
        return AddLayer(
            name=node.name, branch=node.branch, stream=node.stream, levels=levels.get(node.name)
        )
    if isinstance(node, GlobalPool):
        return MeanLayer(name=node.name, source=node.source, levels=levels.get(node.name))
    if isinstance(node, SqueezeExcite):
        return GateLayer(
            name=node.name,
            source=node.source,
            factors=node.factors,
            levels=levels.get(node.name),
        )
    width = node.width if isinstance(node, Predictions) else node.source.channels
    sources = tuple(source.name for source in node.sources)
    return TableLayer(name=node.name, sources=sources, width=width)


def _npz(plan: Plan, arrays: Mapping[str, NDArray[Any]]) -> bytes:
    text = plan.model_dump_json(exclude_none=True).encode()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in {PLAN: np.frombuffer(text, np.uint8), **arrays}.items():
            entry = io.BytesIO()
            np.lib.format.write_array(
                entry, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False
            )
            # ZipInfo's default time is always 1 January 1980.
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), entry.getvalue())
    return file.getvalue()
