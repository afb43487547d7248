"""Collecting nodes into an ONNX file whose bytes depend on nothing but its content."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from edgevision.model_builder.graph import (
    Activation,
    Add,
    Conv,
    GlobalPool,
    Predictions,
    SqueezeExcite,
)
from edgevision.model_builder.quantize import SIGMOIDS, Affine, quantize_bias
from edgevision.model_builder.weights import layer_weights, reading_bgr

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edgevision.frames import F32, U8
    from edgevision.model_builder.graph import FeatureMap, Logits, Network, Node, Output
    from edgevision.model_builder.quantize import I8, I32, QuantizedNetwork
    from edgevision.model_builder.weights import Weights

# Opset 13 brought per-channel quantization, 17 is read by every ONNX Runtime since 1.12.
OPSET = 17

IR_VERSION = 8

PRODUCER = "edgevision"

# Pixels 0..255 become -1..1, as MobileNet was trained.
PIXEL_SCALE = 1 / 127.5

# A pixel p means p / 127.5 - 1 = (p - 127.5) / 127.5. A zero point is an integer, so the graph
# reads (p - 128) / 127.5 and the half step that is missing goes into the stem's bias. Only
# the padding, which stays at 0, is off by half a step.
PIXELS = Affine(scale=PIXEL_SCALE, zero_point=128)

HALF_STEP = 0.5 * PIXEL_SCALE


class OnnxFile:
    """An ONNX graph under construction: one uint8 image in, float32 tables out."""

    def __init__(self, name: str, image: FeatureMap) -> None:
        """Start with the image: uint8 [1, rows, columns, channels] named as in the network."""
        self._name = name
        shape = [1, image.rows, image.columns, image.channels]
        self._inputs = [helper.make_tensor_value_info(image.name, TensorProto.UINT8, shape)]
        self._outputs: list[onnx.ValueInfoProto] = []
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}

    def node(
        self,
        operator: str,
        inputs: Sequence[str],
        output: str,
        **attributes: float | Sequence[int],
    ) -> str:
        """Append a node named after its output and return that name."""
        node = helper.make_node(operator, list(inputs), [output], name=output)
        node.attribute.extend(
            helper.make_attribute(name, value) for name, value in sorted(attributes.items())
        )
        self._nodes.append(node)
        return output

    def constant(self, name: str, array: NDArray[np.generic] | np.generic) -> str:
        """Append a constant, once, and return its name."""
        if name not in self._constants:
            self._constants[name] = numpy_helper.from_array(np.asarray(array, order="C"), name)
        return name

    def output(self, output: Output) -> None:
        """Declare the tensor of that name as a float32 output of that shape."""
        shape = list(output.shape)
        self._outputs.append(helper.make_tensor_value_info(output.name, TensorProto.FLOAT, shape))

    def map_output(self, name: str, shape: FeatureMap, dtype: int) -> None:
        """Declare the tensor `name` as an output: [1, channels, rows, columns] of a map."""
        axes = [1, shape.channels, shape.rows, shape.columns]
        self._outputs.append(helper.make_tensor_value_info(name, dtype, axes))

    def content(self) -> bytes:
        """Return the checked file."""
        graph = helper.make_graph(
            self._nodes, self._name, self._inputs, self._outputs, list(self._constants.values())
        )
        model = helper.make_model(
            graph,
            producer_name=PRODUCER,
            producer_version="1",
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET)],
        )
        onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString(deterministic=True))


# FOLDED:
# The float32 graph: the reference that quantization is calibrated on and compared with.
#
# It takes the same uint8 BGR image as the INT8 graph, so both are called alike.


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
        elif isinstance(node, SqueezeExcite):
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


# FOLDED:
# The INT8 graph: integers between every two layers, written straight from the network.
#
# Between layers every tensor is uint8, r = s (q - z). Around each convolution and sum stand
# DequantizeLinear and QuantizeLinear (the QDQ form): ONNX Runtime fuses each such group into
# one integer kernel, and any other runtime can still follow the definition. ReLU and ReLU6 need
# no node: their range starts at z = 0, ReLU6's ends at 6 or below, and QuantizeLinear saturates
# there. The other activations read the convolution's own quantized result.


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
        elif isinstance(node, SqueezeExcite):
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


# FOLDED:
# Running a graph in memory with ONNX Runtime, for calibration and measurements.


class GraphSession:
    """A graph with one image as its input."""

    def __init__(self, content: bytes, outputs: Sequence[str], *, threads: int = 0) -> None:
        """Load the graph.

        Args:
            content: the ONNX file.
            outputs: names of the outputs to compute.
            threads: that compute; 0: one a core.
        """
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4
        # Threads that wait without sleeping slow each other down where cores are few.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = ort.InferenceSession(
            content, sess_options=options, providers=["CPUExecutionProvider"]
        )
        self._input = self._session.get_inputs()[0].name
        self._outputs = list(outputs)

    def run(self, image: U8) -> dict[str, NDArray[np.generic]]:
        """Run the graph on uint8 [rows, columns, 3] BGR and return its outputs by name."""
        results = self._session.run(self._outputs, {self._input: image[np.newaxis]})
        return dict(zip(self._outputs, results, strict=True))
