from __future__ import annotations

import itertools
from collections.abc import Sequence
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tracking.stage import seen_at

from edgevision.config.camera import LineConfig
from edgevision.tracking.lines import LineCrossings

Point = tuple[float, float]
# A box of 0.3 of the frame's height: it has settled 0.015 of the frame from a level line.
LEVEL = {"points": [[0.25, 0.5], [0.75, 0.5]], "from": "street", "to": "yard"}
ENDLESS = {"points": [[0.0, 0.5], [1.0, 0.5]], "from": "street", "to": "yard"}


def walk(feet: Sequence[Point], label: str = "Person", **line: object) -> list[str]:
    """Return how an object crosses a line whose foot is seen at these points."""
    config = LineConfig.model_validate(LEVEL | line)
    crossings = LineCrossings({"gate": config})
    found = [each for foot in feet for each in crossings.step(seen_at(foot, label=label))]
    return ["forward" if each.forward else "backward" for each in found]


def test_left_of_a_line_that_is_drawn_to_the_right_is_up_in_the_picture() -> None:
    assert walk([(0.5, 0.4), (0.5, 0.6)], **ENDLESS) == ["forward"]
    assert walk([(0.5, 0.6), (0.5, 0.4)], **ENDLESS) == ["backward"]


@pytest.mark.parametrize(
    ("points", "way"),
    [
        ([[1.0, 0.5], [0.0, 0.5]], [(0.5, 0.6), (0.5, 0.4)]),  # to the left: left is down
        ([[0.5, 0.0], [0.5, 1.0]], [(0.6, 0.5), (0.4, 0.5)]),  # down: left is at the right
        ([[0.5, 1.0], [0.5, 0.0]], [(0.4, 0.5), (0.6, 0.5)]),  # up: left is at the left
        ([[0.0, 0.4], [1.0, 0.6]], [(0.5, 0.3), (0.5, 0.7)]),  # slanting
    ],
)
def test_a_movement_from_left_to_right_is_forward_however_the_line_lies(
    points: list[list[float]], way: list[Point]
) -> None:
    assert walk(way, points=points) == ["forward"]
    assert walk(way[::-1], points=points) == ["backward"]


def test_there_and_back_is_once_each_way() -> None:
    there = [(0.5, 0.4 + 0.01 * step) for step in range(21)]
    assert walk(there + there[::-1]) == ["forward", "backward"]


def test_an_object_that_jumps_over_the_line_between_two_frames_has_crossed_it() -> None:
    assert walk([(0.5, 0.1), (0.5, 1.0)]) == ["forward"]


def test_a_jump_past_the_end_of_the_line_counts_nothing() -> None:
    assert walk([(0.9, 0.1), (0.9, 1.0)]) == []
    # The points lie beside the line, but the straight way between them passes its end.
    assert walk([(0.6, 0.1), (1.0, 0.8)]) == []


def test_going_round_the_end_and_back_through_the_line_counts_the_return_only() -> None:
    round_the_end = [(0.5, 0.4), (0.9, 0.4), (0.9, 0.6), (0.5, 0.6)]
    assert walk(round_the_end) == []
    assert walk([*round_the_end, (0.5, 0.4)]) == ["backward"]


def test_an_object_that_circles_round_the_end_of_a_line_counts_each_time_it_goes_through() -> None:
    circle = [(0.5, 0.4), (0.5, 0.6), (0.9, 0.6), (0.9, 0.4)]
    assert walk(circle * 3) == ["forward"] * 3
    assert walk(circle[::-1] * 3) == ["backward"] * 3


def test_through_the_line_and_round_its_end_before_it_has_settled_counts_nothing() -> None:
    # 0.505 is below the line, but not yet far enough.
    assert walk([(0.74, 0.4), (0.74, 0.505), (0.9, 0.505), (0.9, 0.4)]) == []
    assert walk([(0.9, 0.4), (0.9, 0.505), (0.74, 0.505), (0.74, 0.495), (0.74, 0.6)]) == []
    round_twice = [(0.9, 0.4), (0.9, 0.505), (0.74, 0.505), (0.74, 0.495), (0.9, 0.495)]
    assert walk([*round_twice, (0.9, 0.6)]) == []


@pytest.mark.parametrize("x", [0.25, 0.75])
def test_a_movement_through_an_end_of_the_line_counts_once(x: float) -> None:
    assert walk([(x, 0.4), (x, 0.6)]) == ["forward"]
    assert walk([(x, 0.4), (x, 0.5), (x, 0.6)]) == ["forward"]


