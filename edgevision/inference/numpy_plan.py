"""The plan: the layers of a network in the order in which NumPy computes them.

The file `numpy.npz` holds the plan as JSON and the weights as arrays, and none of it is trusted.
Types and bounds of the plan are checked by pydantic, and `Plan.shapes` walks the layers and
rejects those that do not fit together. The file is a ZIP of uncompressed NPY arrays, so its own
size bounds what it can hold; headers are checked against the plan before an array is made, and
nothing is ever unpickled.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgevision.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgevision.frames import F32

# Name of the plan among the arrays.
PLAN = "plan"
MAX_PLAN_BYTES = 8 << 20
MAX_LAYERS = 4096
# 256 MB of float32; the largest map of EfficientNet-B7 at its 600 pixels has 17 million numbers.
MAX_MAP_NUMBERS = 1 << 26
Name = Annotated[str, Field(min_length=1, max_length=200)]
Size = Annotated[int, Field(ge=1, le=65536)]
Pad = Annotated[int, Field(ge=0, le=64)]
Shape: TypeAlias = tuple[int, ...]


class _PlanPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PlanInput(_PlanPart):
    """The image: a pixel p stands for (p - offset) * scale."""

    name: Name
    rows: Annotated[int, Field(ge=1, le=8192)]
    columns: Annotated[int, Field(ge=1, le=8192)]
    channels: Annotated[int, Field(ge=1, le=64)]
    offset: Annotated[float, Field(ge=0, le=255)]
    scale: Annotated[float, Field(gt=0, allow_inf_nan=False)]


class PlanPads(_PlanPart):
    """Cells of zeros added on each side of a map."""

    top: Pad
    left: Pad
    bottom: Pad
    right: Pad


class Levels(_PlanPart):
    """The 256 values that a result is rounded to in the INT8 graph: scale * (q - zero_point)."""

    scale: Annotated[float, Field(gt=1e-20, lt=1e20)]
    zero_point: Annotated[int, Field(ge=0, le=255)]

    @property
    def ends(self) -> tuple[float, float]:
        """Return the lowest and the highest q - zero_point."""
        return float(-self.zero_point), float(255 - self.zero_point)


class ConvLayer(_PlanPart):
    """A convolution, its bias and its activation.

    Its arrays in the file are `<name>.weight` [channels, in / groups, kernel, kernel] and
    `<name>.bias` [channels], float32. Where the result has levels they are int8 and int32: 1 in the
    weight stands for `<name>.scale`, float32 [channels], and 1 in the bias for that times the
    source's scale.
    """

    op: Literal["conv"] = "conv"
    name: Name
    source: Name
    channels: Size
    kernel: Annotated[int, Field(ge=1, le=31)]
    stride: Annotated[int, Field(ge=1, le=31)]
    groups: Size = Field(description="1, or as many as input and output channels: depthwise")
    pads: PlanPads
    activation: Literal["linear", "relu", "relu6", "silu", "hard_swish", "sigmoid", "hard_sigmoid"]
    levels: Levels | None = None

    @property
    def is_depthwise(self) -> bool:
        """Whether every channel has its own filter."""
        return self.groups > 1


class AddLayer(_PlanPart):
    """The sum of two maps."""

    op: Literal["add"] = "add"
    name: Name
    branch: Name
    stream: Name
    levels: Levels | None = None


class MeanLayer(_PlanPart):
    """The mean of every channel, a map of one cell."""

    op: Literal["mean"] = "mean"
    name: Name
    source: Name
    levels: Levels | None = None


class GateLayer(_PlanPart):
    """A map times one factor per channel, from a map of one cell."""

    op: Literal["gate"] = "gate"
    name: Name
    source: Name
    factors: Name
    levels: Levels | None = None


class TableLayer(_PlanPart):
    """An output: maps laid out as one table [rows, width], by map, row, column, then channel."""

    op: Literal["table"] = "table"
    name: Name
    sources: Annotated[tuple[Name, ...], Field(min_length=1, max_length=64)]
    width: Size


MapLayer: TypeAlias = ConvLayer | AddLayer | MeanLayer | GateLayer

Layer: TypeAlias = Annotated[MapLayer | TableLayer, Field(discriminator="op")]


@dataclass(frozen=True, slots=True)
class Shapes:
    """The sizes of all that a plan computes.

    Attributes:
        maps: (rows, columns, channels) of every map, the image included.
        tables: (rows, width) of every output.
        weights: the shape of every convolution's weight.
    """

    maps: dict[str, Shape]
    tables: dict[str, Shape]
    weights: dict[str, Shape]


class Plan(_PlanPart):
    """A whole network."""

    schema_version: Literal[1] = 1
    network: Name
    input: PlanInput
    layers: Annotated[tuple[Layer, ...], Field(min_length=1, max_length=MAX_LAYERS)]

    def shapes(self) -> Shapes:
        """Compute all sizes.

        Raises:
            ModelError: a layer reads a map that no earlier layer computes, does not fit its
                source, or is too large.
        """
        image = self.input
        found = Shapes({}, {}, {})
        _store(found.maps, image.name, (image.rows, image.columns, image.channels))
        for layer in self.layers:
            if layer.name in found.tables:
                raise _misfit(layer.name, "a name of its own", "one that is taken")
            if isinstance(layer, ConvLayer):
                _store(found.maps, layer.name, _convolved(layer, found))
            elif isinstance(layer, AddLayer):
                _store(found.maps, layer.name, _added(layer, found.maps))
            elif isinstance(layer, MeanLayer):
                channels = _read(found.maps, layer.name, layer.source)[2]
                _store(found.maps, layer.name, (1, 1, channels))
            elif isinstance(layer, GateLayer):
                _store(found.maps, layer.name, _gated(layer, found.maps))
            else:
                found.tables[layer.name] = _tabled(layer, found.maps)
        return found


@dataclass(frozen=True, slots=True)
class ConvWeights:
    """The arrays of one convolution.

    Attributes:
        weight: float32 [channels, in / groups, kernel, kernel]; whole numbers if stored as int8.
        bias: float32 [channels]; if stored as int32, in the unit of the sum of products.
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
        shapes: the sizes of all that they compute.
        weights: the arrays of each convolution by its name.
    """

    plan: Plan
    shapes: Shapes
    weights: dict[str, ConvWeights]


def read_plan(content: bytes) -> PlannedNetwork:
    """Read and check a plan and its weights.

    Raises:
        ModelError: the file is malformed or cut short, or its parts do not fit together.
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


