from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevision.errors import ModelError
from edgevision.model_builder.blocks import inverted_residual, round_channels
from edgevision.model_builder.graph import Activation
from edgevision.model_builder.graph_builder import GraphBuilder


@pytest.mark.parametrize(
    ("channels", "rounded"),
    [(32, 32), (24 * 0.75, 24), (32 * 0.35, 16), (16 * 0.35, 8), (24 * 1.4, 32), (1, 8), (12, 16)],
)
def test_channels_are_rounded_to_multiples_of_8_losing_at_most_10_percent(
    channels: float, rounded: int
) -> None:
    assert round_channels(channels) == rounded


@given(st.floats(1, 5000))
def test_rounded_channels_are_a_multiple_of_8_and_never_below_90_percent(channels: float) -> None:
    rounded = round_channels(channels)
    assert rounded % 8 == 0
    assert rounded >= max(8, 0.9 * channels)
    assert rounded < channels + 12


def test_a_block_of_stride_1_and_equal_channels_adds_its_input() -> None:
    graph = GraphBuilder(rows=8, columns=8, channels=16)
    inverted_residual(graph, "block", graph.image, 16, expansion=6, stride=1)
    network = graph.build("net")
    names = [node.name for node in network.nodes]
    assert names == ["block.expand", "block.depthwise", "block.project", "block.add"]
    assert network.adds[0].stream == "image"
    assert network.convs[-1].activation is Activation.LINEAR


@pytest.mark.parametrize(("channels", "stride"), [(16, 2), (24, 1)])
def test_a_block_that_changes_the_shape_adds_nothing(channels: int, stride: int) -> None:
    graph = GraphBuilder(rows=8, columns=8, channels=16)
    inverted_residual(graph, "block", graph.image, channels, expansion=6, stride=stride)
    assert not graph.build("net").adds


def test_a_block_of_expansion_1_has_no_expanding_layer() -> None:
    graph = GraphBuilder(rows=8, columns=8, channels=16)
    inverted_residual(graph, "block", graph.image, 24, expansion=1, stride=1)
    assert [c.name for c in graph.build("net").convs] == ["block.depthwise", "block.project"]


def test_a_layer_name_used_twice_is_refused() -> None:
    graph = GraphBuilder(rows=8, columns=8, channels=3)
    graph.conv("stem", graph.image, 8, kernel=3)
    with pytest.raises(ModelError, match="got 'stem' a second time"):
        graph.conv("stem", graph.image, 8, kernel=3)


def test_an_image_without_rows_is_refused() -> None:
    with pytest.raises(ModelError, match="at least 1x1x1, got 0x8x3"):
        GraphBuilder(rows=0, columns=8, channels=3)


def test_asking_for_a_layer_that_is_not_there_says_its_name() -> None:
    with pytest.raises(ModelError, match="expected the name of a layer, got 'final'"):
        GraphBuilder(rows=8, columns=8, channels=3).map("final")
