"""Means and covariances of the layers' results, taken from the INT8 graph.

Its results are integers and so are the sums of them and of their products, which float64
holds exactly: the moments are the same on every processor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgevision.nets.onnx_int8 import PIXELS, int8_onnx
from edgevision.nets.session import GraphSession

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edgevision.nets.progress import Progress
    from edgevision.nets.quantize import F64, Affine
    from edgevision.nets.quantized import QuantizedNetwork
    from edgevision.records import U8


@dataclass(frozen=True, slots=True)
class Moments:
    """Statistics of a map over all cells of all images.

    Attributes:
        mean: float64 [channels], real values.
        covariance: float64 [channels, channels], real values squared; None where no 1x1
            convolution reads the map.
    """

    mean: F64
    covariance: F64 | None


def measure_moments(
    quantized: QuantizedNetwork, images: Sequence[U8], on_progress: Progress
) -> dict[str, Moments]:
    """Run the INT8 graph and return the moments of the image and of every map that is read.

    Args:
        quantized: the network.
        images: each uint8 [rows, columns, 3] BGR, of the network's input size.
        on_progress: told about every image.
    """
    network = quantized.network
    # A global mean gives one cell an image: too few to fit hundreds of weights to.
    pointwise = {conv.source for conv in network.convs if conv.kernel == 1} - network.pooled
    read = {conv.source for conv in network.convs}
    names = [layer.name for layer in network.layers if layer.name in read]
    session = GraphSession(int8_onnx(quantized, with_maps=True), names)
    sums = {name: _Sums(squares=name in pointwise) for name in [network.input.name, *names]}
    for index, image in enumerate(images):
        on_progress("fitting weights", index, len(images))
        sums[network.input.name].add(image.transpose(2, 0, 1))
        for name, levels in session.run(image).items():
            sums[name].add(levels[0])
    on_progress("fitting weights", len(images), len(images))
    affine = {**quantized.activations, network.input.name: PIXELS}
    return {name: total.moments(affine[name]) for name, total in sums.items()}


class _Sums:
    """Sums of one map's integers."""

    def __init__(self, *, squares: bool) -> None:
        self._count = 0
        self._total: F64 = np.zeros(1)
        self._products: F64 | None = np.zeros((1, 1)) if squares else None

    def add(self, levels: NDArray[np.generic]) -> None:
        """Add a map, uint8 [channels, rows, columns]."""
        cells = levels.reshape(len(levels), -1)
        self._count += cells.shape[1]
        self._total = self._total + np.sum(cells, axis=1, dtype=np.int64)
        if self._products is not None:
            real = cells.astype(np.float64)
            self._products = self._products + real @ real.T

    def moments(self, affine: Affine) -> Moments:
        """Return the moments of the real values."""
        mean = self._total / self._count
        covariance = None
        if self._products is not None:
            covariance = affine.scale**2 * (self._products / self._count - np.outer(mean, mean))
        return Moments(affine.scale * (mean - affine.zero_point), covariance)
