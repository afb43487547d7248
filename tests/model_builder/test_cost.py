from __future__ import annotations

import pytest

from edgevision.model_builder.architectures import ARCHITECTURES, Head, architecture, lay_out
from edgevision.model_builder.cost import Cost, Kind, NetworkCost, network_cost, separable_pairs
from edgevision.model_builder.graph_builder import GraphBuilder


def cost_of(name: str, *, width: float = 1.0, side: int | None = None) -> NetworkCost:
    return network_cost(lay_out(architecture(name), width=width, side=side).network)


@pytest.mark.parametrize(
    ("name", "parameters", "million_multiply_adds"),
    [
        ("mobilenet_v1", 4_231_976, 568.7),
        ("mobilenet_v1_full", 29_294_088, 4867.3),
        ("mobilenet_v2", 3_504_872, 300.8),
        ("mnasnet_a1", 3_887_038, 311.6),
        ("mnasnet_b1", 4_383_312, 314.4),
        ("mnasnet_small", 2_030_264, 68.3),
        ("efficientnet_b0", 5_288_548, 385.8),
        ("efficientnet_b1", 7_794_184, 686.8),
        ("efficientnet_b2", 9_109_994, 993.6),
        ("efficientnet_b3", 12_233_232, 1827.1),
        ("efficientnet_b4", 19_341_616, 4393.8),
        ("efficientnet_b5", 30_389_784, 10266.4),
        ("efficientnet_b6", 43_040_704, 19067.6),
        ("efficientnet_b7", 66_347_960, 37745.9),
        ("efficientnet_lite0", 4_652_008, 385.2),
        ("efficientnet_lite1", 5_416_680, 600.2),
        ("efficientnet_lite2", 6_092_072, 859.7),
        ("efficientnet_lite3", 8_197_096, 1383.3),
        ("efficientnet_lite4", 13_006_568, 2553.0),
    ],
)
def test_a_classifier_of_1000_classes_costs_what_the_reference_implementations_count(
    name: str, parameters: int, million_multiply_adds: float
) -> None:
    total = cost_of(name).total
    assert total.parameters == parameters
    assert round(total.multiply_adds / 1e6, 1) == million_multiply_adds


def test_every_architecture_has_its_golden_count() -> None:
    assert len(ARCHITECTURES) == 19


@pytest.mark.parametrize(
    ("name", "width", "parameters"),
    [
        ("mobilenet_v1", 0.25, 470_072),
        ("mobilenet_v1", 0.5, 1_331_592),
        ("mobilenet_v2", 0.35, 1_677_128),
        ("mobilenet_v2", 0.5, 1_968_680),
        ("mobilenet_v2", 0.75, 2_636_424),
        ("mobilenet_v2", 1.4, 6_108_776),
        ("mnasnet_b1", 0.5, 2_218_512),
        ("mnasnet_b1", 0.75, 3_170_208),
        ("mnasnet_b1", 1.3, 6_282_256),
    ],
)
def test_other_widths_have_the_reference_count_too(
    name: str, width: float, parameters: int
) -> None:
    assert cost_of(name, width=width).total.parameters == parameters


def test_the_side_of_the_image_changes_multiply_adds_and_no_parameter() -> None:
    small, large = cost_of("mobilenet_v1", side=128).total, cost_of("mobilenet_v1").total
    assert small.parameters == large.parameters
    # Table 7 of the paper: 186 million at 128.
    assert round(small.multiply_adds / 1e6) == 186


def test_the_standard_column_of_mobilenet_v1_is_what_its_twin_really_costs() -> None:
    separable, full = cost_of("mobilenet_v1"), cost_of("mobilenet_v1_full")
    assert separable.standard == full.total
    assert separable.standard.multiply_adds / separable.total.multiply_adds == pytest.approx(
        8.56, abs=0.005
    )


def test_a_separable_convolution_costs_one_nth_plus_one_9th_of_the_standard_one() -> None:
    graph = GraphBuilder(rows=14, columns=14, channels=512)
    x = graph.depthwise("a", graph.image, kernel=3)
    graph.conv("b", x, 256, kernel=1)
    cost = network_cost(graph.build("pair"))
    ratio = cost.total.multiply_adds / cost.standard.multiply_adds
    assert ratio == pytest.approx(1 / 256 + 1 / 9)


def test_the_pair_of_a_depthwise_convolution_is_found_behind_squeeze_and_excitation() -> None:
    network = lay_out(architecture("mnasnet_a1")).network
    pairs = separable_pairs(network)
    assert len(pairs) == sum(conv.is_depthwise for conv in network.convs)
    assert pairs["blocks.3.depthwise"].name == "blocks.3.project"


@pytest.mark.parametrize("head", Head)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_shares_of_all_kinds_add_up_to_the_whole(name: str, head: Head) -> None:
    cost = network_cost(lay_out(architecture(name), head=head, side=96, classes=5).network)
    assert sum(cost.share(kind) for kind in Kind) == pytest.approx(1)


def test_pointwise_convolutions_are_95_percent_of_mobilenet_v1() -> None:
    cost = cost_of("mobilenet_v1")  # table 2 of the paper: 94.86 and 3.06 %
    assert cost.share(Kind.POINTWISE) == pytest.approx(0.9486, abs=0.001)
    assert cost.share(Kind.DEPTHWISE) == pytest.approx(0.0306, abs=0.001)


def test_ssdlite_needs_far_less_than_ssd() -> None:
    ssd, lite = (
        network_cost(lay_out(architecture("mobilenet_v2"), head=head, classes=80).network).total
        for head in (Head.SSD, Head.SSDLITE)
    )
    assert lite.parameters < 0.75 * ssd.parameters


def test_costs_add_up() -> None:
    assert Cost(1, 2) + Cost(3, 4) == Cost(4, 6)
