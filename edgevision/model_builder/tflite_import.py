"""Importing the weights of a published TFLite model: its constants, matched to named layers.

Only the constants, strides and activations are taken from the file; the graph is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import tflite

from edgevision.errors import ModelError, ModelMismatchError
from edgevision.model_builder.graph import Activation, Predictions
from edgevision.model_builder.weights import checked_weights

if TYPE_CHECKING:
    from edgevision.frames import F32
    from edgevision.model_builder.graph import Conv, Network
    from edgevision.model_builder.weights import Weights

_ACTIVATIONS = {
    tflite.ActivationFunctionType.NONE: Activation.LINEAR,
    tflite.ActivationFunctionType.RELU6: Activation.RELU6,
}
_DTYPES = {tflite.TensorType.FLOAT16: np.float16, tflite.TensorType.FLOAT32: np.float32}


@dataclass(frozen=True, slots=True)
class PublishedConv:
    """One convolution of the file.

    Attributes:
        depthwise: whether each channel has its own filter.
        weight: float32 [out, in / groups, rows, columns].
        bias: float32 [out].
        stride: step of the kernel.
        activation: applied to the result.
    """

    depthwise: bool
    weight: F32
    bias: F32
    stride: int
    activation: Activation

    def faults(self, conv: Conv) -> list[str]:
        """Return every difference from the layer `conv`, a line each."""
        compared = (
            ("depthwise", conv.is_depthwise, self.depthwise),
            ("weight", list(conv.weight_shape), list(self.weight.shape)),
            ("bias", [conv.output.channels], list(self.bias.shape)),
            ("stride", conv.stride, self.stride),
            ("activation", conv.activation.value, self.activation.value),
        )
        return [
            f"{conv.name}: {what}: expected {expected}, got {found}"
            for what, expected, found in compared
            if expected != found
        ]


def match(network: Network, published: tuple[PublishedConv, ...]) -> Weights:
    """Map the published constants to the network's layers, both in graph order.

    Raises:
        ModelMismatchError: number, kind, shape, stride or activation differ; the message has a
            line for every fault.
    """
    convs = _published_order(network)
    faults = []
    if len(convs) != len(published):
        faults.append(f"expected {len(convs)} convolutions, got {len(published)}")
    for conv, found in zip(convs, published, strict=False):
        faults += found.faults(conv)
    if faults:
        lines = [f"published weights do not fit {network.name}:", *faults]
        raise ModelMismatchError("\n".join(lines))
    weights: dict[str, F32] = {}
    for conv, found in zip(convs, published, strict=True):
        weights[f"{conv.name}.weight"] = found.weight
        weights[f"{conv.name}.bias"] = found.bias
    return checked_weights(network, weights)


def read_convs(content: bytes) -> tuple[PublishedConv, ...]:
    """Return the convolutions of a TFLite flatbuffer in graph order.

    Constants may be stored as float32, or as float16 behind a DEQUANTIZE operator.

    Raises:
        ModelError: the bytes are not a TFLite model, or one with other convolutions or constants.
    """
    if content[4:8] != b"TFL3":
        msg = "expected a TFLite flatbuffer (TFL3), got something else: the package has changed"
        raise ModelError(msg)
    return _Reader(content).convs()


def _published_order(network: Network) -> list[Conv]:
    """Place a predictor right after the map it reads, as TensorFlow's exporter does."""
    position = {node.name: index for index, node in enumerate(network.nodes)}
    predictors = {
        source.name
        for node in network.nodes
        if isinstance(node, Predictions)
        for source in node.sources
    }

    def key(conv: Conv) -> tuple[int, int]:
        own = position[conv.name]
        return (position[conv.source], own) if conv.name in predictors else (own, -1)

    return sorted(network.convs, key=key)


class _Reader:
    """Reads the flatbuffer's only subgraph."""

    def __init__(self, content: bytes) -> None:
        self._model = tflite.Model.GetRootAs(content, 0)
        self._graph = self._model.Subgraphs(0)
        operators = [self._graph.Operators(i) for i in range(self._graph.OperatorsLength())]
        self._operators = [(self._code(operator), operator) for operator in operators]
        self._stored = {
            operator.Outputs(0): operator.Inputs(0)
            for code, operator in self._operators
            if code == tflite.BuiltinOperator.DEQUANTIZE
        }

    def convs(self) -> tuple[PublishedConv, ...]:
        convs = []
        for code, operator in self._operators:
            if code == tflite.BuiltinOperator.CONV_2D:
                convs.append(self._conv(operator, tflite.Conv2DOptions(), depthwise=False))
            elif code == tflite.BuiltinOperator.DEPTHWISE_CONV_2D:
                convs.append(self._conv(operator, tflite.DepthwiseConv2DOptions(), depthwise=True))
        return tuple(convs)

    def _code(self, operator: tflite.Operator) -> int:
        code = self._model.OperatorCodes(operator.OpcodeIndex())
        return int(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()))

    def _conv(
        self,
        operator: tflite.Operator,
        options: tflite.Conv2DOptions | tflite.DepthwiseConv2DOptions,
        *,
        depthwise: bool,
    ) -> PublishedConv:
        table = operator.BuiltinOptions()
        options.Init(table.Bytes, table.Pos)
        activation = _ACTIVATIONS.get(options.FusedActivationFunction())
        if (
            activation is None
            or options.Padding() != tflite.Padding.SAME
            or options.StrideH() != options.StrideW()
        ):
            msg = "expected convolutions with SAME padding, square strides, ReLU6 or no activation"
            raise ModelError(msg)
        # TFLite stores [out, rows, columns, in], and depthwise weights [1, rows, columns, out].
        axes = (3, 0, 1, 2) if depthwise else (0, 3, 1, 2)
        weight = self._constant(operator.Inputs(1)).transpose(axes)
        return PublishedConv(
            depthwise=depthwise,
            weight=np.ascontiguousarray(weight),
            bias=self._constant(operator.Inputs(2)),
            stride=options.StrideH(),
            activation=activation,
        )

    def _constant(self, index: int) -> F32:
        tensor = self._graph.Tensors(self._stored.get(index, index))
        dtype = _DTYPES.get(tensor.Type())
        if dtype is None:
            msg = f"expected float16 or float32 constants, got tensor type {tensor.Type()}"
            raise ModelError(msg)
        content = self._model.Buffers(tensor.Buffer()).DataAsNumpy()
        stored = content.view(dtype).reshape(tensor.ShapeAsNumpy())
        return np.asarray(stored, np.float32)
