"""From a plan to a list of calls: every view is cut and every weight laid out beforehand.

Results of an INT8 network are kept as levels, whole numbers in float32, and so are its weights:
float32 holds their products and, up to 2^24, the sums exactly. A map has a `unit`, the real
number that 1 stands for.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from edgevision.inference import kernels
from edgevision.inference.bands import BandCutter, Convolution, in_order, run_bands
from edgevision.inference.memory import NO_PADS, chains, place_maps, sources
from edgevision.inference.plan import AddLayer, ConvLayer, MeanLayer, TableLayer

if TYPE_CHECKING:
    from edgevision.inference.memory import PlacedMap
    from edgevision.inference.plan import MapLayer
    from edgevision.inference.plan_file import PlannedNetwork
    from edgevision.records import F32

Step: TypeAlias = Callable[[], None]


class StepBuilder:
    """Turns layers into steps."""

    def __init__(self, planned: PlannedNetwork) -> None:
        """Lay out memory.

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
        """Where the image belongs, float32 [rows, columns, channels], pixels less the offset."""
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
        """Return, for every output, its maps and their units; the maps' cells are its rows."""
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
        elif layer.activation in kernels.SATURATIONS:
            scale = from_unit * scale / np.float32(self._units[layer.name])
        else:  # a curve must see real numbers
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
                steps = [partial(kernels.add, first, second, *factors, out)]
            case MeanLayer():
                steps = [partial(kernels.global_mean, inputs[0], np.float32(units[0] / unit), out)]
            case _:
                factor = np.float32(units[0] * units[1] / unit)
                steps = [partial(kernels.gate, inputs[0], inputs[1], factor, out)]
        if layer.levels is not None:
            low, high = layer.levels.ends
            steps.append(partial(kernels.round_to_levels, out, out, low=low, high=high))
        return steps


def _activation(layer: ConvLayer) -> kernels.ActivationKernel:
    """Return what follows a convolution's bias, as one kernel."""
    curve = kernels.ACTIVATIONS[layer.activation]
    if layer.levels is None:
        return curve
    low, high = layer.levels.ends
    store = partial(kernels.round_to_levels, low=low, high=high)
    if layer.activation in kernels.SATURATIONS:
        # The ends of the levels lie within those of the activation.
        return store
    per_unit = np.float32(1 / layer.levels.scale)

    def curve_and_store(x: F32, out: F32) -> None:
        curve(x, out)
        np.multiply(out, per_unit, out=out)
        store(out, out)

    return curve_and_store


def _clear(placed: PlacedMap) -> list[Step]:
    """Return the step that writes a map's frame: another map may have lain there."""
    if placed.frame == NO_PADS:
        return []
    return [partial(kernels.clear_frame, placed.framed, **placed.frame.model_dump())]
