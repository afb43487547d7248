"""The NumPy plan against ONNX Runtime, both written from the same network and weights."""

from __future__ import annotations

import time

import numpy as np
import pytest
from model_builder.tiny_network import TinyNetwork, ignore_progress

from edgevision.inference.numpy_backend import NumpyNetwork
from edgevision.inference.numpy_plan import read_plan
from edgevision.model_builder.architectures import ARCHITECTURES, Head, architecture, lay_out
from edgevision.model_builder.calibrate import quantize_on
from edgevision.model_builder.numpy_export import float_plan, int8_plan
from edgevision.model_builder.onnx_export import GraphSession, float_onnx, int8_onnx
from edgevision.model_builder.weights import random_weights


@pytest.mark.parametrize("head", list(Head))
@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_every_architecture_under_every_head_agrees_with_onnx_runtime_within_1e_4(
    name: str, head: Head
) -> None:
    blueprint = lay_out(architecture(name), head=head, width=0.5, side=65, classes=7)
    network = blueprint.network
    weights = random_weights(network, seed=2)
    image = np.random.default_rng(2).integers(0, 256, (65, 65, 3), np.uint8)
    names = [output.name for output in network.outputs]
    expected = GraphSession(float_onnx(network, weights), names).run(image)
    found = NumpyNetwork(read_plan(float_plan(network, weights))).run(image[np.newaxis])
    assert found.keys() == expected.keys()
    for output in names:
        one = np.asarray(expected[output]).reshape(found[output].shape)
        assert np.abs(found[output] - one).max() <= 1e-4 * np.abs(one).max()


def test_an_int8_plan_gives_the_levels_of_the_int8_graph(tiny: TinyNetwork) -> None:
    quantized = quantize_on(tiny.network, tiny.weights, tiny.images, {}, ignore_progress)
    session = GraphSession(int8_onnx(quantized), ["table"])
    network = NumpyNetwork(read_plan(int8_plan(quantized)))
    step = quantized.activations["table"].scale
    for image in tiny.images:
        expected = np.asarray(session.run(image)["table"])[0]
        np.testing.assert_allclose(network.run(image[np.newaxis])["table"], expected, atol=step / 9)


def test_writing_a_plan_twice_gives_the_same_bytes(
    tiny: TinyNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = float_plan(tiny.network, tiny.weights)
    monkeypatch.setattr(time, "time", lambda: 2e9)
    assert float_plan(tiny.network, tiny.weights) == first
