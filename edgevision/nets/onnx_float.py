"""The float32 graph: the reference that quantization is calibrated on and compared with.

It takes the same uint8 BGR image as the INT8 graph, so both are called alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto

from edgevision.nets.graph import Activation, Add, Conv, Gate, GlobalPool, Predictions
from edgevision.nets.onnx_file import OnnxFile
from edgevision.nets.weights import layer_weights, reading_bgr

if TYPE_CHECKING:
    from edgevision.nets.graph import Logits, Network, Node
    from edgevision.nets.weights import Weights

# Pixels 0..255 become -1..1, as MobileNet was trained.
PIXEL_SCALE = 1 / 127.5


def float_onnx(network: Network, weights: Weights, *, with_maps: bool = False) -> bytes:
    """Write the network as a float32 ONNX graph.

    Args:
        network: the network.
        weights: its weights, trained on RGB images of -1..1; checked.
        with_maps: declare all of `Network.tensors` as outputs too, in their order.

    Returns:
        The file: uint8 [1, rows, columns, 3] BGR in, a float32 array out for every `Output`,
        then the maps float32 [1, channels, rows, columns].
    """
    writer = _FloatWriter(network, reading_bgr(network, weights))
    for node in network.nodes:
        writer.write(node)
    if with_maps:
        for name, shape in network.tensors.items():
            writer.file.map_output(name, shape, TensorProto.FLOAT)
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
            self._plain("Add", node.name, node.branch, node.stream)
        elif isinstance(node, GlobalPool):
            self._plain("GlobalAveragePool", node.name, node.source)
        elif isinstance(node, Gate):
            self._plain("Mul", node.name, node.source, node.factors)
        elif isinstance(node, Predictions):
            self._predictions(node)
        else:
            self._logits(node)

    def _plain(self, operator: str, name: str, *sources: str) -> None:
        inputs = [self._tensors[source] for source in sources]
        self._tensors[name] = self.file.node(operator, inputs, name)

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
        file.node("Conv", inputs, conv.linear_name, **conv_attributes(conv))
        self._activate(conv)
        self._tensors[conv.name] = conv.name

    def _activate(self, conv: Conv) -> None:
        file, linear = self.file, conv.linear_name
        match conv.activation:
            case Activation.LINEAR:
                pass
            case Activation.RELU:
                file.node("Relu", [linear], conv.name)
            case Activation.RELU6:
                low = file.constant("relu6_low", np.float32(0))
                high = file.constant("relu6_high", np.float32(6))
                file.node("Clip", [linear, low, high], conv.name)
            case Activation.SILU:
                sigmoid = file.node("Sigmoid", [linear], f"{conv.name}.sigmoid")
                file.node("Mul", [linear, sigmoid], conv.name)
            case Activation.HARD_SWISH:
                file.node("HardSwish", [linear], conv.name)
            case Activation.SIGMOID:
                file.node("Sigmoid", [linear], conv.name)

    def _predictions(self, table: Predictions) -> None:
        rows = [
            write_rows(self.file, self._tensors[source.name], source.name, table.width)
            for source in table.sources
        ]
        self.file.node("Concat", rows, table.name, axis=1)
        self.file.output(table)

    def _logits(self, logits: Logits) -> None:
        self.file.node("Flatten", [self._tensors[logits.source.name]], logits.name, axis=1)
        self.file.output(logits)


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
