from __future__ import annotations

from math import prod, sqrt

import numpy as np
import pytest

from edgevision.detection.ssd import make_anchors
from edgevision.model_builder.architectures import ssd_mobilenet_v2
from edgevision.model_builder.graph import Conv, Network
from edgevision.model_card import AnchorMap


@pytest.fixture(scope="module")
def built() -> tuple[Network, tuple[AnchorMap, ...]]:
    return ssd_mobilenet_v2(classes=24)


@pytest.fixture(scope="module")
def network(built: tuple[Network, tuple[AnchorMap, ...]]) -> Network:
    return built[0]


@pytest.fixture(scope="module")
def anchors(built: tuple[Network, tuple[AnchorMap, ...]]) -> tuple[AnchorMap, ...]:
    return built[1]


def layer(network: Network, name: str) -> Conv:
    return next(conv for conv in network.convs if conv.name == name)


def test_the_network_has_4951996_parameters_in_72_convolutions_17_of_them_depthwise(
    network: Network,
) -> None:
    assert network.parameter_count == 4_951_996
    assert len(network.convs) == 55 + 17
    assert sum(conv.is_depthwise for conv in network.convs) == 17
    assert len(network.adds) == 10


def test_the_backbone_has_the_reference_count_of_mobilenet_v2_without_its_classifier(
    network: Network,
) -> None:
    backbone = [c for c in network.convs if c.name.split(".")[0] in {"stem", "blocks", "final"}]
    with_batch_norm = sum(prod(c.weight_shape) + 2 * c.output.channels for c in backbone)
    assert with_batch_norm == 3_504_872 - 1280 * 1000 - 1000


@pytest.mark.parametrize(
    ("name", "side", "channels"),
    [
        ("stem", 150, 32),
        ("blocks.0.project", 150, 16),
        ("blocks.2.project", 75, 24),
        ("blocks.5.project", 38, 32),
        ("blocks.9.project", 19, 64),
        ("blocks.12.project", 19, 96),
        ("blocks.13.expand", 19, 576),
        ("blocks.16.project", 10, 320),
        ("final", 10, 1280),
        ("extras.0.conv", 5, 512),
        ("extras.3.conv", 1, 128),
        ("head.0.box", 19, 12),
        ("head.0.class", 19, 72),
        ("head.5.class", 1, 144),
    ],
)
def test_layers_have_the_resolution_and_channels_of_the_table(
    network: Network, name: str, side: int, channels: int
) -> None:
    output = layer(network, name).output
    assert (output.rows, output.columns, output.channels) == (side, side, channels)


def test_both_outputs_have_a_row_for_each_of_1917_anchors(
    network: Network, anchors: tuple[AnchorMap, ...]
) -> None:
    assert [(o.name, o.count, o.width) for o in network.outputs] == [
        ("box_encodings", 1917, 4),
        ("class_predictions", 1917, 24),
    ]
    assert len(make_anchors(anchors)) == 1917


def test_the_first_map_has_a_square_of_a_tenth_and_two_shapes_at_a_fifth(
    anchors: tuple[AnchorMap, ...],
) -> None:
    assert [(s.scale, s.ratio) for s in anchors[0].shapes] == [(0.1, 1), (0.2, 2), (0.2, 0.5)]


def test_the_second_map_has_five_ratios_at_0_35_and_a_square_between_0_35_and_0_5(
    anchors: tuple[AnchorMap, ...],
) -> None:
    shapes = [(s.scale, s.ratio) for s in anchors[1].shapes]
    assert shapes == [
        *((pytest.approx(0.35), ratio) for ratio in (1, 2, 1 / 2, 3, 1 / 3)),
        (pytest.approx(sqrt(0.35 * 0.5)), 1),
    ]


def test_the_last_square_lies_between_0_95_and_the_whole_image(
    anchors: tuple[AnchorMap, ...],
) -> None:
    assert anchors[-1].shapes[-1].scale == pytest.approx(sqrt(0.95 * 1.0))


def test_the_second_anchor_of_the_first_cell_is_twice_as_wide_as_high(
    anchors: tuple[AnchorMap, ...],
) -> None:
    expected = [0.5 / 19, 0.5 / 19, 0.2 / sqrt(2), 0.2 * sqrt(2)]
    np.testing.assert_allclose(make_anchors(anchors)[1], expected, rtol=1e-6)
