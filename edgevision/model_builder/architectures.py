"""Every network by its name, under any head."""

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

SIDE = 300


class Head(Enum):
    """What reads the last maps."""

    CLASSIFIER = "classifier"
    SSD = "ssd"
    SSDLITE = "ssdlite"

    @property
    def is_detector(self) -> bool:
        """Whether it predicts boxes."""
        return self is not Head.CLASSIFIER


class Backbone(Protocol):
    """Appends a network without its head and returns its last map."""

    def __call__(self, graph: GraphBuilder, *, width: float) -> FeatureMap:
        """Append to the graph, all channels multiplied by the width."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """A network that can be built.

    Attributes:
        name: as the command line knows it.
        source: the paper.
        backbone: the layers.
        activation: what follows its convolutions.
        side: of the image, where nothing else is asked for.
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
        head: what its outputs are.
        classes: number of classes; under a detector's head without the background.
        anchors: what the rows of a detector's outputs belong to; none for a classifier.
    """

    network: Network
    head: Head
    classes: int
    anchors: tuple[AnchorMap, ...] = ()


_HOWARD = "Howard et al. 2017"

_TAN_MNASNET = "Tan et al. 2019"

_TAN_EFFICIENTNET = "Tan & Le 2019"

FULL_CONV = "_full"

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
    """Return a network by its name, or its twin of standard convolutions.

    Raises:
        UsageError: there is none.
    """
    if name not in ARCHITECTURES:
        msg = f"expected one of {', '.join(ARCHITECTURES)}, got {name!r}"
        raise UsageError(msg)
    if full_conv and not name.endswith(FULL_CONV):
        twin = f"{name}{FULL_CONV}"
        if twin not in ARCHITECTURES:
            having = [each for each in ARCHITECTURES if each + FULL_CONV in ARCHITECTURES]
            msg = f"--full-conv: expected {' or '.join(having)}, got {name}"
            raise UsageError(msg)
        name = twin
    return ARCHITECTURES[name]


def lay_out(
    chosen: Architecture,
    *,
    head: Head = Head.CLASSIFIER,
    width: float = 1.0,
    side: int | None = None,
    classes: int = IMAGENET_CLASSES,
) -> Blueprint:
    """Lay out a network under a head.

    Args:
        chosen: the network.
        head: what reads its last maps.
        width: multiplies the channels, as the network's paper says.
        side: of the square image in pixels; by default the network's own.
        classes: number of classes, for a detector without the background.

    Raises:
        UsageError: a number is out of its bounds.
        ModelError: the width leaves a layer no channel.
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


# FOLDED:
# The default network: MobileNetV2 1.0 at 300x300 under an SSD head.


def ssd_mobilenet_v2(*, classes: int) -> tuple[Network, tuple[AnchorMap, ...]]:
    """Return the network and the anchors that its rows of output belong to.

    Args:
        classes: number of classes, the background included.
    """
    plan = lay_out(architecture("mobilenet_v2"), head=Head.SSD, side=SIDE, classes=classes - 1)
    return plan.network, plan.anchors
