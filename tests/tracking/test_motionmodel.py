from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevision.tracking.appearance import Place
from edgevision.tracking.target import MAX_PREDICTION_S, MotionModel

PLACES = st.builds(Place, st.floats(-1, 3), st.floats(-1, 2), st.floats(0, 1), st.floats(0.01, 1))


def walking(*, speed: float, fps: float, seconds: float) -> MotionModel:
    """Follow a box of height 0.2 that starts at x = 0."""
    model = MotionModel(Place(0.0, 0.5, 0.1, 0.2))
    for frame in range(1, round(fps * seconds) + 1):
        model.predict(1 / fps, 0.0)
        model.correct(Place(speed * frame / fps, 0.5, 0.1, 0.2), 1 / fps)
    return model


@given(PLACES)
def test_a_new_object_stays_where_it_was_seen(first: Place) -> None:
    model = MotionModel(first)
    model.predict(1.0, 0.0)
    assert (model.place.x, model.place.y) == (first.x, first.y)


@pytest.mark.parametrize("fps", [2, 5, 7, 30, 60])
def test_after_two_seconds_it_knows_where_a_walker_will_be_at_any_frame_rate(fps: float) -> None:
    model = walking(speed=0.16, fps=fps, seconds=2)
    model.predict(1.0, 0.0)
    assert model.place.x == pytest.approx(3 * 0.16, abs=0.02)


@given(PLACES, PLACES, st.floats(0.01, 2), st.floats(0.01, 2))
def test_two_short_predictions_are_one_long_one(
    first: Place, second: Place, short_s: float, more_s: float
) -> None:
    models = [MotionModel(first), MotionModel(first)]
    for model in models:
        model.predict(0.1, 0.0)
        model.correct(second, 0.1)
    models[0].predict(short_s, 0.0)
    models[0].predict(more_s, short_s)
    models[1].predict(short_s + more_s, 0.0)
    for model in models:
        model.correct(first, short_s + more_s)
    one, other = (model.place for model in models)
    assert (one.x, one.y) == pytest.approx((other.x, other.y), abs=1e-6)


@given(PLACES, PLACES, st.floats(0, 10))
def test_a_correction_moves_it_towards_what_was_seen_and_not_beyond(
    first: Place, seen: Place, passed_s: float
) -> None:
    model = MotionModel(first)
    model.predict(passed_s, 0.0)
    model.correct(seen, passed_s)
    for before, after, target in (
        (first.x, model.place.x, seen.x),
        (first.y, model.place.y, seen.y),
        (first.height, model.place.height, seen.height),
    ):
        low, high = sorted((before, target))
        assert low - 1e-9 <= after <= high + 1e-9


def test_an_object_out_of_sight_is_predicted_for_three_seconds_and_stays_there() -> None:
    model = walking(speed=0.1, fps=10, seconds=3)
    begun = model.place.x
    for second in range(20):
        model.predict(1.0, float(second))
    assert model.place.x - begun == pytest.approx(0.1 * MAX_PREDICTION_S, abs=0.01)


def test_what_rests_is_expected_where_it_is() -> None:
    model = walking(speed=0.1, fps=10, seconds=3)
    model.rest()
    begun = model.place
    model.predict(1.0, 0.0)
    assert model.place == begun
