"""Named weights: checked against the network before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from edgevision.errors import ModelMismatchError
from edgevision.records import F32

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgevision.nets.graph import Conv, Network, Shape

Weights: TypeAlias = Mapping[str, F32]


def checked_weights(network: Network, weights: Mapping[str, NDArray[Any]]) -> Weights:
    """Return the weights when they are exactly the network's.

    Raises:
        ModelMismatchError: names, types or shapes differ, or a value is not finite; the
            message has a line for every fault.
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
        faults += _faults(name, weights[name], shapes[name])
    if faults:
        raise ModelMismatchError(
            "\n".join([f"weights do not fit {network.name}:", *sorted(faults)])
        )
    return {name: weights[name] for name in shapes}


def _faults(name: str, array: NDArray[Any], shape: Shape) -> list[str]:
    faults = []
    if array.shape != shape:
        faults.append(f"{name}: expected {list(shape)}, got {list(array.shape)}")
    if array.dtype != np.float32:
        faults.append(f"{name}: expected float32, got {array.dtype}")
    elif not np.isfinite(array).all():
        faults.append(f"{name}: expected finite numbers, got NaN or infinity")
    return faults


def layer_weights(weights: Weights, conv: Conv) -> tuple[F32, F32]:
    """Return float32 [out, in / groups, kernel, kernel] and bias float32 [out] of a layer."""
    return weights[f"{conv.name}.weight"], weights[f"{conv.name}.bias"]


def reading_bgr(network: Network, weights: Weights) -> Weights:
    """Fold the colour order into the stem: weights trained on RGB, reordered to read BGR."""
    name = f"{network.stem.name}.weight"
    return {**weights, name: np.ascontiguousarray(weights[name][:, ::-1])}
