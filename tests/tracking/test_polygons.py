from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevision.tracking.zones import contains, distance_to_edge_px

Grid = tuple[int, int]
GRID = 16
CELLS = st.tuples(st.integers(0, GRID), st.integers(0, GRID))


@st.composite
def polygons(draw: st.DrawFn) -> list[Grid]:
    """Simple polygons on a grid, concave as a rule: a star around a middle, 3 to 12 corners."""
    middle = draw(CELLS)
    corners = draw(st.lists(CELLS.filter(lambda at: at != middle), min_size=3, max_size=12))
    by_angle: dict[Grid, Grid] = {}
    for x, y in corners:
        across, down = x - middle[0], y - middle[1]
        scale = math.gcd(across, down)
        by_angle.setdefault((across // scale, down // scale), (x, y))
    around = sorted(
        by_angle.values(), key=lambda at: math.atan2(at[1] - middle[1], at[0] - middle[0])
    )
    turns = [_turn(middle, a, b) for a, b in zip(around, around[1:] + around[:1], strict=True)]
    gap = next((at for at, turn in enumerate(turns, start=1) if turn <= 0), None)
    if gap is not None:  # the middle is not between them: it becomes a corner
        around.insert(gap, middle)
    return around if len(around) >= 3 else [(0, 0), (GRID, 0), (GRID // 2, GRID)]


def _fractions(points: list[Grid]) -> list[tuple[float, float]]:
    return [(x / GRID, y / GRID) for x, y in points]


def _turn(a: Grid, b: Grid, c: Grid) -> int:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _on_edge(a: Grid, b: Grid, point: Grid) -> bool:
    return (
        _turn(a, b, point) == 0
        and min(a[0], b[0]) <= point[0] <= max(a[0], b[0])
        and min(a[1], b[1]) <= point[1] <= max(a[1], b[1])
    )


def _reference(polygon: list[Grid], point: Grid) -> bool:
    """Whether a point is in or on a polygon by its winding number, in whole numbers."""
    winding = 0
    for a, b in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        if _on_edge(a, b, point):
            return True
        if a[1] <= point[1] < b[1] and _turn(a, b, point) > 0:
            winding += 1
        elif b[1] <= point[1] < a[1] and _turn(a, b, point) < 0:
            winding -= 1
    return winding != 0


@given(polygons(), CELLS)
def test_a_point_of_a_grid_is_in_a_concave_polygon_where_its_winding_number_says_so(
    polygon: list[Grid], point: Grid
) -> None:
    found = contains(_fractions(polygon), (point[0] / GRID, point[1] / GRID))
    assert found == _reference(polygon, point)


@given(polygons(), CELLS, st.integers(0, 11), st.sampled_from([1, -1]))
def test_it_does_not_matter_with_which_corner_and_which_way_round_a_polygon_starts(
    polygon: list[Grid], point: Grid, first: int, step: int
) -> None:
    first %= len(polygon)
    other = polygon[first:] + polygon[:first]
    at = (point[0] / GRID, point[1] / GRID)
    turned = _fractions(other[::step])
    assert contains(turned, at) == contains(_fractions(polygon), at)


UNIT = st.floats(0, 1)


@given(st.lists(st.tuples(UNIT, UNIT), min_size=3, max_size=12), st.integers(0, 11), UNIT)
def test_a_point_on_an_edge_is_inside_whatever_the_rounding(
    polygon: list[tuple[float, float]], edge: int, share: float
) -> None:
    (x0, y0), (x1, y1) = polygon[edge % len(polygon) - 1], polygon[edge % len(polygon)]
    assert contains(polygon, (x0 + share * (x1 - x0), y0 + share * (y1 - y0)))


@given(st.lists(st.tuples(UNIT, UNIT), min_size=3, max_size=12))
def test_a_point_outside_of_the_smallest_rectangle_around_a_polygon_is_outside(
    polygon: list[tuple[float, float]],
) -> None:
    left, right = min(x for x, _ in polygon), max(x for x, _ in polygon)
    assert not contains(polygon, (left - 1e-6, polygon[0][1]))
    assert not contains(polygon, (right + 1e-6, polygon[0][1]))


@pytest.mark.parametrize("x", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_ray_through_corners_that_point_up_and_down_counts_right(x: float) -> None:
    # A saw with its teeth at the same height as the point.
    saw = [(0.0, 0.5), (0.2, 0.2), (0.4, 0.5), (0.6, 0.2), (0.8, 0.5), (1.0, 0.2), (1.0, 1.0)]
    saw += [(0.0, 1.0)]
    assert contains(saw, (x, 0.5))
    assert not contains(saw, (0.4, 0.2))


def test_a_part_that_a_polygon_covers_twice_is_outside() -> None:
    ring = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0), (0.0, 0.0)]
    ring += [(0.3, 0.3), (0.7, 0.3), (0.7, 0.7), (0.3, 0.7), (0.3, 0.3)]
    assert contains(ring, (0.1, 0.5))
    assert not contains(ring, (0.5, 0.6))


@given(
    st.lists(st.tuples(UNIT, UNIT), min_size=3, max_size=8),
    st.tuples(UNIT, UNIT),
    st.integers(1, 4000),
    st.integers(1, 4000),
)
def test_the_distance_to_a_polygon_is_in_pixels_and_never_more_than_to_a_corner(
    polygon: list[tuple[float, float]], point: tuple[float, float], width: int, height: int
) -> None:
    found = distance_to_edge_px(polygon, point, (width, height))
    corners = [math.hypot((x - point[0]) * width, (y - point[1]) * height) for x, y in polygon]
    assert 0 <= found <= min(corners) * (1 + 1e-6)  # float32


CORNERS = st.lists(CELLS, min_size=3, max_size=10)


def _crossings(polygon: list[Grid], point: Grid) -> int:
    """How often a ray from the point, slightly slanted, crosses the edges of a polygon."""
    # Within the grid it falls by less than a row, so it meets no other point of the grid.
    far = (point[0] + 1000 * GRID, point[1] + 1)
    return sum(
        _turn(point, far, a) * _turn(point, far, b) < 0
        and _turn(a, b, point) * _turn(a, b, far) < 0
        for a, b in zip(polygon, polygon[1:] + polygon[:1], strict=True)
    )


@given(CORNERS, CELLS, st.sampled_from([(1, 1), (1920, 1080), (37, 4000)]))
def test_a_polygon_that_may_cross_itself_holds_points_whose_ray_crosses_it_an_odd_number_of_times(
    polygon: list[Grid], point: Grid, size: tuple[int, int]
) -> None:
    edges = zip(polygon, polygon[1:] + polygon[:1], strict=True)
    on_edge = any(_on_edge(a, b, point) for a, b in edges)
    at = (point[0] / GRID, point[1] / GRID)
    expected = on_edge or _crossings(polygon, point) % 2 == 1
    assert contains(_fractions(polygon), at) == expected
    distance_px = distance_to_edge_px(_fractions(polygon), at, size)
    assert (distance_px < 1e-6 * max(size)) == on_edge


@given(
    st.lists(st.tuples(UNIT, UNIT), min_size=3, max_size=10),
    st.tuples(UNIT, UNIT),
    st.sampled_from([(1, 1), (1920, 1080), (37, 4000)]),
)
def test_the_distance_differs_by_no_visible_part_of_a_pixel_from_that_in_float64(
    polygon: list[tuple[float, float]], point: tuple[float, float], size: tuple[int, int]
) -> None:
    starts = (np.array(polygon) - point) * size
    edges = np.roll(starts, -1, axis=0) - starts
    lengths = np.maximum((edges * edges).sum(axis=1), 1e-300)
    along = np.clip(-(starts * edges).sum(axis=1) / lengths, 0, 1)
    exact_px = np.linalg.norm(starts + along[:, None] * edges, axis=1).min()
    assert distance_to_edge_px(polygon, point, size) == pytest.approx(exact_px, abs=2e-3)


def test_the_distance_to_an_upright_edge_counts_columns_and_to_a_level_one_rows() -> None:
    half = [(0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)]
    assert distance_to_edge_px(half, (0.6, 0.5), (1000, 100)) == pytest.approx(100)
    assert distance_to_edge_px(half, (0.25, 0.9), (1000, 100)) == pytest.approx(10)
