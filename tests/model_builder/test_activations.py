from __future__ import annotations

import numpy as np
import pytest
from model_builder.tiny_network import ignore_progress

from edgevision.frames import F32, U8
from edgevision.model_builder.blocks import squeeze_and_excite
from edgevision.model_builder.calibrate import quantize_on
from edgevision.model_builder.graph import Activation, Network
from edgevision.model_builder.graph_builder import GraphBuilder
from edgevision.model_builder.heads import LOGITS_OUTPUT, append_classifier
from edgevision.model_builder.onnx_export import GraphSession, float_onnx, int8_onnx
from edgevision.model_builder.weights import MEAN_SQUARES, random_weights

FORMULAS = {
    Activation.LINEAR: lambda x: x,
    Activation.RELU: lambda x: np.maximum(x, 0),
    Activation.RELU6: lambda x: np.clip(x, 0, 6),
    Activation.SILU: lambda x: x / (1 + np.exp(-x)),
    Activation.HARD_SWISH: lambda x: x * np.clip(x + 3, 0, 6) / 6,
    Activation.SIGMOID: lambda x: 1 / (1 + np.exp(-x)),
}


@pytest.fixture(scope="module")
def images() -> list[U8]:
    rng = np.random.default_rng(3)
    return [rng.integers(0, 256, (17, 17, 3), np.uint8) for _ in range(4)]


def network_of(activation: Activation) -> Network:
    graph = GraphBuilder(rows=17, columns=17, channels=3, activation=activation)
    x = graph.conv("stem", graph.image, 16, kernel=3, stride=2)
    x = squeeze_and_excite(graph, "se", x, 4)
    append_classifier(graph, x, classes=6)
    return graph.build("net")


def run(content: bytes, name: str, images: list[U8]) -> F32:
    session = GraphSession(content, [name])
    return np.concatenate([np.asarray(session.run(i)[name], np.float32) for i in images])


@pytest.mark.parametrize("activation", Activation)
def test_the_float_graph_computes_the_formula_of_the_activation(
    activation: Activation, images: list[U8]
) -> None:
    network = network_of(activation)
    weights = random_weights(network, seed=1)
    content = float_onnx(network, weights, with_maps=True)
    linear_network = network_of(Activation.LINEAR)
    linear = run(float_onnx(linear_network, weights, with_maps=True), "stem", images)
    expected = FORMULAS[activation](linear)
    np.testing.assert_allclose(run(content, "stem", images), expected, atol=1e-5)


@pytest.mark.parametrize("activation", Activation)
def test_the_int8_graph_follows_within_a_tenth_of_the_spread(
    activation: Activation, images: list[U8]
) -> None:
    network = network_of(activation)
    weights = random_weights(network, seed=1)
    quantized = quantize_on(network, weights, images, {}, ignore_progress)
    exact = run(float_onnx(network, weights), LOGITS_OUTPUT, images)
    coarse = run(int8_onnx(quantized), LOGITS_OUTPUT, images)
    assert exact.shape == (4, 6)
    assert np.sqrt(np.mean((exact - coarse) ** 2)) < 0.1 * exact.std()


def test_a_gate_multiplies_every_channel_by_the_sigmoid_of_its_own_mean(images: list[U8]) -> None:
    network = network_of(Activation.RELU)
    weights = random_weights(network, seed=1)
    content = float_onnx(network, weights, with_maps=True)
    stem, factors, gated = (run(content, name, images) for name in ("stem", "se.expand", "se.gate"))
    pooled = stem.mean(axis=(2, 3))
    inner = np.maximum(
        pooled @ weights["se.reduce.weight"][:, :, 0, 0].T + weights["se.reduce.bias"], 0
    )
    outer = inner @ weights["se.expand.weight"][:, :, 0, 0].T + weights["se.expand.bias"]
    np.testing.assert_allclose(factors[:, :, 0, 0], 1 / (1 + np.exp(-outer)), atol=1e-5)
    np.testing.assert_allclose(gated, stem * factors, atol=1e-5)


@pytest.mark.parametrize("activation", Activation)
def test_the_mean_square_behind_each_activation_is_that_of_a_normal_input(
    activation: Activation,
) -> None:
    x = np.random.default_rng(0).standard_normal(400_000)
    measured = np.mean(FORMULAS[activation](x) ** 2)
    assert MEAN_SQUARES[activation] == pytest.approx(measured, rel=0.02)
