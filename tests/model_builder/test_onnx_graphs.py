from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from model_builder.tiny_network import TinyNetwork, ignore_progress
from onnx import numpy_helper

from edgevision.model_builder.calibrate import choose_activations, measure_moments, measure_ranges
from edgevision.model_builder.graph import Network
from edgevision.model_builder.graph_builder import GraphBuilder
from edgevision.model_builder.onnx_export import GraphSession, float_onnx, int8_onnx
from edgevision.model_builder.quantize import QuantizedNetwork, fit_to_inputs, quantize_network
from edgevision.model_builder.weights import reading_bgr


@pytest.fixture(scope="module")
def quantized(tiny: TinyNetwork) -> QuantizedNetwork:
    ranges = measure_ranges(tiny.network, tiny.weights, tiny.images, ignore_progress)
    activations = choose_activations(tiny.network, ranges, {})
    weights = reading_bgr(tiny.network, tiny.weights)
    nearest = quantize_network(tiny.network, weights, activations)
    moments = measure_moments(nearest, tiny.images, ignore_progress)
    return fit_to_inputs(nearest, weights, moments)


def run(content: bytes, network: Network, image: np.ndarray) -> np.ndarray:
    name = network.outputs[0].name
    return np.asarray(GraphSession(content, [name]).run(image)[name])


def constants(content: bytes) -> dict[str, np.ndarray]:
    graph = onnx.load_model_from_string(content).graph
    return {constant.name: numpy_helper.to_array(constant) for constant in graph.initializer}


def test_the_float_graph_computes_the_stem_of_the_formula(tiny: TinyNetwork) -> None:
    image = tiny.images[0]
    content = float_onnx(tiny.network, tiny.weights, with_maps=True)
    stem = np.asarray(GraphSession(content, ["stem"]).run(image)["stem"])[0]
    rgb = image[..., ::-1] / 127.5 - 1
    weight = tiny.weights["stem.weight"]
    # Row 5, column 7 at stride 2 after one cell of padding: pixels 9 to 11 and 13 to 15.
    patch = rgb[9:12, 13:16].transpose(2, 0, 1)
    expected = np.clip((weight * patch).sum(axis=(1, 2, 3)) + tiny.weights["stem.bias"], 0, 6)
    np.testing.assert_allclose(stem[:, 5, 7], expected, atol=1e-5)


def test_the_int8_graph_stays_near_float(tiny: TinyNetwork, quantized: QuantizedNetwork) -> None:
    exact = np.concatenate(
        [run(float_onnx(tiny.network, tiny.weights), tiny.network, i) for i in tiny.images]
    )
    coarse = np.concatenate([run(int8_onnx(quantized), tiny.network, i) for i in tiny.images])
    assert np.sqrt(np.mean((exact - coarse) ** 2)) < 0.03 * exact.std()
    assert abs(float(np.mean(exact - coarse))) < 0.005 * exact.std()


def test_fitting_to_the_inputs_brings_the_int8_graph_nearer_to_float(
    tiny: TinyNetwork, quantized: QuantizedNetwork
) -> None:
    weights = reading_bgr(tiny.network, tiny.weights)
    nearest = quantize_network(tiny.network, weights, quantized.activations)
    content = float_onnx(tiny.network, tiny.weights)
    errors = []
    for graph in (int8_onnx(nearest), int8_onnx(quantized)):
        differences = [
            run(graph, tiny.network, image) - run(content, tiny.network, image)
            for image in tiny.images
        ]
        errors.append(float(np.mean(np.square(differences))))
    assert errors[1] < errors[0]


def test_onnx_runtime_fuses_the_int8_graph_into_integer_kernels_only(
    quantized: QuantizedNetwork, tmp_path: Path
) -> None:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    ort.InferenceSession(int8_onnx(quantized), options, providers=["CPUExecutionProvider"])
    optimized = onnx.load(options.optimized_model_filepath)
    operators = Counter(node.op_type for node in optimized.graph.node)
    assert operators["QLinearConv"] == len(quantized.network.convs)
    assert operators["QLinearAdd"] == len(quantized.network.adds)
    assert operators.keys() <= {
        *("QLinearConv", "QLinearAdd", "Reshape", "Concat", "DequantizeLinear")
    }


def test_writing_the_same_network_twice_gives_the_same_bytes(
    tiny: TinyNetwork, quantized: QuantizedNetwork
) -> None:
    assert int8_onnx(quantized) == int8_onnx(quantized)
    assert float_onnx(tiny.network, tiny.weights) == float_onnx(tiny.network, tiny.weights)


def test_the_float_graph_holds_exactly_the_counted_parameters(tiny: TinyNetwork) -> None:
    held = constants(float_onnx(tiny.network, tiny.weights))
    layers = [array for name, array in held.items() if name in tiny.network.weight_shapes]
    assert sum(array.size for array in layers) == tiny.network.parameter_count


def test_a_sums_operands_have_scales_of_whole_255ths_of_its_own(
    quantized: QuantizedNetwork,
) -> None:
    for add in quantized.network.adds:
        total = quantized.activations[add.name].scale
        for name in (add.branch, add.stream):
            steps = quantized.activations[name].scale / total * 255
            assert steps == pytest.approx(round(steps), abs=1e-9)


def test_the_padding_is_written_out_asymmetrically_at_stride_2() -> None:
    graph = GraphBuilder(rows=8, columns=8, channels=3)
    x = graph.conv("stem", graph.image, 4, kernel=3, stride=2)
    graph.predictions("table", [x], width=4)
    network = graph.build("net")
    weights = {name: np.zeros(shape, np.float32) for name, shape in network.weight_shapes.items()}
    nodes = onnx.load_model_from_string(float_onnx(network, weights)).graph.node
    conv = next(node for node in nodes if node.op_type == "Conv")
    pads = next(list(a.ints) for a in conv.attribute if a.name == "pads")
    assert pads == [0, 0, 1, 1]
