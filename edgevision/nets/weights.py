"""Named weights: checked against the network before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from edgevision.errors import ModelMismatchError
from edgevision.records import F32

if TYPE_CHECKING:
    from edgevision.nets.graph import Conv, Network

Weights: TypeAlias = Mapping[str, F32]


def checked_weights(network: Network, weights: Weights) -> Weights:
    """Return the weights when they are exactly the network's.

    Raises:
        ModelMismatchError: names or shapes differ, or a value is not finite; the message
            has a line for every fault.
    """
    shapes = network.weight_shapes
    faults = [
        f"{name}: expected {list(shapes[name])}, got nothing" for name in shapes.keys() - weights
    ]
    faults += [
        f"{name}: expected no such layer, got {list(weights[name].shape)}"
        for name in weights.keys() - shapes.keys()
    ]
    for name in shapes.keys() & weights.keys():
        array = weights[name]
        if array.shape != shapes[name]:
            faults.append(f"{name}: expected {list(shapes[name])}, got {list(array.shape)}")
        elif not np.isfinite(array).all():
            faults.append(f"{name}: expected finite numbers, got NaN or infinity")
    if faults:
        raise ModelMismatchError(
            "\n".join([f"weights do not fit {network.name}:", *sorted(faults)])
        )
    return {name: weights[name].astype(np.float32) for name in shapes}


def layer_weights(weights: Weights, conv: Conv) -> tuple[F32, F32]:
    """Return float32 [out, in / groups, kernel, kernel] and bias float32 [out] of a layer."""
    return weights[f"{conv.name}.weight"], weights[f"{conv.name}.bias"]


def reading_bgr(network: Network, weights: Weights) -> Weights:
    """Fold the colour order into the stem: weights trained on RGB, reordered to read BGR."""
    name = f"{network.stem.name}.weight"
    return {**weights, name: np.ascontiguousarray(weights[name][:, ::-1])}
