"""The INT8 graph: integers between every two layers, written straight from the network.

Between layers every tensor is uint8, r = s (q - z). Around each convolution and sum stand
DequantizeLinear and QuantizeLinear (the QDQ form): ONNX Runtime fuses each such group into
one integer kernel, and any other runtime can still follow the definition. ReLU and ReLU6 need
no node: their range starts at z = 0, ReLU6's ends at 6 or below, and QuantizeLinear saturates
there. The other activations read the convolution's own quantized result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto

from edgevision.nets.graph import Activation, Add, Conv, Gate, GlobalPool, Predictions
from edgevision.nets.onnx_file import OnnxFile
from edgevision.nets.onnx_float import PIXEL_SCALE, conv_attributes, write_rows
from edgevision.nets.quantize import SIGMOIDS, Affine, quantize_bias

if TYPE_CHECKING:
    from edgevision.nets.graph import Logits, Node
    from edgevision.nets.quantize import I8, I32
    from edgevision.nets.quantized import QuantizedNetwork
    from edgevision.records import F32

# A pixel p means p / 127.5 - 1 = (p - 127.5) / 127.5. A zero point is an integer, so the graph
# reads (p - 128) / 127.5 and the half step that is missing goes into the stem's bias. Only
# the padding, which stays at 0, is off by half a step.
PIXELS = Affine(scale=PIXEL_SCALE, zero_point=128)
HALF_STEP = 0.5 * PIXEL_SCALE


def int8_onnx(quantized: QuantizedNetwork, *, with_maps: bool = False) -> bytes:
    """Write the network as an INT8 ONNX graph.

    Args:
        quantized: the network.
        with_maps: declare all of `Network.tensors` as outputs too, in their order.

    Returns:
        The file: uint8 [1, rows, columns, 3] BGR in, a float32 array out for every `Output`,
        then the maps uint8 [1, channels, rows, columns].
    """
    writer = _Int8Writer(quantized)
    for node in quantized.network.nodes:
        writer.write(node)
    if with_maps:
        for name, shape in quantized.network.tensors.items():
            writer.file.map_output(name, shape, TensorProto.UINT8)
    return writer.file.content()


class _Int8Writer:
    def __init__(self, quantized: QuantizedNetwork) -> None:
        network = quantized.network
        image = network.input.name
        self.file = OnnxFile(network.name, network.input)
        self._quantized = quantized
        self._affine = {**quantized.activations, image: PIXELS}
        planes = self.file.node("Transpose", [image], "planes", perm=[0, 3, 1, 2])
        # The uint8 tensor, NCHW, that holds each layer's result.
        self._tensors = {image: planes}

    def write(self, node: Node) -> None:
        if isinstance(node, Conv):
            self._conv(node)
        elif isinstance(node, Add):
            self._plain("Add", node.name, f"{node.name}.sum", node.branch, node.stream)
        elif isinstance(node, GlobalPool):
            self._plain("GlobalAveragePool", node.name, f"{node.name}.mean", node.source)
        elif isinstance(node, Gate):
            self._plain("Mul", node.name, f"{node.name}.product", node.source, node.factors)
        elif isinstance(node, Predictions):
            self._predictions(node)
        else:
            self._logits(node)

    def _plain(self, operator: str, name: str, real: str, *sources: str) -> None:
        """Write one operator on real numbers, `real` the name of its result before rounding."""
        inputs = [self._real(source, reader=name) for source in sources]
        self._store(name, self.file.node(operator, inputs, real))

    def _conv(self, conv: Conv) -> None:
        weight = self._quantized.weights[conv.name]
        bias = self._quantized.biases[conv.name]
        if conv.source == self._quantized.network.input.name:
            bias = (bias + HALF_STEP * weight.real.sum(axis=(1, 2, 3))).astype(np.float32)
        bias_scale = np.float32(self._affine[conv.source].scale) * weight.scale
        inputs = [
            self._real(conv.source, reader=conv.name),
            self._constant(f"{conv.name}.weight", weight.levels, weight.scale),
            self._constant(f"{conv.name}.bias", quantize_bias(bias, bias_scale), bias_scale),
        ]
        total = self.file.node("Conv", inputs, f"{conv.name}.total", **conv_attributes(conv))
        if conv.activation.is_clip:
            self._store(conv.name, total)
        else:
            self._store(conv.linear_name, total)
            self._activate(conv)

    def _activate(self, conv: Conv) -> None:
        linear, curved = conv.linear_name, f"{conv.name}.curved"
        match conv.activation:
            case Activation.SILU:
                sigmoid = f"{conv.name}.sigmoid"
                self._affine[sigmoid] = SIGMOIDS
                self._plain("Sigmoid", sigmoid, f"{sigmoid}.curved", linear)
                self._plain("Mul", conv.name, curved, linear, sigmoid)
            case Activation.HARD_SWISH:
                self._plain("HardSwish", conv.name, curved, linear)
            case _:
                self._plain("Sigmoid", conv.name, curved, linear)

    def _predictions(self, table: Predictions) -> None:
        rows = [
            write_rows(self.file, self._tensors[source.name], source.name, table.width)
            for source in table.sources
        ]
        joined = self.file.node("Concat", rows, f"{table.name}.levels", axis=1)
        inputs = [joined, *self._parameters(table.name)]
        self.file.node("DequantizeLinear", inputs, table.name)
        self.file.output(table)

    def _logits(self, logits: Logits) -> None:
        levels = self._tensors[logits.source.name]
        row = self.file.node("Flatten", [levels], f"{logits.name}.levels", axis=1)
        self.file.node("DequantizeLinear", [row, *self._parameters(logits.name)], logits.name)
        self.file.output(logits)

    def _store(self, name: str, real: str) -> None:
        inputs = [real, *self._parameters(name)]
        self._tensors[name] = self.file.node("QuantizeLinear", inputs, name)

    def _real(self, name: str, *, reader: str) -> str:
        """Dequantize a layer's result for one reader: fusion wants a node for each."""
        inputs = [self._tensors[name], *self._parameters(name)]
        return self.file.node("DequantizeLinear", inputs, f"{reader}.reads.{name}")

    def _constant(self, name: str, levels: I8 | I32, scale: F32) -> str:
        inputs = [
            self.file.constant(name, levels),
            self.file.constant(f"{name}.scale", scale),
            self.file.constant(f"{name}.zero_point", np.zeros(len(scale), levels.dtype)),
        ]
        return self.file.node("DequantizeLinear", inputs, f"{name}.real", axis=0)

    def _parameters(self, name: str) -> list[str]:
        affine = self._affine[name]
        return [
            self.file.constant(f"{name}.scale", np.float32(affine.scale)),
            self.file.constant(f"{name}.zero_point", np.uint8(affine.zero_point)),
        ]
