"""Every network by name, laid out with any head."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import partial
from math import isfinite
from typing import TYPE_CHECKING, Protocol

from edgevision.errors import UsageError
from edgevision.model_builder.efficientnet import A1, B1, SCALINGS, SMALL, efficientnet, mnasnet
from edgevision.model_builder.graph import Activation
from edgevision.model_builder.graph_builder import GraphBuilder
from edgevision.model_builder.heads import append_classifier, append_ssd
from edgevision.model_builder.mobilenet import mobilenet_v1, mobilenet_v2

if TYPE_CHECKING:
    from edgevision.model_builder.graph import FeatureMap, Network
    from edgevision.model_card import AnchorMap

STRIDE = 32  # of every network's last map
MAX_SIDE = 4096
MAX_WIDTH = 16.0
MAX_CLASSES = 100_000
IMAGENET_CLASSES = 1000
DEFAULT_SIDE = 300  # of the default network's image


class Head(Enum):
    """The last part of a network, which turns feature maps into outputs."""

    CLASSIFIER = "classifier"
    SSD = "ssd"
    SSDLITE = "ssdlite"

    @property
    def is_detector(self) -> bool:
        """Whether it predicts boxes."""
        return self is not Head.CLASSIFIER


class Backbone(Protocol):
    """A function that appends a network without its head and returns the last map."""

    def __call__(self, graph: GraphBuilder, *, width: float) -> FeatureMap:
        """Append to the graph with all channels multiplied by the width."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """A network that can be built.

    Attributes:
        name: as on the command line.
        source: the paper.
        backbone: the layers.
        activation: of its convolutions.
        side: default side of the image, in pixels.
    """

    name: str
    source: str
    backbone: Backbone
    activation: Activation
    side: int = 224


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A network and what its outputs mean.

    Attributes:
        network: the layers.
        head: its kind of output.
        classes: number of classes; for a detector without the background.
        anchors: of the rows of a detector's outputs; empty for a classifier.
    """

    network: Network
    head: Head
    classes: int
    anchors: tuple[AnchorMap, ...] = ()


FULL_CONV = "_full"  # name suffix of the variant with standard convolutions
_HOWARD = "Howard et al. 2017"
_TAN_MNASNET = "Tan et al. 2019"
_TAN_EFFICIENTNET = "Tan & Le 2019"
ARCHITECTURES = {
    each.name: each
    for each in (
        # MobileNetV1 and MnasNet: ReLU as in the papers.
        Architecture("mobilenet_v1", _HOWARD, mobilenet_v1, Activation.RELU),
        Architecture(
            f"mobilenet_v1{FULL_CONV}",
            f"{_HOWARD}, table 4",
            partial(mobilenet_v1, full_conv=True),
            Activation.RELU,
        ),
        Architecture("mobilenet_v2", "Sandler et al. 2018", mobilenet_v2, Activation.RELU6),
        *(
            Architecture(
                f"mnasnet_{name}", _TAN_MNASNET, partial(mnasnet, variant=rows), Activation.RELU
            )
            for name, rows in (("a1", A1), ("b1", B1), ("small", SMALL))
        ),
        *(
            Architecture(
                f"efficientnet_{name}",
                _TAN_EFFICIENTNET,
                partial(efficientnet, scaling=scaling),
                Activation.RELU6 if scaling.lite else Activation.SILU,
                scaling.side,
            )
            for name, scaling in SCALINGS.items()
        ),
    )
}


def architecture(name: str, *, full_conv: bool = False) -> Architecture:
    """Return an architecture by name, or its variant with standard convolutions.

    Raises:
        UsageError: there is no such architecture.
    """
    if name not in ARCHITECTURES:
        msg = f"expected one of {', '.join(ARCHITECTURES)}, got {name!r}"
        raise UsageError(msg)
    if full_conv and not name.endswith(FULL_CONV):
        variant = f"{name}{FULL_CONV}"
        if variant not in ARCHITECTURES:
            available = [each for each in ARCHITECTURES if each + FULL_CONV in ARCHITECTURES]
            msg = f"--full-conv: expected {' or '.join(available)}, got {name}"
            raise UsageError(msg)
        name = variant
    return ARCHITECTURES[name]


def lay_out(
    chosen: Architecture,
    *,
    head: Head = Head.CLASSIFIER,
    width: float = 1.0,
    side: int | None = None,
    classes: int = IMAGENET_CLASSES,
) -> Blueprint:
    """Lay out a network with a head.

    Args:
        chosen: the network.
        head: the head to append.
        width: multiplies the channels, as the network's paper defines it.
        side: of the square image in pixels; default: the architecture's own.
        classes: number of classes, for a detector without the background.

    Raises:
        UsageError: a number is out of bounds.
        ModelError: the width leaves a layer without channels.
    """
    side = chosen.side if side is None else side
    _check(width=width, side=side, classes=classes)
    graph = GraphBuilder(rows=side, columns=side, channels=3, activation=chosen.activation)
    last = chosen.backbone(graph, width=width)
    if head is Head.CLASSIFIER:
        append_classifier(graph, last, classes=classes)
        return Blueprint(graph.build(chosen.name), head, classes)
    anchors = append_ssd(graph, last, classes=classes + 1, lite=head is Head.SSDLITE)
    return Blueprint(graph.build(f"{head.value}_{chosen.name}"), head, classes, anchors)


def _check(*, width: float, side: int, classes: int) -> None:
    faults = []
    if not (isfinite(width) and 0 < width <= MAX_WIDTH):
        faults.append(f"width: expected a number above 0 and up to {MAX_WIDTH:g}, got {width:g}")
    if not STRIDE <= side <= MAX_SIDE:
        faults.append(
            f"size: expected {STRIDE} (the network's stride) to {MAX_SIDE} pixels, got {side}"
        )
    if not 1 <= classes <= MAX_CLASSES:
        faults.append(f"classes: expected 1 to {MAX_CLASSES}, got {classes}")
    if faults:
        raise UsageError("\n".join(faults))


def ssd_mobilenet_v2(*, classes: int) -> tuple[Network, tuple[AnchorMap, ...]]:
    """Lay out the default network, MobileNetV2 1.0 at 300x300 with an SSD head.

    Args:
        classes: number of classes, the background included.

    Returns:
        The network, and the anchors of its outputs' rows.
    """
    plan = lay_out(
        architecture("mobilenet_v2"), head=Head.SSD, side=DEFAULT_SIDE, classes=classes - 1
    )
    return plan.network, plan.anchors
