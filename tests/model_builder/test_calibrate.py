from __future__ import annotations

import numpy as np
from model_builder.tiny_network import TinyNetwork, ignore_progress

from edgevision.model_builder.calibrate import choose_activations, measure_ranges, without_outliers
from edgevision.model_builder.quantize import Range


def test_a_ten_thousandth_is_cut_off_at_either_end() -> None:
    counts = np.array([1, 0, 99_998, 0, 1], np.int64)
    assert without_outliers(Range(-2.5, 2.5), counts) == Range(-0.5, 0.5)


def test_values_more_frequent_than_outliers_are_kept() -> None:
    counts = np.array([100, 0, 9_800, 0, 100], np.int64)
    assert without_outliers(Range(-2.5, 2.5), counts) == Range(-2.5, 2.5)


def test_relu6_results_start_at_zero_and_end_at_6_or_below(tiny: TinyNetwork) -> None:
    ranges = measure_ranges(tiny.network, tiny.weights, tiny.images, ignore_progress)
    chosen = choose_activations(tiny.network, ranges, {})
    assert chosen["stem"].zero_point == 0
    assert chosen["stem"].scale * 255 <= 6.0


def test_all_maps_of_an_output_share_the_range_asked_for(tiny: TinyNetwork) -> None:
    ranges = measure_ranges(tiny.network, tiny.weights, tiny.images, ignore_progress)
    chosen = choose_activations(tiny.network, ranges, {"table": Range(-8.0, 8.0)})
    assert chosen["head"] == chosen["table"]
    assert 255 * chosen["table"].scale >= 16.0


def test_progress_ends_at_its_total(tiny: TinyNetwork) -> None:
    told: list[tuple[int, int]] = []
    measure_ranges(
        tiny.network,
        tiny.weights,
        tiny.images[:2],
        lambda _, done, total: told.append((done, total)),
    )
    assert told == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
