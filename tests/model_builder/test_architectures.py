from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevision.errors import ModelError, UsageError
from edgevision.model_builder.architectures import ARCHITECTURES, Head, architecture, lay_out
from edgevision.model_builder.graph import Activation, Conv, Network
from edgevision.model_builder.heads import BOX_OUTPUT, CLASS_OUTPUT

FAMILIES = ("mobilenet_v1", "mobilenet_v2", "mnasnet_a1", "efficientnet_b0", "efficientnet_lite0")


def layer(network: Network, name: str) -> Conv:
    return next(conv for conv in network.convs if conv.name == name)


def side_of(network: Network, name: str) -> int:
    return layer(network, name).output.rows


@pytest.mark.parametrize(
    ("name", "layer_name", "side", "channels"),
    [
        ("mobilenet_v1", "blocks.0.pointwise", 112, 64),
        ("mobilenet_v1", "blocks.2.pointwise", 56, 128),
        ("mobilenet_v1", "blocks.4.pointwise", 28, 256),
        ("mobilenet_v1", "blocks.10.pointwise", 14, 512),
        ("mobilenet_v1", "blocks.12.pointwise", 7, 1024),
        ("mobilenet_v1_full", "blocks.12.conv", 7, 1024),
        ("mnasnet_a1", "blocks.5.project", 28, 40),
        ("mnasnet_a1", "blocks.11.project", 14, 112),
        ("mnasnet_b1", "blocks.9.project", 14, 80),
        ("mnasnet_b1", "blocks.15.project", 7, 192),
        ("mnasnet_small", "blocks.3.project", 28, 16),
        ("mnasnet_small", "blocks.14.project", 7, 144),
        ("efficientnet_b0", "blocks.10.project", 14, 112),
        ("efficientnet_b0", "final", 7, 1280),
        ("efficientnet_b7", "stem", 300, 64),
        ("efficientnet_b7", "blocks.54.project", 19, 640),
        ("efficientnet_b7", "final", 19, 2560),
        ("efficientnet_lite4", "stem", 150, 32),
        ("efficientnet_lite4", "final", 10, 1280),
    ],
)
def test_layers_have_the_resolution_and_channels_of_the_papers_tables(
    name: str, layer_name: str, side: int, channels: int
) -> None:
    output = layer(lay_out(architecture(name)).network, layer_name).output
    assert (output.rows, output.columns, output.channels) == (side, side, channels)


@pytest.mark.parametrize(
    ("name", "blocks"),
    [("b0", 16), ("b1", 23), ("b4", 32), ("b7", 55), ("lite0", 16), ("lite1", 21), ("lite4", 30)],
)
def test_compound_scaling_rounds_the_number_of_blocks_up(name: str, blocks: int) -> None:
    network = lay_out(architecture(f"efficientnet_{name}")).network
    assert sum(conv.is_depthwise for conv in network.convs) == blocks


@pytest.mark.parametrize(
    ("name", "activation"),
    [
        ("mobilenet_v1", Activation.RELU),
        ("mobilenet_v2", Activation.RELU6),
        ("mnasnet_b1", Activation.RELU),
        ("efficientnet_b3", Activation.SILU),
        ("efficientnet_lite3", Activation.RELU6),
    ],
)
def test_the_stem_has_the_papers_activation(name: str, activation: Activation) -> None:
    assert lay_out(architecture(name)).network.stem.activation is activation


def test_squeeze_and_excitation_squeezes_to_a_quarter_of_the_blocks_input() -> None:
    network = lay_out(architecture("efficientnet_b0")).network
    assert layer(network, "blocks.1.se.reduce").output.channels == 16 // 4
    assert layer(network, "blocks.1.se.expand").output.channels == 16 * 6
    assert layer(network, "blocks.1.se.expand").activation is Activation.SIGMOID


def test_lite_networks_have_no_squeeze_and_excitation() -> None:
    network = lay_out(architecture("efficientnet_lite2")).network
    assert not [conv.name for conv in network.convs if ".se." in conv.name]


@pytest.mark.parametrize(
    ("name", "first_map"),
    [
        ("mobilenet_v1", "blocks.10.pointwise"),
        ("mobilenet_v1_full", "blocks.10.conv"),
        ("mobilenet_v2", "blocks.13.expand"),
        ("mnasnet_a1", "blocks.12.expand"),
        ("efficientnet_b0", "blocks.11.expand"),
    ],
)
def test_an_ssd_head_reads_the_last_map_of_stride_16_first(name: str, first_map: str) -> None:
    network = lay_out(architecture(name), head=Head.SSD, side=320, classes=4).network
    assert layer(network, "head.0.box").source == first_map
    assert side_of(network, first_map) == 20
    assert layer(network, "head.1.box").in_channels >= 1024


