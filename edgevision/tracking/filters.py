"""Which objects count: masks, and filters by score, area and ratio."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevision.tracking.geometry import contains

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from edgevision.sceneconfig import FilterConfig, MaskConfig
    from edgevision.tracking.sighting import Sighting


def passes(filters: Mapping[str, FilterConfig], sighting: Sighting) -> bool:
    """Return whether an object passes the filter of its label; without one it does.

    Score is the highest so far, so that an object counts from the first frame that shows it
    clearly; area and ratio are those of this frame. Bounds themselves pass.
    """
    wanted = filters.get(sighting.label)
    return wanted is None or (
        _within(wanted.min_score, sighting.top_score, None)
        and _within(wanted.min_area, sighting.area_frac, wanted.max_area)
        and _within(wanted.min_ratio, sighting.ratio, wanted.max_ratio)
    )


def is_masked(masks: Iterable[MaskConfig], sighting: Sighting) -> bool:
    """Return whether an object stands in a mask that is for its label."""
    return any(
        takes(mask.labels, sighting.label) and contains(mask.polygon, sighting.foot)
        for mask in masks
    )


def takes(labels: tuple[str, ...] | None, label: str) -> bool:
    """Return whether a label is one of these; None: all are."""
    return labels is None or label in labels


def _within(low: float | None, value: float, high: float | None) -> bool:
    return (low is None or value >= low) and (high is None or value <= high)
