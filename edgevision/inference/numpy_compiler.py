"""From a plan to a list of calls: every view is cut and every weight laid out beforehand.

The results of an INT8 network are kept as levels, whole numbers in float32, and so are its
weights: float32 represents their products and, up to 2^24, the sums exactly. A map has a `unit`,
the real number that 1 stands for.

Convolutions are cut into bands of rows. A map of a separable network's first layers is many times
larger than a processor's cache, so a convolution computes some rows, then adds the bias and
applies the activation while they are in the cache. Where a depthwise convolution follows, it and
the pointwise one after it are computed for these rows before the first one continues.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from edgevision.frames import F32
from edgevision.inference import numpy_kernels
from edgevision.inference.numpy_memory import NO_PADS, chains, place_maps, sources
from edgevision.inference.numpy_plan import AddLayer, ConvLayer, MeanLayer, TableLayer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgevision.inference.numpy_memory import PlacedMap
    from edgevision.inference.numpy_plan import MapLayer, PlannedNetwork

Step: TypeAlias = Callable[[], None]

# From rows of the result and the memory for them to the call that computes them.
Product: TypeAlias = Callable[[slice, F32], Step]

# Numbers that a convolution computes at a time: 512 KB of float32.
BAND = 1 << 17
# A matrix product over fewer cells would read its weights too often for the work it does.
MIN_CELLS = 128
# A row of this many cells is worth its own product, written straight into a map with a frame.
WIDE = 32


class StepBuilder:
    """Turns the layers of a plan into steps, the calls that compute them."""

    def __init__(self, planned: PlannedNetwork) -> None:
        """Lay out the memory of all maps.

        Raises:
            ModelError: the network needs too much of it.
        """
        plan = planned.plan
        self._plan = plan
        self._weights = planned.weights
        self._cutter = BandCutter()
        self._chains = chains(plan)
        self._maps = place_maps(plan, planned.shapes.maps, self._chains)
        self._units = {plan.input.name: plan.input.scale}
        for layer in plan.layers:
            if not isinstance(layer, TableLayer):
                self._units[layer.name] = 1.0 if layer.levels is None else layer.levels.scale

    @property
    def image(self) -> F32:
        """Where to write the image: float32 [rows, columns, channels], pixels minus the offset."""
        return self._maps[self._plan.input.name].inner

    def steps(self) -> list[Step]:
        """Return the calls that compute all maps from the image."""
        steps = _clear(self._maps[self._plan.input.name])
        for chain in self._chains:
            for layer in chain:
                steps += _clear(self._maps[layer.name])
            convolutions = [layer for layer in chain if isinstance(layer, ConvLayer)]
            if convolutions:
                bands = in_order(
                    [self._cutter.cut(self._convolution(layer)) for layer in convolutions]
                )
                steps.append(partial(run_bands, bands))
            else:
                steps += self._other(chain[0])
        return steps

    def tables(self) -> dict[str, list[tuple[F32, np.float32]]]:
        """Return the maps of every output with their units; their cells are the output's rows."""
        return {
            layer.name: [
                (self._maps[source].inner, np.float32(self._units[source]))
                for source in layer.sources
            ]
            for layer in self._plan.layers
            if isinstance(layer, TableLayer)
        }

    def _convolution(self, layer: ConvLayer) -> Convolution:
        source, placed = self._maps[layer.source], self._maps[layer.name]
        weights = self._weights[layer.name]
        weight, bias, scale = weights.weight, weights.bias, weights.scale
        from_unit = np.float32(self._units[layer.source])
        if scale is None:
            weight = weight * from_unit
        elif layer.activation in numpy_kernels.SATURATIONS:
            scale = from_unit * scale / np.float32(self._units[layer.name])
        else:  # a curve needs real numbers, not levels
            scale = from_unit * scale
        return Convolution(
            x=source.padded(layer.pads),
            weight=weight,
            bias=bias,
            scale=scale,
            stride=layer.stride,
            depthwise=layer.is_depthwise,
            top=layer.pads.top,
            source_rows=source.inner.shape[0],
            activate=_activation(layer),
            out=placed.inner,
        )

    def _other(self, layer: MapLayer) -> list[Step]:
        out = self._maps[layer.name].inner
        inputs = [self._maps[name].inner for name in sources(layer)]
        units = [self._units[name] for name in sources(layer)]
        unit = self._units[layer.name]
        steps: list[Step]
        match layer:
            case AddLayer():
                factors = np.float32(units[0] / unit), np.float32(units[1] / unit)
                first, second = inputs
                steps = [partial(numpy_kernels.add, first, second, *factors, out)]
            case MeanLayer():
                steps = [
                    partial(numpy_kernels.global_mean, inputs[0], np.float32(units[0] / unit), out)
                ]
            case _:
                factor = np.float32(units[0] * units[1] / unit)
                steps = [partial(numpy_kernels.gate, inputs[0], inputs[1], factor, out)]
        if layer.levels is not None:
            low, high = layer.levels.ends
            steps.append(partial(numpy_kernels.round_to_levels, out, out, low=low, high=high))
        return steps


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution with its arrays.

    Attributes:
        x: float32 [rows, columns, in], padded, so that its windows are the result's cells.
        weight: float32 [out, in / groups, k, k].
        bias: float32 [out].
        scale: float32 [out], multiplies the result with its bias; None: 1.
        stride: step of the kernel.
        depthwise: whether every channel has its own filter.
        top: rows of padding above the source.
        source_rows: rows of the source without padding.
        activate: the kernel from the result with its bias into the map.
        out: float32 [rows, columns, out], the map.
    """

    x: F32
    weight: F32
    bias: F32
    scale: F32 | None
    stride: int
    depthwise: bool
    top: int
    source_rows: int
    activate: numpy_kernels.ActivationKernel
    out: F32

    @property
    def kernel(self) -> int:
        """Side of the kernel."""
        return int(self.weight.shape[2])


class BandCutter:
    """Cuts convolutions into bands, whose intermediate results share memory."""

    def __init__(self) -> None:
        """Start without shared memory."""
        self._shared: dict[str, F32] = {}

    def cut(self, conv: Convolution) -> list[Band]:
        """Return the bands of a convolution, from top to bottom."""
        total, width, channels = conv.out.shape
        patch = conv.weight[0].size
        standard = conv.kernel > 1 and not conv.depthwise
        row_numbers = width * (channels + (patch if standard else 0))
        count = max(-(-MIN_CELLS // width), BAND // row_numbers)
        if conv.depthwise:
            product = self._depthwise(conv)
        elif standard:
            product = self._standard(conv)
        else:
            product = self._pointwise(conv)
        bias = np.tile(conv.bias, width)
        scale = None if conv.scale is None else np.tile(conv.scale, width)
        bands = []
        for first in range(0, total, count):
            rows = slice(first, min(first + count, total))
            out = conv.out[rows].reshape(-1, width * channels)
            result = out
            if not out.flags.c_contiguous and (standard or width < WIDE):
                result = self._borrow("result", out.size).reshape(out.shape)
            last = (rows.stop - 1) * conv.stride + conv.kernel - conv.top
            bands.append(
                Band(
                    convolve=product(rows, result),
                    result=result,
                    bias=bias,
                    scale=scale,
                    activate=conv.activate,
                    out=out,
                    stop=rows.stop,
                    needs=min(last, conv.source_rows),
                )
            )
        return bands

    def _depthwise(self, conv: Convolution) -> Product:
        _, width, channels = conv.out.shape
        tile = numpy_kernels.tile_width(width, channels) if conv.stride == 1 else 1
        patches = numpy_kernels.windows(conv.x, kernel=conv.kernel, stride=conv.stride, tile=tile)
        filters = numpy_kernels.tiled(conv.weight[:, 0].transpose(1, 2, 0), tile)

        def product(rows: slice, result: F32) -> Callable[[], None]:
            out = result.reshape(-1, width // tile, tile * channels)
            return partial(numpy_kernels.depthwise, patches[rows], filters, out)

        return product

    def _pointwise(self, conv: Convolution) -> Product:
        matrix = np.ascontiguousarray(conv.weight[:, :, 0, 0].T)
        cells = conv.x[:: conv.stride, :: conv.stride]

        def product(rows: slice, result: F32) -> Callable[[], None]:
            x, out = cells[rows], result.reshape(-1, *conv.out.shape[1:])
            # One product instead of one for every row.
            if x.flags.c_contiguous and result.flags.c_contiguous:
                x, out = x.reshape(-1, x.shape[2]), out.reshape(-1, out.shape[2])
            return partial(numpy_kernels.pointwise, x, matrix, out)

        return product

    def _standard(self, conv: Convolution) -> Product:
        matrix = np.ascontiguousarray(conv.weight.transpose(2, 3, 1, 0).reshape(-1, len(conv.bias)))
        patches = numpy_kernels.windows(conv.x, kernel=conv.kernel, stride=conv.stride)

        def product(rows: slice, result: F32) -> Callable[[], None]:
            out = result.reshape(-1, len(conv.bias))
            columns = self._borrow("columns", len(out) * len(matrix)).reshape(len(out), -1)
            return partial(numpy_kernels.standard, patches[rows], matrix, columns, out)

        return product

    def _borrow(self, name: str, size: int) -> F32:
        """Return shared memory; it overlaps all that was borrowed under this name before."""
        if name not in self._shared or len(self._shared[name]) < size:
            self._shared[name] = np.zeros(size, np.float32)
        return self._shared[name][:size]


@dataclass(frozen=True, slots=True)
class Band:
    """Some rows of a convolution's result.

    Attributes:
        convolve: computes `result`, without the bias.
        result: float32 [rows, columns * channels]; the rows of `out` themselves, or shared
            memory that is free once the band is done.
        bias: float32 [columns * channels].
        scale: float32 [columns * channels], multiplies the sum; None: 1.
        activate: the kernel from `result` into `out`.
        out: the rows of the map, float32 [rows, columns * channels].
        stop: number of the row after the last.
        needs: how many rows of the source must have been computed.
    """

    convolve: Step
    result: F32
    bias: F32
    scale: F32 | None
    activate: numpy_kernels.ActivationKernel
    out: F32
    stop: int
    needs: int


def run_bands(bands: Sequence[Band]) -> None:
    """Compute bands in order."""
    for band in bands:
        band.convolve()
        np.add(band.result, band.bias, out=band.result)
        if band.scale is not None:
            np.multiply(band.result, band.scale, out=band.result)
        band.activate(band.result, band.out)


def in_order(chain: Sequence[Sequence[Band]]) -> list[Band]:
    """Merge the bands of convolutions that read each other, computing each as late as possible.

    Args:
        chain: the bands of each convolution, in order; all but the first read the one before.
    """
    merged: list[Band] = []
    pending = [list(reversed(bands)) for bands in chain]
    computed_rows = [0] * len(chain)

    def compute(link: int, rows: int) -> None:
        while pending[link] and computed_rows[link] < rows:
            band = pending[link].pop()
            if link:
                compute(link - 1, band.needs)
            merged.append(band)
            computed_rows[link] = band.stop

    for link, bands in reversed(list(enumerate(chain))):
        compute(link, bands[-1].stop)
    return merged


def _activation(layer: ConvLayer) -> numpy_kernels.ActivationKernel:
    """Return what follows a convolution's bias, activation and rounding, as one kernel."""
    curve = numpy_kernels.ACTIVATIONS[layer.activation]
    if layer.levels is None:
        return curve
    low, high = layer.levels.ends
    store = partial(numpy_kernels.round_to_levels, low=low, high=high)
    if layer.activation in numpy_kernels.SATURATIONS:
        # The range of the levels lies within that of the activation, so clipping to it does both.
        return store
    per_unit = np.float32(1 / layer.levels.scale)

    def curve_and_store(x: F32, out: F32) -> None:
        curve(x, out)
        np.multiply(out, per_unit, out=out)
        store(out, out)

    return curve_and_store


def _clear(placed: PlacedMap) -> list[Step]:
    """Return the step that zeroes a map's frame: another map may have used the memory before."""
    if placed.frame == NO_PADS:
        return []
    return [partial(numpy_kernels.clear_frame, placed.framed, **placed.frame.model_dump())]
