"""Collecting nodes into an ONNX file whose bytes depend on nothing but its content."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edgevision.nets.graph import FeatureMap, Output

# Opset 13 brought per-channel quantization, 17 is read by every ONNX Runtime since 1.12.
OPSET = 17
IR_VERSION = 8
PRODUCER = "edgevision"


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