def test_a_foot_that_is_exactly_on_the_line_in_one_frame_counts_once() -> None:
    assert walk([(0.5, 0.4), (0.5, 0.5), (0.5, 0.6)]) == ["forward"]
    assert walk([(0.5, 0.6), (0.5, 0.5), (0.5, 0.4)]) == ["backward"]
    assert walk([(0.5, 0.4), (0.5, 0.5), (0.5, 0.4)]) == []


def test_an_object_that_appears_on_the_line_has_come_from_nowhere() -> None:
    assert walk([(0.5, 0.5), (0.5, 0.6)]) == []
    assert walk([(0.5, 0.5), (0.5, 0.6), (0.5, 0.4)]) == ["backward"]


def test_only_the_labels_of_a_line_are_counted() -> None:
    way = [(0.5, 0.4), (0.5, 0.6)]
    assert walk(way, "Car", labels=["Person"]) == []
    assert walk(way, "Person", labels=["Person"]) == ["forward"]


def test_distances_are_in_pixels_so_an_upright_line_asks_for_as_much_as_a_level_one() -> None:
    # 0.05 of a height of 144 pixels is 7.2: 0.015 of 480 rows, 0.01125 of 640 columns.
    upright = {"points": [[0.5, 1.0], [0.5, 0.0]]}
    assert walk([(0.4, 0.5), (0.511, 0.5)], **upright) == []
    assert walk([(0.4, 0.5), (0.512, 0.5)], **upright) == ["forward"]
    assert walk([(0.5, 0.4), (0.5, 0.514)]) == []
    assert walk([(0.5, 0.4), (0.5, 0.516)]) == ["forward"]


UNIT = st.floats(0.3, 0.95)
FEET = st.lists(st.tuples(st.floats(0.05, 0.95), UNIT), min_size=2, max_size=40)


@given(FEET)
def test_on_an_endless_line_forward_less_backward_is_the_change_of_sides(
    feet: list[Point],
) -> None:
    found = walk(feet, **ENDLESS)
    settled = [foot for foot in feet if abs(foot[1] - 0.5) > 0.015]
    sides = [y > 0.5 for _, y in settled]
    expected = sides[-1] - sides[0] if sides else 0
    assert found.count("forward") - found.count("backward") == expected
    changes = sum(a != b for a, b in itertools.pairwise(sides))
    assert len(found) == changes
    assert all(a != b for a, b in itertools.pairwise(found))


@given(
    st.lists(st.floats(-0.014, 0.014), min_size=1, max_size=60),
    st.sampled_from([-1, 1]),
)
def test_jitter_on_the_line_never_counts(jitter: list[float], side: int) -> None:
    feet = [(0.5, 0.5 + side * 0.1), *((0.5, 0.5 + off) for off in jitter)]
    assert walk(feet) == []
    assert walk([*feet, (0.5, 0.5 + side * 0.1)]) == []
    assert len(walk([*feet, (0.5, 0.5 - side * 0.1)])) == 1


GRID = 32
CELL = st.tuples(st.integers(2, GRID - 2), st.integers(11, GRID - 1))


def _crosses(line: Sequence[tuple[int, int]], way: Sequence[tuple[int, int]]) -> bool:
    """Whether a segment meets another, in whole numbers: where on the line is the common point."""
    (ax, ay), (bx, by) = line
    (px, py), (qx, qy) = way
    rx, ry, sx, sy = bx - ax, by - ay, qx - px, qy - py
    slope = rx * sy - ry * sx
    if slope == 0:
        return False
    on_line = Fraction((px - ax) * sy - (py - ay) * sx, slope)
    on_way = Fraction((px - ax) * ry - (py - ay) * rx, slope)
    return 0 <= on_line <= 1 and 0 <= on_way <= 1


@given(st.tuples(CELL, CELL).filter(lambda ends: ends[0] != ends[1]), CELL, CELL)
def test_one_jump_counts_just_where_it_meets_the_segment_and_ends_beyond_the_margin(
    ends: tuple[tuple[int, int], tuple[int, int]], start: tuple[int, int], end: tuple[int, int]
) -> None:
    points = [(x / GRID, y / GRID) for x, y in ends]
    # A box so low that every point of the grid beside the line has settled.
    crossings = LineCrossings({"gate": LineConfig.model_validate(LEVEL | {"points": points})})
    found = [
        each
        for x, y in (start, end)
        for each in crossings.step(seen_at((x / GRID, y / GRID), size=(0.01, 0.001)))
    ]
    (ax, ay), (bx, by) = ends
    sides = [(bx - ax) * (y - ay) - (by - ay) * (x - ax) for x, y in (start, end)]
    expected = sides[0] * sides[1] < 0 and _crosses(ends, (start, end))
    assert [each.forward for each in found] == ([sides[1] > 0] if expected else [])