@pytest.mark.parametrize("head", [Head.SSD, Head.SSDLITE])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_detector_has_a_row_of_output_for_every_anchor(name: str, head: Head) -> None:
    plan = lay_out(architecture(name), head=head, side=64, classes=3)
    anchors = sum(m.rows * m.columns * len(m.shapes) for m in plan.anchors)
    assert [(o.name, o.shape) for o in plan.network.outputs] == [
        (BOX_OUTPUT, (1, anchors, 4)),
        (CLASS_OUTPUT, (1, anchors, 3 + 1)),
    ]


def test_ssdlite_has_standard_convolutions_nowhere_but_in_the_stem() -> None:
    network = lay_out(architecture("mobilenet_v2"), head=Head.SSDLITE, classes=20).network
    assert [c.name for c in network.convs if c.kernel > 1 and not c.is_depthwise] == ["stem"]


def test_the_layer_names_of_ssdlite_are_those_of_ssd_with_the_convolutions_split() -> None:
    names = [
        conv.name
        for conv in lay_out(
            architecture("mobilenet_v1"), head=Head.SSDLITE, classes=2
        ).network.convs
    ]
    assert {"extras.0.reduce", "extras.0.depthwise", "extras.0.pointwise"} <= set(names)
    assert {"head.5.box.depthwise", "head.5.box", "head.5.class.depthwise"} <= set(names)


@given(st.integers(32, 700), st.sampled_from(FAMILIES))
def test_every_side_is_halved_five_times_rounding_up(side: int, name: str) -> None:
    network = lay_out(architecture(name), side=side, width=0.25).network
    assert network.layers[-2].name == "pool"
    last = network.layers[-3].output
    assert last.rows == last.columns == -(-side // 32)


@given(st.floats(0.0625, 4), st.sampled_from(FAMILIES))
def test_every_width_gives_channels_that_are_multiples_of_8(width: float, name: str) -> None:
    network = lay_out(architecture(name), width=width).network
    for conv in network.convs:
        if ".se." not in conv.name and conv.name != "classifier":
            assert conv.output.channels % 8 == 0


def test_a_smaller_width_does_not_shrink_the_last_layer_of_mobilenet_v2() -> None:
    small = lay_out(architecture("mobilenet_v2"), width=0.35).network
    large = lay_out(architecture("mobilenet_v2"), width=1.4).network
    assert layer(small, "final").output.channels == 1280
    assert layer(large, "final").output.channels == 1792


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"mobilenet_v1, .*efficientnet_lite4, got 'resnet50'"):
        architecture("resnet50")


def test_only_a_network_with_a_twin_has_full_convolutions() -> None:
    assert architecture("mobilenet_v1", full_conv=True).name == "mobilenet_v1_full"
    with pytest.raises(UsageError, match="--full-conv: expected mobilenet_v1, got mobilenet_v2"):
        architecture("mobilenet_v2", full_conv=True)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_width_that_leaves_a_layer_no_channel_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match=r"leaves every layer a channel, got 0\.00\d+ for"):
        lay_out(architecture(name), width=0.001)


@pytest.mark.parametrize("width", [0.0, -1.0, float("nan"), float("inf"), 17.0])
def test_a_width_that_is_no_multiplier_is_refused(width: float) -> None:
    with pytest.raises(UsageError, match="width: expected a number above 0 and up to 16, got"):
        lay_out(architecture("mobilenet_v1"), width=width)


@pytest.mark.parametrize("side", [-224, 0, 31, 4097])
def test_an_image_smaller_than_the_stride_or_too_large_is_refused(side: int) -> None:
    with pytest.raises(UsageError, match=rf"size: expected 32 .* to 4096 pixels, got {side}"):
        lay_out(architecture("efficientnet_b0"), side=side)


def test_all_numbers_out_of_bounds_are_listed_at_once() -> None:
    with pytest.raises(UsageError) as raised:
        lay_out(architecture("mnasnet_a1"), width=-1, side=0, classes=0)
    assert str(raised.value).splitlines() == [
        "width: expected a number above 0 and up to 16, got -1",
        "size: expected 32 (the network's stride) to 4096 pixels, got 0",
        "classes: expected 1 to 100000, got 0",
    ]
