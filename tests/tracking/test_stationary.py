from __future__ import annotations

import random
from typing import Any

import pytest
from tracking.stage import box_at, seen_at

from edgevision.clock import NS_PER_S
from edgevision.tracking.history import MAX_POINTS, StationaryState, Trajectory

FEET = (0.5, 0.8)


def _see(one: StationaryState, foot: tuple[float, float], now_s: float) -> None:
    one.see(box_at(foot), round(now_s * NS_PER_S))


def _add(trajectory: Trajectory, foot: tuple[float, float], now_s: float, **seen: Any) -> None:
    one = seen_at(foot, now_s, **seen)
    trajectory.see(one.foot, one.when)


@pytest.mark.parametrize("fps", [0.5, 5.0, 60.0])
def test_an_object_is_stationary_after_the_same_seconds_at_every_frame_rate(fps: float) -> None:
    one = StationaryState(10.0)
    for frame in range(round(10 * fps)):
        _see(one, FEET, frame / fps)
        assert not one.stationary
    _see(one, FEET, 10.0)
    assert one.stationary
    assert one.motionless_frames == 10 * fps


def test_a_jittering_object_becomes_stationary_and_stays_so() -> None:
    dice = random.Random(1)  # noqa: S311 - the same jitter on each run
    one = StationaryState(10.0)
    for frame in range(3000):
        off_x, off_y = dice.uniform(-0.01, 0.01), dice.uniform(-0.03, 0.03)
        _see(one, (0.5 + off_x, 0.8 + off_y), frame / 10)
        if frame >= 120:
            assert one.stationary
    assert one.position_changes == 0
    assert one.motionless_frames > 2980


def test_an_object_that_moves_on_is_not_stationary_within_a_second() -> None:
    one = StationaryState(10.0)
    for frame in range(200):
        _see(one, FEET, frame / 10)
    for frame in range(11):
        _see(one, (0.5 + 0.01 * frame, 0.8), 20 + frame / 10)
    assert not one.stationary
    assert one.position_changes == 1
    assert one.motionless_frames < 10


def test_single_wrong_boxes_do_not_move_a_stationary_object() -> None:
    one = StationaryState(10.0)
    for frame in range(200):
        _see(one, FEET, frame / 10)
    for now_s in range(20, 30):
        _see(one, (0.7, 0.8), now_s)
        _see(one, FEET, now_s + 0.1)
    assert one.stationary
    assert one.position_changes == 0


def test_an_object_that_was_not_seen_for_a_while_is_stationary_if_it_is_where_it_was() -> None:
    one = StationaryState(10.0)
    _see(one, FEET, 0.0)
    _see(one, FEET, 30.0)
    assert one.stationary


def test_a_slow_walker_is_never_stationary() -> None:
    one = StationaryState(10.0)
    for frame in range(400):
        _see(one, (0.1 + 0.002 * frame, 0.8), frame / 10)
        assert not one.stationary


def test_a_trajectory_keeps_its_first_and_last_point_exactly_and_at_most_64() -> None:
    trajectory = Trajectory()
    last = (0.0, 0.0)
    for frame in range(5000):
        last = ((frame * 0.037) % 1.0, (frame * 0.029) % 1.0)
        _add(trajectory, last, frame, size=(0.0, 0.0))
        points = trajectory.points
        assert len(points) <= MAX_POINTS
        assert (points[0].x_frac, points[0].y_frac) == (0.0, 0.0)
        assert (points[-1].x_frac, points[-1].y_frac) == last
        moments = [point.at for point in points]
        assert moments == sorted(set(moments))
    assert len(points) > MAX_POINTS / 2


def test_a_trajectory_has_a_point_for_each_50th_of_the_diagonal() -> None:
    # The diagonal of 640 x 480 is 800 pixels; 0.025 of the width is its 50th.
    trajectory = Trajectory()
    for frame in range(11):
        _add(trajectory, (0.1 + 0.0126 * frame, 0.5), frame, size=(0.0, 0.0))
    found = [round(point.x_frac, 4) for point in trajectory.points]
    assert found == [0.1, 0.1252, 0.1504, 0.1756, 0.2008, 0.226]


def test_a_step_down_the_picture_is_measured_in_rows() -> None:
    trajectory = Trajectory()
    for frame in range(4):
        _add(trajectory, (0.5, 0.1 + 0.03 * frame), frame, size=(0.0, 0.0))
    # 0.03 of 480 rows are 14.4 pixels of the 16 that it takes.
    assert [round(point.y_frac, 2) for point in trajectory.points] == [0.1, 0.16, 0.19]


def test_the_trajectory_of_a_stationary_object_is_one_point_and_where_it_is_now() -> None:
    trajectory = Trajectory()
    for frame in range(100):
        _add(trajectory, (0.5 + 0.001 * (frame % 3), 0.5), frame)
    assert len(trajectory.points) <= 2
