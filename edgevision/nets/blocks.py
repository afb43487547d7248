"""The building blocks of the networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevision.nets.graph import Activation

if TYPE_CHECKING:
    from edgevision.nets.builder import GraphBuilder
    from edgevision.nets.graph import FeatureMap


def round_channels(channels: float, *, multiple: int = 8) -> int:
    """Round to a multiple of 8, up where rounding down would lose more than 10 %.

    The rule of the MobileNet reference implementations for widths other than 1.0.
    """
    rounded = max(multiple, int(channels + multiple / 2) // multiple * multiple)
    return rounded if rounded >= 0.9 * channels else rounded + multiple


def inverted_residual(
    graph: GraphBuilder,
    name: str,
    source: FeatureMap,
    channels: int,
    *,
    expansion: int,
    stride: int,
) -> FeatureMap:
    """Append an inverted residual with linear bottleneck (Sandler et al. 2018, figure 3b).

    Layers `<name>.expand` (1x1, absent at expansion 1), `<name>.depthwise` (3x3),
    `<name>.project` (1x1, linear) and `<name>.add` (where the shape stays the same).
    """
    wide = source
    if expansion != 1:
        wide = graph.conv(f"{name}.expand", source, source.channels * expansion, kernel=1)
    filtered = graph.conv(
        f"{name}.depthwise", wide, wide.channels, kernel=3, stride=stride, groups=wide.channels
    )
    narrow = graph.conv(
        f"{name}.project", filtered, channels, kernel=1, activation=Activation.LINEAR
    )
    if stride == 1 and source.channels == channels:
        return graph.add(f"{name}.add", branch=narrow, stream=source)
    return narrow
