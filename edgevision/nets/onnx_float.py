"""The float32 graph: the reference that quantization is calibrated on and compared with.

It takes the same uint8 BGR image as the INT8 graph, so both are called alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto

from edgevision.nets.graph import Activation, Add, Conv
from edgevision.nets.onnx_file import OnnxFile
from edgevision.nets.weights import layer_weights, reading_bgr

if TYPE_CHECKING:
    from edgevision.nets.graph import Network, Node, Predictions
    from edgevision.nets.weights import Weights

# Pixels 0..255 become -1..1, as MobileNet was trained.
PIXEL_SCALE = 1 / 127.5


def float_onnx(network: Network, weights: Weights, *, with_maps: bool = False) -> bytes:
    """Write the network as a float32 ONNX graph.

    Args:
        network: the network.
        weights: its weights, trained on RGB images of -1..1; checked.
        with_maps: declare every layer's result as an output too, in the order of the nodes.

    Returns:
        The file: uint8 [1, rows, columns, 3] BGR in, one float32 [1, a, width] table out for
        every `Predictions`, then the maps float32 [1, channels, rows, columns].
    """
    writer = _FloatWriter(network, reading_bgr(network, weights))
    for node in network.nodes:
        writer.write(node)
    if with_maps:
        for node in network.nodes:
            if isinstance(node, Conv | Add):
                writer.file.map_output(node.output, TensorProto.FLOAT)
    return writer.file.content()


class _FloatWriter:
    def __init__(self, network: Network, weights: Weights) -> None:
        self.file = OnnxFile(network.name, network.input)
        self._weights = weights
        # Tensors of the ONNX graph are NCHW, the convolution's own layout.
        self._tensors = {network.input.name: self._image(network.input.name)}

    def write(self, node: Node) -> None:
        if isinstance(node, Conv):
            self._conv(node)
        elif isinstance(node, Add):
            inputs = [self._tensors[node.branch], self._tensors[node.stream]]
            self._tensors[node.name] = self.file.node("Add", inputs, node.name)
        else:
            self._predictions(node)

    def _image(self, name: str) -> str:
        file = self.file
        scale = file.constant("pixel_scale", np.float32(PIXEL_SCALE))
        one = file.constant("one", np.float32(1))
        pixels = file.node("Cast", [name], "pixels", to=TensorProto.FLOAT)
        scaled = file.node("Mul", [pixels, scale], "scaled_pixels")
        centred = file.node("Sub", [scaled, one], "centred_pixels")
        return file.node("Transpose", [centred], "planes", perm=[0, 3, 1, 2])

    def _conv(self, conv: Conv) -> None:
        file = self.file
        weight, bias = layer_weights(self._weights, conv)
        inputs = [
            self._tensors[conv.source],
            file.constant(f"{conv.name}.weight", weight),
            file.constant(f"{conv.name}.bias", bias),
        ]
        clipped = conv.activation is Activation.RELU6
        output = f"{conv.name}.linear" if clipped else conv.name
        file.node("Conv", inputs, output, **conv_attributes(conv))
        if clipped:
            low = file.constant("relu6_low", np.float32(0))
            high = file.constant("relu6_high", np.float32(6))
            file.node("Clip", [output, low, high], conv.name)
        self._tensors[conv.name] = conv.name

    def _predictions(self, table: Predictions) -> None:
        rows = [
            write_rows(self.file, self._tensors[source.name], source.name, table.width)
            for source in table.sources
        ]
        self.file.node("Concat", rows, table.name, axis=1)
        self.file.output(table)


def conv_attributes(conv: Conv) -> dict[str, int | list[int]]:
    """Return the attributes of the ONNX operator Conv."""
    pads = conv.pads
    return {
        "kernel_shape": [conv.kernel, conv.kernel],
        "strides": [conv.stride, conv.stride],
        "group": conv.groups,
        "pads": [pads.top, pads.left, pads.bottom, pads.right],
    }


def write_rows(file: OnnxFile, tensor: str, name: str, width: int) -> str:
    """Turn a head map [1, anchors * width, rows, columns] into rows [1, a, width]."""
    shape = file.constant(f"rows_of_{width}", np.array([1, -1, width], np.int64))
    cells = file.node("Transpose", [tensor], f"{name}.cells", perm=[0, 2, 3, 1])
    return file.node("Reshape", [cells, shape], f"{name}.rows")
