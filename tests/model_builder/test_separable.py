from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from edgevision.frames import F32, U8
from edgevision.model_builder.graph import Activation, Conv, Network
from edgevision.model_builder.graph_builder import GraphBuilder, same_pads
from edgevision.model_builder.onnx_export import GraphSession, float_onnx
from edgevision.model_builder.weights import Weights, random_weights


def layout(
    rows: int, columns: int, channels: int, kernel: int, stride: int, *, separable: bool
) -> Network:
    """A 1x1 convolution to some channels, then the layer under test and a pointwise one."""
    graph = GraphBuilder(rows=rows, columns=columns, channels=3, activation=Activation.LINEAR)
    x = graph.conv("stem", graph.image, channels, kernel=1)
    groups = channels if separable else 1
    x = graph.conv("filter", x, channels, kernel=kernel, stride=stride, groups=groups)
    x = graph.conv("pointwise", x, 4, kernel=1)
    graph.predictions("table", [x], width=4)
    return graph.build("net")


def maps(network: Network, weights: Weights, image: U8) -> dict[str, F32]:
    names = list(network.tensors)
    found = GraphSession(float_onnx(network, weights, with_maps=True), names).run(image)
    return {name: np.asarray(values, np.float32) for name, values in found.items()}


def naive(source: F32, conv: Conv, weight: F32, bias: F32) -> F32:
    """Compute a standard convolution by its definition, in float64."""
    pads = conv.pads
    around = ((0, 0), (pads.top, pads.bottom), (pads.left, pads.right))
    padded = np.pad(source.astype(np.float64), around)
    k, s = conv.kernel, conv.stride
    result = np.empty((conv.output.channels, conv.output.rows, conv.output.columns))
    for row in range(conv.output.rows):
        for column in range(conv.output.columns):
            patch = padded[:, row * s : row * s + k, column * s : column * s + k]
            result[:, row, column] = (weight * patch).sum(axis=(1, 2, 3)) + bias
    return result.astype(np.float32)


def block_diagonal(weight: F32) -> F32:
    """Write depthwise weights [c, 1, k, k] as standard ones [c, c, k, k], 0 off the diagonal."""
    channels = len(weight)
    standard = np.zeros((channels, channels, *weight.shape[2:]), np.float32)
    standard[np.arange(channels), np.arange(channels)] = weight[:, 0]
    return standard


cases = st.tuples(
    st.integers(1, 13),
    st.integers(1, 13),
    st.integers(2, 9),
    st.sampled_from([1, 3, 5, 7]),
    st.sampled_from([1, 2]),
)


@given(cases, st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_a_depthwise_convolution_is_the_standard_one_with_block_diagonal_weights(
    case: tuple[int, int, int, int, int], seed: int
) -> None:
    separable = layout(*case, separable=True)
    standard = layout(*case, separable=False)
    weights = dict(random_weights(separable, seed=seed))
    explicit = {**weights, "filter.weight": block_diagonal(weights["filter.weight"])}
    image = np.random.default_rng(seed).integers(0, 256, (*case[:2], 3), np.uint8)
    found, expected = maps(separable, weights, image), maps(standard, explicit, image)
    for name in ("filter", "pointwise"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-5)
    conv = next(conv for conv in standard.convs if conv.name == "filter")
    by_definition = naive(
        found["stem"][0], conv, explicit["filter.weight"], explicit["filter.bias"]
    )
    np.testing.assert_allclose(found["filter"][0], by_definition, rtol=1e-4, atol=1e-5)


@given(cases, st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_depthwise_then_pointwise_is_one_standard_convolution_of_the_products(
    case: tuple[int, int, int, int, int], seed: int
) -> None:
    network = layout(*case, separable=True)
    weights = random_weights(network, seed=seed)
    image = np.random.default_rng(seed).integers(0, 256, (*case[:2], 3), np.uint8)
    found = maps(network, weights, image)
    mixing = weights["pointwise.weight"][:, :, 0, 0]
    merged = mixing[:, :, None, None] * weights["filter.weight"][:, 0]
    bias = mixing @ weights["filter.bias"] + weights["pointwise.bias"]
    graph = GraphBuilder(rows=case[0], columns=case[1], channels=case[2])
    graph.conv("merged", graph.image, 4, kernel=case[3], stride=case[4])
    expected = naive(found["stem"][0], graph.build("one").convs[0], merged, bias)
    np.testing.assert_allclose(found["pointwise"][0], expected, rtol=1e-4, atol=1e-5)


def same_upper(size: int, kernel: int, stride: int) -> ort.InferenceSession:
    """Write a convolution that leaves the padding to ONNX Runtime's own SAME_UPPER."""
    node = helper.make_node(
        "Conv",
        ["x", "w"],
        ["y"],
        auto_pad="SAME_UPPER",
        kernel_shape=[kernel, kernel],
        strides=[stride, stride],
    )
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, size, 1])
    w = helper.make_tensor_value_info("w", TensorProto.FLOAT, [1, 1, kernel, kernel])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "same", [x, w], [y])
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    return ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5])
def test_same_padding_gives_the_results_of_onnx_runtimes_own_for_all_sizes_to_64(
    kernel: int, stride: int
) -> None:
    rng = np.random.default_rng(kernel)
    weight = rng.standard_normal((1, 1, kernel, kernel), np.float32)
    for size in range(1, 65):
        column = rng.standard_normal((1, 1, size, 1), np.float32)
        session = same_upper(size, kernel, stride)
        expected = session.run(None, {"x": column, "w": weight})[0][0]
        graph = GraphBuilder(rows=size, columns=1, channels=1)
        graph.conv("conv", graph.image, 1, kernel=kernel, stride=stride)
        conv = graph.build("net").convs[0]
        assert conv.pads == same_pads(size, 1, kernel=kernel, stride=stride)
        found = naive(column[0], conv, weight, np.zeros(1, np.float32))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
