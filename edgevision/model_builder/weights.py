"""Named weights: checked against a network, in a file, or random.

A weights file is a NumPy archive (.npz) of one float32 array per name of
`Network.weight_shapes`.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from math import prod, sqrt
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from edgevision.errors import ModelError, ModelMismatchError, OutputError
from edgevision.files import check_regular
from edgevision.frames import F32
from edgevision.model_builder.graph import Activation, Add, Conv, SqueezeExcite

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from edgevision.model_builder.graph import Layer, Network, Shape

Weights: TypeAlias = Mapping[str, F32]

MAX_BYTES = 2 << 30

# E[f(x)^2] of a standard normal x (mean 0, variance 1).
MEAN_SQUARES = {
    Activation.LINEAR: 1.0,
    Activation.RELU: 0.5,
    Activation.RELU6: 0.5,
    Activation.SILU: 0.356,
    Activation.HARD_SWISH: 0.332,
    Activation.SIGMOID: 0.293,
}

IMAGE_MEAN_SQUARE = 1 / 3  # of numbers uniform in -1..1
BIAS_SPREAD = 0.1  # standard deviation


def checked_weights(network: Network, weights: Mapping[str, NDArray[Any]]) -> Weights:
    """Return the weights if they are exactly the network's.

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


def layer_weights(weights: Weights, conv: Conv) -> tuple[F32, F32]:
    """Return a layer's weight, float32 [out, in / groups, kernel, kernel], and bias [out]."""
    return weights[f"{conv.name}.weight"], weights[f"{conv.name}.bias"]


def reading_bgr(network: Network, weights: Weights) -> Weights:
    """Reverse the stem's input channels, so that weights trained on RGB read a BGR image."""
    name = f"{network.stem.name}.weight"
    return {**weights, name: np.ascontiguousarray(weights[name][:, ::-1])}


def read_weights(path: Path) -> Mapping[str, NDArray[Any]]:
    """Return the arrays by name, unchecked: `checked_weights` finds what is wrong with them.

    Arrays of Python objects are never unpickled; they come back empty, of dtype object.

    Raises:
        ModelError: the file cannot be read or is not a NumPy archive.
    """
    try:
        check_regular(path)
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > MAX_BYTES:
            msg = f"{path}: expected at most {MAX_BYTES} bytes of weights, got {unpacked}"
            raise ModelError(msg)
        with np.load(path, allow_pickle=False) as arrays:
            return {name: _array(arrays, name) for name in arrays.files}
    except OSError as error:
        msg = f"{path}: cannot be read ({error.strerror or error}): expected a .npz file of weights"
        raise ModelError(msg) from error
    except (zipfile.BadZipFile, EOFError, ValueError) as error:
        msg = f"{path}: expected a NumPy archive (.npz) with one array per name, got something else"
        raise ModelError(msg) from error


def write_weights(path: Path, weights: Weights) -> None:
    """Write weights to a file; the same weights give the same bytes.

    Raises:
        OutputError: the file cannot be written.
    """
    packed = io.BytesIO()
    arrays: dict[str, Any] = {name: weights[name] for name in sorted(weights)}
    np.savez(packed, **arrays)
    try:
        path.write_bytes(packed.getvalue())
    except OSError as error:
        msg = f"{path}: the weights cannot be written ({error.strerror})"
        raise OutputError(msg) from None


def random_weights(network: Network, *, seed: int) -> Weights:
    """Draw weights for an untrained network, to try out its size and speed.

    The normal distribution's variance keeps values near 1 before every activation (He et al.
    2015, "Delving Deep into Rectifiers", section 2.2): 1 / (fan-in * mean square of the layer's
    input). That mean square is 1/2 after ReLU, hence He's factor of 2.

    Args:
        network: the network.
        seed: 0 or more; the same seed gives the same numbers.
    """
    rng = np.random.default_rng(seed)
    mean_squares = {network.input.name: IMAGE_MEAN_SQUARE}
    weights: dict[str, F32] = {}
    for layer in network.layers:
        mean_squares[layer.name] = _mean_square(layer, mean_squares)
        if isinstance(layer, Conv):
            fan_in = prod(layer.weight_shape[1:])
            deviation = 1 / sqrt(fan_in * mean_squares[layer.source])
            drawn = rng.standard_normal(layer.weight_shape, np.float32)
            weights[f"{layer.name}.weight"] = drawn * np.float32(deviation)
            drawn = rng.standard_normal(layer.output.channels, np.float32)
            weights[f"{layer.name}.bias"] = drawn * np.float32(BIAS_SPREAD)
    return weights


def _faults(name: str, array: NDArray[Any], shape: Shape) -> list[str]:
    faults = []
    if array.shape != shape:
        faults.append(f"{name}: expected {list(shape)}, got {list(array.shape)}")
    if array.dtype != np.float32:
        faults.append(f"{name}: expected float32, got {array.dtype}")
    elif not np.isfinite(array).all():
        faults.append(f"{name}: expected finite numbers, got NaN or infinity")
    return faults


def _array(arrays: Mapping[str, NDArray[Any]], name: str) -> NDArray[Any]:
    try:
        return np.asarray(arrays[name])
    except Exception as error:  # NumPy parses a header as Python source and raises all its errors
        if "allow_pickle" not in str(error):
            raise ValueError(str(error)) from error
        return np.empty(0, object)


def _mean_square(layer: Layer, mean_squares: dict[str, float]) -> float:
    if isinstance(layer, Conv):
        return MEAN_SQUARES[layer.activation]
    if isinstance(layer, Add):
        return mean_squares[layer.branch] + mean_squares[layer.stream]
    if isinstance(layer, SqueezeExcite):
        return mean_squares[layer.source] * mean_squares[layer.factors]
    return mean_squares[layer.source]
