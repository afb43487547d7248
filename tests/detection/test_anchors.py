from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevision.detection.ssd import make_anchors
from edgevision.model_card import AnchorMap, AnchorShape

SHAPES = st.lists(
    st.builds(AnchorShape, scale=st.floats(0.01, 1.5), ratio=st.floats(0.1, 10)),
    min_size=1,
    max_size=4,
)
MAPS = st.lists(
    st.builds(AnchorMap, rows=st.integers(1, 6), columns=st.integers(1, 6), shapes=SHAPES),
    min_size=1,
    max_size=3,
)


def feature_map(rows: int, columns: int, *shapes: tuple[float, float]) -> AnchorMap:
    return AnchorMap(
        rows=rows,
        columns=columns,
        shapes=tuple(AnchorShape(scale=scale, ratio=ratio) for scale, ratio in shapes),
    )


def test_a_shape_of_scale_a_half_and_ratio_4_is_a_quarter_high_and_1_wide() -> None:
    anchors = make_anchors([feature_map(1, 1, (0.5, 4.0))])
    assert anchors.tolist() == [[0.5, 0.5, 0.25, 1.0]]


def test_cells_of_2_rows_and_4_columns_are_centred_and_come_row_by_row() -> None:
    anchors = make_anchors([feature_map(2, 4, (1.0, 1.0))])
    assert anchors[:, :2].tolist() == [
        [0.25, 0.125],
        [0.25, 0.375],
        [0.25, 0.625],
        [0.25, 0.875],
        [0.75, 0.125],
        [0.75, 0.375],
        [0.75, 0.625],
        [0.75, 0.875],
    ]


def test_the_shapes_of_a_cell_come_together_and_the_maps_one_after_the_other() -> None:
    anchors = make_anchors(
        [feature_map(1, 2, (0.1, 1.0), (0.2, 1.0)), feature_map(1, 1, (0.3, 1.0))]
    )
    assert anchors[:, 1:3].round(6).tolist() == [
        pytest.approx([0.25, 0.1]),
        pytest.approx([0.25, 0.2]),
        pytest.approx([0.75, 0.1]),
        pytest.approx([0.75, 0.2]),
        pytest.approx([0.5, 0.3]),
    ]


def test_the_6_maps_of_ssd_mobilenet_give_1917_anchors_with_the_values_of_its_paper() -> None:
    scales = [0.2 + (0.95 - 0.2) * step / 5 for step in range(6)] + [1.0]
    maps = [feature_map(19, 19, (0.1, 1.0), (scales[0], 2.0), (scales[0], 0.5))]
    for step, side in enumerate((10, 5, 3, 2, 1), start=1):
        own = [(scales[step], ratio) for ratio in (1.0, 2.0, 0.5, 3.0, 1 / 3)]
        between = ((scales[step] * scales[step + 1]) ** 0.5, 1.0)
        maps.append(feature_map(side, side, *own, between))
    anchors = make_anchors(maps)
    assert anchors.shape == (1917, 4)
    # Worked by hand: 0.2 / sqrt(2) = 0.141421, 0.2 * sqrt(2) = 0.282843; 0.5 / 19 = 0.026316.
    assert anchors[1] == pytest.approx([0.026316, 0.026316, 0.141421, 0.282843], abs=1e-6)
    # sqrt(0.95 * 1) = 0.974679.
    assert anchors[1916] == pytest.approx([0.5, 0.5, 0.974679, 0.974679], abs=1e-6)
    # The 10x10 map starts after 19 * 19 * 3 = 1083; its scale is 0.35: 0.35 / sqrt(3) = 0.202073.
    assert anchors[1083 + 3] == pytest.approx([0.05, 0.05, 0.202073, 0.606218], abs=1e-6)


@given(MAPS)
def test_there_is_an_anchor_for_each_shape_on_each_cell(maps: list[AnchorMap]) -> None:
    anchors = make_anchors(maps)
    count = sum(each.rows * each.columns * len(each.shapes) for each in maps)
    assert anchors.shape == (count, 4)
    assert anchors.dtype == np.float32


@given(MAPS)
def test_each_anchor_is_what_the_formula_says(maps: list[AnchorMap]) -> None:
    expected = [
        (
            (row + 0.5) / each.rows,
            (column + 0.5) / each.columns,
            shape.scale / shape.ratio**0.5,
            shape.scale * shape.ratio**0.5,
        )
        for each in maps
        for row in range(each.rows)
        for column in range(each.columns)
        for shape in each.shapes
    ]
    np.testing.assert_allclose(make_anchors(maps), expected, rtol=1e-6)
