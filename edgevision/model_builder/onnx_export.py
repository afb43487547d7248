"""Exporting a network as ONNX, float32 or INT8, and running such a graph in memory.

Both graphs take the same uint8 BGR image. The float32 graph is the reference that quantization
is calibrated on and compared with. A file's bytes depend on nothing but its content.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
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
    Logits,
    SqueezeExcite,
)
from edgevision.model_builder.quantize import PIXEL_SCALE, SIGMOIDS
from edgevision.model_builder.weights import layer_weights, reading_bgr

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edgevision.frames import F32, U8
    from edgevision.model_builder.graph import FeatureMap, Network, Node, Output
    from edgevision.model_builder.quantize import I8, I32, QuantizedNetwork
    from edgevision.model_builder.weights import Weights

OPSET = 17  # 13 brought per-channel quantization; every ONNX Runtime since 1.12 reads 17
IR_VERSION = 8
PRODUCER = "edgevision"


def float_onnx(network: Network, weights: Weights, *, with_maps: bool = False) -> bytes:
    """Write the network as a float32 ONNX graph.

    Args:
        network: the network.
        weights: its weights, trained on RGB images of -1..1; checked.
        with_maps: declare all of `Network.tensors` as outputs too, in order.

    Returns:
        The file: uint8 [1, rows, columns, 3] BGR in, a float32 array out for every `Output`,
        then the maps float32 [1, channels, rows, columns].
    """
    return _FloatWriter(network, weights).content(with_maps=with_maps)


def int8_onnx(quantized: QuantizedNetwork, *, with_maps: bool = False) -> bytes:
    """Write the network as an INT8 ONNX graph.

    Between layers every tensor is uint8, r = s (q - z). Every convolution and sum has
    DequantizeLinear before it and QuantizeLinear after it (the QDQ form): ONNX Runtime fuses
    each such group into one integer kernel, and any other runtime can execute the definition.
    ReLU and ReLU6 need no node: their range starts at z = 0, ReLU6's ends at 6 or below, and
    QuantizeLinear saturates there. The other activations read the convolution's own quantized
    result.

    Args:
        quantized: the network.
        with_maps: declare all of `Network.tensors` as outputs too, in order.

    Returns:
        The file: uint8 [1, rows, columns, 3] BGR in, a float32 array out for every `Output`,
        then the maps uint8 [1, channels, rows, columns].
    """
    return _Int8Writer(quantized).content(with_maps=with_maps)


class GraphSession:
    """A graph with one image as its input, run by ONNX Runtime for calibration and tests."""

    def __init__(self, content: bytes, outputs: Sequence[str], *, threads: int = 0) -> None:
        """Load the graph.

        Args:
            content: the ONNX file.
            outputs: names of the outputs to compute.
            threads: number of threads; 0: one per core.
        """
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4
        # Threads that spin while they wait slow each other down when there are few cores.
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
        """Append a constant unless its name is there already, and return the name."""
        if name not in self._constants:
            self._constants[name] = numpy_helper.from_array(np.asarray(array, order="C"), name)
        return name

    def output(self, output: Output) -> None:
        """Declare the tensor of the output's name as a float32 output of its shape."""
        shape = list(output.shape)
        self._outputs.append(helper.make_tensor_value_info(output.name, TensorProto.FLOAT, shape))

    def map_output(self, name: str, shape: FeatureMap, dtype: int) -> None:
        """Declare the map `name` as an output: [1, channels, rows, columns]."""
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


