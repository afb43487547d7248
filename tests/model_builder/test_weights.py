from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from model_builder.tiny_network import TinyNetwork

from edgevision.errors import ModelError, ModelMismatchError
from edgevision.model_builder.graph import Activation
from edgevision.model_builder.tflite_import import PublishedConv, match, read_convs
from edgevision.model_builder.weights import checked_weights, reading_bgr


def published(tiny: TinyNetwork) -> list[PublishedConv]:
    return [
        PublishedConv(
            depthwise=conv.is_depthwise,
            weight=tiny.weights[f"{conv.name}.weight"],
            bias=tiny.weights[f"{conv.name}.bias"],
            stride=conv.stride,
            activation=conv.activation,
        )
        for conv in tiny.network.convs
    ]


def test_missing_surplus_misshapen_and_infinite_weights_are_all_listed_at_once(
    tiny: TinyNetwork,
) -> None:
    weights = dict(tiny.weights)
    del weights["stem.bias"]
    weights["stem.gamma"] = np.zeros(8, np.float32)
    weights["head.weight"] = np.zeros((10, 8, 1, 1), np.float32)
    weights["head.bias"] = np.full(10, np.nan, np.float32)
    with pytest.raises(ModelMismatchError) as raised:
        checked_weights(tiny.network, weights)
    assert str(raised.value).splitlines() == [
        "weights do not fit tiny:",
        "head.bias: expected finite numbers, got NaN or infinity",
        "head.weight: expected [10, 16, 1, 1], got [10, 8, 1, 1]",
        "stem.bias: expected [8], got nothing",
        "stem.gamma: expected no such layer, got [8]",
    ]


def test_the_networks_own_weights_pass_unchanged(tiny: TinyNetwork) -> None:
    checked = checked_weights(tiny.network, tiny.weights)
    assert checked.keys() == tiny.network.weight_shapes.keys()
    assert all((checked[name] == tiny.weights[name]).all() for name in checked)


def test_folding_the_colour_order_reverses_the_stem_and_nothing_else(tiny: TinyNetwork) -> None:
    folded = reading_bgr(tiny.network, tiny.weights)
    changed = [name for name in folded if not np.array_equal(folded[name], tiny.weights[name])]
    assert changed == ["stem.weight"]
    assert (folded["stem.weight"][:, 0] == tiny.weights["stem.weight"][:, 2]).all()


def test_published_constants_get_the_names_of_the_layers_in_graph_order(tiny: TinyNetwork) -> None:
    weights = match(tiny.network, tuple(published(tiny)))
    assert all((weights[name] == tiny.weights[name]).all() for name in tiny.weights)


def test_every_published_layer_that_does_not_fit_is_listed(tiny: TinyNetwork) -> None:
    layers = published(tiny)
    layers[0] = replace(layers[0], stride=1)
    layers[2] = replace(layers[2], activation=Activation.RELU6)
    layers[-1] = replace(layers[-1], bias=np.zeros(9, np.float32))
    with pytest.raises(ModelMismatchError) as raised:
        match(tiny.network, (*layers, layers[-1]))
    assert str(raised.value).splitlines() == [
        "published weights do not fit tiny:",
        f"expected {len(layers)} convolutions, got {len(layers) + 1}",
        "stem: stride: expected 2, got 1",
        "blocks.0.project: activation: expected linear, got relu6",
        "head: bias: expected [10], got [9]",
    ]


def test_bytes_that_are_no_tflite_model_are_refused() -> None:
    with pytest.raises(ModelError, match="expected a TFLite flatbuffer"):
        read_convs(b"PK\x03\x04 not a model")
