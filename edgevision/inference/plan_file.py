"""Reading `numpy.npz`: the plan as JSON and the arrays beside it, nothing of it believed.

The file is a ZIP of uncompressed NPY arrays, so its own size bounds what it can hold. Headers
are checked against the plan before an array is made, and nothing in it is ever unpickled.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from edgevision.errors import ModelError
from edgevision.inference.plan import ConvLayer, Plan, Shape, Shapes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgevision.records import F32

PLAN = "plan"
MAX_PLAN_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class ConvWeights:
    """The numbers of one convolution.

    Attributes:
        weight: float32 [channels, in / groups, kernel, kernel]; whole numbers where it came as
            int8.
        bias: float32 [channels]; in the unit of the sum of products where that is of integers.
        scale: float32 [channels], the real number that 1 in `weight` stands for; None: 1.
    """

    weight: F32
    bias: F32
    scale: F32 | None


@dataclass(frozen=True, slots=True)
class PlannedNetwork:
    """A checked plan with its weights.

    Attributes:
        plan: the layers.
        shapes: the sizes of all they compute.
        weights: by convolution.
    """

    plan: Plan
    shapes: Shapes
    weights: dict[str, ConvWeights]


def read_plan(content: bytes) -> PlannedNetwork:
    """Read and check a plan and its weights.

    Raises:
        ModelError: the file is malformed, cut short, or does not fit together.
    """
    arrays = _Arrays(content)
    text = arrays.read(PLAN, np.uint8, None, limit_bytes=MAX_PLAN_BYTES).tobytes()
    try:
        plan = Plan.model_validate_json(text)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in fault["loc"]) or "the text"
        where = where.encode("unicode_escape").decode()
        msg = f"not a plan for NumPy: {where}: {fault['msg']}"
        raise ModelError(msg) from error
    shapes = plan.shapes()
    weights = {
        layer.name: _weights(arrays, layer, shapes.weights[layer.name])
        for layer in plan.layers
        if isinstance(layer, ConvLayer)
    }
    return PlannedNetwork(plan, shapes, weights)


def _weights(arrays: _Arrays, layer: ConvLayer, shape: Shape) -> ConvWeights:
    name, channels = layer.name, (layer.channels,)
    whole = layer.levels is not None
    weight = arrays.read(f"{name}.weight", np.int8 if whole else np.float32, shape)
    bias = arrays.read(f"{name}.bias", np.int32 if whole else np.float32, channels)
    scale = arrays.read(f"{name}.scale", np.float32, channels) if whole else None
    return ConvWeights(
        _finite(f"{name}.weight", weight),
        _finite(f"{name}.bias", bias),
        None if scale is None else _finite(f"{name}.scale", scale),
    )


def _finite(name: str, array: NDArray[Any]) -> F32:
    if not np.isfinite(array).all():
        msg = f"array {name}: expected finite numbers, got NaN or infinity"
        raise ModelError(msg)
    return array.astype(np.float32)


class _Arrays:
    """The arrays in an uncompressed .npz."""

    def __init__(self, content: bytes) -> None:
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(content))
            entries = self._zip.infolist()
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            msg = f"expected a ZIP of arrays (.npz), got {len(content)} bytes: {error}"
            raise ModelError(msg) from error
        if sum(entry.file_size for entry in entries) > len(content) or any(
            entry.compress_type != zipfile.ZIP_STORED for entry in entries
        ):
            msg = "expected uncompressed arrays, got compressed or overlapping ones"
            raise ModelError(msg)
        self._names = {entry.filename for entry in entries}

    def read(
        self,
        name: str,
        dtype: type[np.generic],
        shape: Shape | None,
        *,
        limit_bytes: int | None = None,
    ) -> NDArray[Any]:
        """Return an array of this type and shape; None: any number of elements on one axis."""
        if f"{name}.npy" not in self._names:
            msg = f"array {name}: expected it beside the plan, got nothing of that name"
            raise ModelError(msg)
        try:
            data = self._zip.read(f"{name}.npy")
            file = io.BytesIO(data)
            version = np.lib.format.read_magic(file)
            found, by_columns, stored = np.lib.format.read_array_header_1_0(file)
        except Exception as error:  # a header is Python source to NumPy, with all its errors
            first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
            msg = f"array {name}: expected the NPY format, got {first_line}"
            raise ModelError(msg) from error
        if version != (1, 0):
            msg = f"array {name}: expected NPY version 1.0"
            raise ModelError(msg)
        fits = len(found) == 1 if shape is None else found == shape
        if not fits or by_columns or stored != np.dtype(dtype):
            wanted = "of one axis" if shape is None else list(shape)
            msg = f"array {name}: expected {dtype.__name__} {wanted}, got {stored} {list(found)}"
            raise ModelError(msg)
        body = data[file.tell() :]
        expected = prod(found) * stored.itemsize
        if len(body) != expected or (limit_bytes is not None and expected > limit_bytes):
            msg = f"array {name}: expected {limit_bytes or expected} bytes, got {len(body)}"
            raise ModelError(msg)
        return np.frombuffer(body, stored).reshape(found)