class _GraphWriter(ABC):
    """Writes a network's nodes; the parts that are the same for float32 and INT8."""

    dtype: int
    """Element type of the maps, of `TensorProto`."""

    def __init__(self, network: Network) -> None:
        self.file = OnnxFile(network.name, network.input)
        self._network = network
        # The tensor that holds each layer's result, NCHW: the layout of ONNX's Conv.
        self._tensors: dict[str, str] = {}

    def content(self, *, with_maps: bool) -> bytes:
        """Write all nodes, declare the maps as outputs if asked to, and return the file."""
        for node in self._network.nodes:
            self._write(node)
        if with_maps:
            for name, shape in self._network.tensors.items():
                self.file.map_output(name, shape, self.dtype)
        return self.file.content()

    def _write(self, node: Node) -> None:
        if isinstance(node, Conv):
            self._conv(node)
        elif isinstance(node, Add):
            self._operator("Add", node.name, "sum", node.branch, node.stream)
        elif isinstance(node, GlobalPool):
            self._operator("GlobalAveragePool", node.name, "mean", node.source)
        elif isinstance(node, SqueezeExcite):
            self._operator("Mul", node.name, "product", node.source, node.factors)
        else:
            self._output(node)
            self.file.output(node)

    @abstractmethod
    def _conv(self, conv: Conv) -> None:
        """Write a convolution and its activation."""

    @abstractmethod
    def _operator(self, operator: str, name: str, result: str, *sources: str) -> None:
        """Write one operator on the results of layers; its result is that of the layer `name`.

        An INT8 graph calls the result before rounding `<name>.<result>`.
        """

    @abstractmethod
    def _output(self, output: Output) -> None:
        """Write the float32 tensor of an output."""

    def _joined(self, output: Output, name: str) -> str:
        """Write an output's maps as one tensor `name`, in their element type."""
        if isinstance(output, Logits):
            return self.file.node("Flatten", [self._tensors[output.source.name]], name, axis=1)
        rows = [self._rows(source.name, output.width) for source in output.sources]
        return self.file.node("Concat", rows, name, axis=1)

    def _rows(self, name: str, width: int) -> str:
        """Turn a head map [1, anchors * width, rows, columns] into rows [1, a, width]."""
        shape = self.file.constant(f"rows_of_{width}", np.array([1, -1, width], np.int64))
        cells = self.file.node(
            "Transpose", [self._tensors[name]], f"{name}.cells", perm=[0, 2, 3, 1]
        )
        return self.file.node("Reshape", [cells, shape], f"{name}.rows")


class _FloatWriter(_GraphWriter):
    dtype = TensorProto.FLOAT

    def __init__(self, network: Network, weights: Weights) -> None:
        super().__init__(network)
        self._weights = reading_bgr(network, weights)
        self._tensors[network.input.name] = self._image(network.input.name)

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
        file.node("Conv", inputs, conv.linear_name, **_conv_attributes(conv))
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

    def _operator(self, operator: str, name: str, result: str, *sources: str) -> None:  # noqa: ARG002 - nothing is rounded
        inputs = [self._tensors[source] for source in sources]
        self._tensors[name] = self.file.node(operator, inputs, name)

    def _output(self, output: Output) -> None:
        self._joined(output, output.name)


class _Int8Writer(_GraphWriter):
    dtype = TensorProto.UINT8

    def __init__(self, quantized: QuantizedNetwork) -> None:
        super().__init__(quantized.network)
        self._quantized = quantized
        self._affine = quantized.affines
        image = quantized.network.input.name
        self._tensors[image] = self.file.node("Transpose", [image], "planes", perm=[0, 3, 1, 2])

    def _conv(self, conv: Conv) -> None:
        weight = self._quantized.weights[conv.name]
        bias, bias_scale = self._quantized.integer_bias(conv)
        inputs = [
            self._real(conv.source, reader=conv.name),
            self._constant(f"{conv.name}.weight", weight.levels, weight.scale),
            self._constant(f"{conv.name}.bias", bias, bias_scale),
        ]
        total = self.file.node("Conv", inputs, f"{conv.name}.total", **_conv_attributes(conv))
        if conv.activation.is_clip:
            self._store(conv.name, total)
        else:
            self._store(conv.linear_name, total)
            self._activate(conv)

    def _activate(self, conv: Conv) -> None:
        linear = conv.linear_name
        match conv.activation:
            case Activation.SILU:
                sigmoid = f"{conv.name}.sigmoid"
                self._affine[sigmoid] = SIGMOIDS
                self._operator("Sigmoid", sigmoid, "curved", linear)
                self._operator("Mul", conv.name, "curved", linear, sigmoid)
            case Activation.HARD_SWISH:
                self._operator("HardSwish", conv.name, "curved", linear)
            case _:
                self._operator("Sigmoid", conv.name, "curved", linear)

    def _operator(self, operator: str, name: str, result: str, *sources: str) -> None:
        inputs = [self._real(source, reader=name) for source in sources]
        self._store(name, self.file.node(operator, inputs, f"{name}.{result}"))

    def _output(self, output: Output) -> None:
        joined = self._joined(output, f"{output.name}.levels")
        inputs = [joined, *self._parameters(output.name)]
        self.file.node("DequantizeLinear", inputs, output.name)

    def _store(self, name: str, real: str) -> None:
        inputs = [real, *self._parameters(name)]
        self._tensors[name] = self.file.node("QuantizeLinear", inputs, name)

    def _real(self, name: str, *, reader: str) -> str:
        """Dequantize a layer's result for one reader; fusion needs a node for each reader."""
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


def _conv_attributes(conv: Conv) -> dict[str, int | list[int]]:
    """Return the attributes of the ONNX operator Conv."""
    pads = conv.pads
    return {
        "kernel_shape": [conv.kernel, conv.kernel],
        "strides": [conv.stride, conv.stride],
        "group": conv.groups,
        "pads": [pads.top, pads.left, pads.bottom, pads.right],
    }
