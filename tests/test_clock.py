from __future__ import annotations

from collections import deque
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevision.clock import (
    LatencyWindow,
    ManualClock,
    Percentiles,
    RateMeter,
    SystemClock,
    elapsed_ms,
    percentiles,
)

GAPS_S = st.lists(st.floats(0.001, 3.0), max_size=60)
DURATIONS_MS = st.lists(st.floats(0, 1e6), min_size=1, max_size=300)


def test_11_stamps_a_tenth_of_a_second_apart_read_10_hz() -> None:
    meter = RateMeter(window_s=5.0)
    for index in range(11):
        meter.mark(index / 10)
    assert meter.rate_hz(1.0) == pytest.approx(10.0, abs=1e-9)


def test_2_stamps_a_quarter_of_a_second_apart_span_1_interval_and_read_4_hz() -> None:
    meter = RateMeter(window_s=5.0)
    meter.mark(1.0)
    meter.mark(1.25)
    assert meter.rate_hz(1.25) == 4.0


@pytest.mark.parametrize("stamps", [[], [1.0]])
def test_fewer_than_2_stamps_read_0_hz(stamps: list[float]) -> None:
    meter = RateMeter()
    for stamp in stamps:
        meter.mark(stamp)
    assert meter.rate_hz(1.5) == 0.0


def test_2_stamps_of_the_same_moment_read_0_hz_and_do_not_divide_by_0() -> None:
    meter = RateMeter()
    meter.mark(1.0)
    meter.mark(1.0)
    assert meter.rate_hz(1.0) == 0.0


def test_stalled_camera_reads_0_hz_once_the_window_of_5_s_has_passed() -> None:
    meter = RateMeter(window_s=5.0)
    for index in range(20):
        meter.mark(index / 10)
    assert meter.rate_hz(7.0) == 0.0


def test_a_stamp_exactly_as_old_as_the_window_still_counts() -> None:
    meter = RateMeter(window_s=5.0)
    meter.mark(0.0)
    meter.mark(5.0)
    assert meter.rate_hz(5.0) == pytest.approx(0.2)


def test_a_camera_that_comes_back_after_a_stall_reads_its_new_rate_alone() -> None:
    meter = RateMeter(window_s=2.0)
    for index in range(100):
        meter.mark(index / 100)
    for index in range(5):
        meter.mark(60.0 + index / 2)
    assert meter.rate_hz(62.0) == pytest.approx(2.0)


@given(GAPS_S, st.floats(0.5, 20.0), st.floats(0.0, 25.0))
def test_rate_is_the_intervals_within_the_window_over_their_span(
    gaps_s: list[float], window_s: float, silence_s: float
) -> None:
    meter = RateMeter(window_s)
    stamps, now_s = [], 100.0
    for gap_s in gaps_s:
        now_s += gap_s
        stamps.append(now_s)
        meter.mark(now_s)
    now_s += silence_s
    recent = [stamp for stamp in stamps if now_s - stamp <= window_s]
    expected = (len(recent) - 1) / (recent[-1] - recent[0]) if len(recent) > 1 else 0.0
    assert meter.rate_hz(now_s) == pytest.approx(expected)


@given(GAPS_S)
def test_reading_the_rate_between_marks_changes_no_later_rate(gaps_s: list[float]) -> None:
    asked, left_alone, now_s = RateMeter(4.0), RateMeter(4.0), 0.0
    for gap_s in gaps_s:
        now_s += gap_s
        asked.rate_hz(now_s)
        asked.mark(now_s)
        left_alone.mark(now_s)
    assert asked.rate_hz(now_s) == left_alone.rate_hz(now_s)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=30))
def test_advancing_a_manual_clock_moves_both_of_its_times(steps_s: list[float]) -> None:
    start = datetime(2024, 2, 29, tzinfo=UTC)
    clock = ManualClock(wall=start)
    for step_s in steps_s:
        clock.advance(step_s)
    elapsed = clock.wall() - start
    assert clock.monotonic_ns() / 1e9 == pytest.approx(elapsed / timedelta(seconds=1), abs=1e-4)


def test_manual_clock_refuses_to_advance_by_minus_1_second() -> None:
    with pytest.raises(ValueError, match=r"expected seconds >= 0, got -1: monotonic time"):
        ManualClock().advance(-1)


@pytest.mark.parametrize("step_s", [-86400.0, 3600.0])
def test_clock_step_moves_the_wall_and_leaves_monotonic_time_alone(step_s: float) -> None:
    clock = ManualClock()
    clock.advance(1.5)
    clock.step_wall(step_s)
    assert clock.monotonic_ns() == 1_500_000_000
    assert clock.wall() == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=1.5 + step_s)


def test_clock_step_of_an_hour_changes_no_rate() -> None:
    clock, meter = ManualClock(), RateMeter(window_s=5.0)
    for index in range(11):
        meter.mark(clock.monotonic_ns() / 1e9)
        clock.advance(0.1)
        if index == 5:
            clock.step_wall(-3600)
    assert meter.rate_hz(clock.monotonic_ns() / 1e9) == pytest.approx(10.0)


def test_system_clock_never_goes_back_and_says_utc() -> None:
    clock = SystemClock()
    stamps = [clock.monotonic_ns() for _ in range(1000)]
    assert stamps == sorted(stamps)
    assert clock.wall().utcoffset() == timedelta(0)


def test_percentiles_of_1_to_100_are_50_95_and_99() -> None:
    assert percentiles([float(value) for value in range(100, 0, -1)]) == Percentiles(50, 95, 99)


def test_percentiles_of_one_value_are_that_value() -> None:
    assert percentiles([7.0]) == Percentiles(7.0, 7.0, 7.0)


def test_percentiles_of_4_values_are_the_2nd_and_twice_the_4th() -> None:
    assert percentiles([4.0, 1.0, 3.0, 2.0]) == Percentiles(2.0, 4.0, 4.0)


def test_percentiles_of_nothing_are_none() -> None:
    assert percentiles(deque()) is None


@given(DURATIONS_MS)
def test_a_percentile_is_the_smallest_value_with_enough_values_at_or_below_it(
    values_ms: list[float],
) -> None:
    found = percentiles(values_ms)
    assert found is not None
    for percent, result in ((50, found.p50), (95, found.p95), (99, found.p99)):
        enough = [
            value
            for value in values_ms
            if 100 * sum(other <= value for other in values_ms) >= percent * len(values_ms)
        ]
        assert result == min(enough)


@given(DURATIONS_MS, st.integers(1, 50))
def test_latency_window_forgets_all_but_the_newest_values(
    values_ms: list[float], capacity: int
) -> None:
    window = LatencyWindow(capacity)
    for value_ms in values_ms:
        window.add(value_ms)
    assert window.percentiles() == percentiles(values_ms[-capacity:])


def test_empty_latency_window_has_no_percentiles() -> None:
    assert LatencyWindow().percentiles() is None


def test_elapsed_ms_of_1_500_000_ns_is_1_5() -> None:
    assert elapsed_ms(1_000_000_000, 1_001_500_000) == 1.5