def _store(maps: dict[str, Shape], name: str, shape: Shape) -> None:
    if name in maps:
        raise _misfit(name, "a name of its own", "one that is taken")
    rows, columns, channels = shape
    if min(shape) < 1 or rows * columns * channels > MAX_MAP_NUMBERS:
        raise _misfit(name, f"a map of 1 to {MAX_MAP_NUMBERS} numbers", str(list(shape)))
    maps[name] = shape


def _read(maps: dict[str, Shape], reader: str, source: str) -> Shape:
    if source not in maps:
        raise _misfit(reader, "a source that an earlier layer computes", repr(source))
    return maps[source]


def _convolved(layer: ConvLayer, found: Shapes) -> Shape:
    rows, columns, channels = _read(found.maps, layer.name, layer.source)
    if layer.groups not in {1, channels} or (layer.is_depthwise and layer.channels != channels):
        expected = f"1 group, or {channels} groups and channels as its source has"
        raise _misfit(layer.name, expected, f"{layer.groups} and {layer.channels}")
    found.weights[layer.name] = (
        layer.channels,
        channels // layer.groups,
        layer.kernel,
        layer.kernel,
    )
    pads = layer.pads
    return (
        (rows + pads.top + pads.bottom - layer.kernel) // layer.stride + 1,
        (columns + pads.left + pads.right - layer.kernel) // layer.stride + 1,
        layer.channels,
    )


def _added(layer: AddLayer, maps: dict[str, Shape]) -> Shape:
    branch, stream = (_read(maps, layer.name, s) for s in (layer.branch, layer.stream))
    if branch != stream:
        raise _misfit(layer.name, f"two maps {list(branch)}", f"a second one {list(stream)}")
    return branch


def _gated(layer: GateLayer, maps: dict[str, Shape]) -> Shape:
    shape = _read(maps, layer.name, layer.source)
    factors = _read(maps, layer.name, layer.factors)
    if factors != (1, 1, shape[2]):
        raise _misfit(layer.name, f"factors {[1, 1, shape[2]]}", str(list(factors)))
    return shape


def _tabled(layer: TableLayer, maps: dict[str, Shape]) -> Shape:
    if layer.name in maps:
        raise _misfit(layer.name, "a name of its own", "one that is taken")
    count = 0
    for source in layer.sources:
        rows, columns, channels = _read(maps, layer.name, source)
        if channels % layer.width:
            raise _misfit(layer.name, f"{source} with a multiple of {layer.width}", str(channels))
        count += rows * columns * channels // layer.width
    return count, layer.width


def _misfit(layer: str, expected: str, got: str) -> ModelError:
    return ModelError(f"layer {layer}: expected {expected}, got {got}")


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
