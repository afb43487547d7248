"""SSD anchors (priors): the boxes that the network's offsets are relative to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgevision.card import AnchorMap
    from edgevision.records import F32


def make_anchors(maps: Sequence[AnchorMap]) -> F32:
    """Lay every shape on every cell of every feature map.

    A shape of scale s and ratio r has height s / sqrt(r) and width s * sqrt(r), centred at
    ((column + 0.5) / columns, (row + 0.5) / rows) (Liu et al. 2016, section 2.2).

    Args:
        maps: the feature maps in the order of the network's heads.

    Returns:
        float32 [a, 4], (cy, cx, h, w), fractions of the model input; ordered by map, row,
        column, shape. Boxes at the border may reach outside 0..1.
    """
    return np.concatenate([_lay(feature_map) for feature_map in maps])


def _lay(feature_map: AnchorMap) -> F32:
    rows, columns = feature_map.rows, feature_map.columns
    scale = np.array([shape.scale for shape in feature_map.shapes])
    root = np.sqrt([shape.ratio for shape in feature_map.shapes])
    anchors = np.empty((rows, columns, len(scale), 4), np.float32)
    anchors[..., 0] = ((np.arange(rows) + 0.5) / rows)[:, None, None]
    anchors[..., 1] = ((np.arange(columns) + 0.5) / columns)[None, :, None]
    anchors[..., 2] = scale / root
    anchors[..., 3] = scale * root
    return anchors.reshape(-1, 4)
