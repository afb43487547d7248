from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tracking.stage import GATE, MOMENT, Actor, World, camera, make_scene

from edgevision.events import LineCount
from edgevision.tracking.scene import Scene

DAILY = GATE | {"reset_at": "00:00"}
STORED = LineCount("porch", "gate", "street", "garden", 7, 3, MOMENT)
EAST = timezone(timedelta(hours=2))


def scene_with(count: LineCount = STORED, **line: object) -> Scene:
    return make_scene(camera(lines={"gate": GATE | line}), counts=[count])


def due(scene: Scene, *moments: datetime) -> list[datetime]:
    """Return those of these moments at which the counter is reset."""
    return [moment for moment in moments if scene.reset_due(moment)]


def test_crossings_are_counted_in_each_direction_from_the_first_frame_on() -> None:
    there_and_back = Actor([(1, 0.3, 0.8), (3, 0.7, 0.8), (5, 0.3, 0.8)])
    there = Actor([(1, 0.3, 0.6), (3, 0.7, 0.6)])
    scene = make_scene(camera(lines={"gate": GATE}))
    World(scene, there_and_back, there).play(until_s=9)
    assert scene.line_counts() == (LineCount("porch", "gate", "street", "garden", 2, 1, MOMENT),)


def test_stored_counts_continue() -> None:
    scene = scene_with()
    assert scene.line_counts() == (STORED,)
    World(scene, Actor([(1, 0.3, 0.8), (3, 0.7, 0.8)])).play(until_s=9)
    assert scene.line_counts() == (replace(STORED, forward=8),)


@pytest.mark.parametrize(
    "changed",
    [{"camera": "yard"}, {"line": "door"}, {"from_side": "road"}, {"to_side": "road"}],
)
def test_stored_counts_of_another_line_or_other_sides_are_not_taken(
    changed: dict[str, str],
) -> None:
    scene = scene_with(replace(STORED, **changed))  # type: ignore[arg-type]
    World(scene).play(until_s=0)
    assert scene.line_counts() == (replace(STORED, forward=0, backward=0),)


def test_a_reset_starts_at_0_now_and_an_unknown_line_has_none() -> None:
    scene = scene_with()
    later = MOMENT + timedelta(hours=1)
    begun = replace(STORED, forward=0, backward=0, since=later)
    assert scene.reset("gate", later) == begun
    assert scene.line_counts() == (begun,)
    with pytest.raises(KeyError):
        scene.reset("door", later)


def test_a_line_without_an_hour_is_never_reset() -> None:
    assert due(scene_with(), MOMENT + timedelta(days=400)) == []


def test_the_counter_is_reset_at_the_first_check_after_its_hour_in_local_time() -> None:
    scene = scene_with(reset_at="06:30")
    early = datetime(2026, 2, 1, 6, 29, 59, tzinfo=EAST)
    late = datetime(2026, 2, 1, 6, 30, 1, tzinfo=EAST)
    assert due(scene, early, late, late + timedelta(hours=23)) == [late]
    (count,) = scene.line_counts()
    assert (count.forward, count.backward, count.since) == (0, 0, late)
    assert count.since.tzinfo is UTC


def test_an_hour_at_which_the_service_was_off_is_made_up_for_once() -> None:
    late = MOMENT + timedelta(days=3)
    assert due(scene_with(reset_at="00:00"), late, late + timedelta(seconds=1)) == [late]


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_steps_by_an_hour_at_midnight_makes_no_second_reset(hours: int) -> None:
    scene = scene_with(reset_at="00:00")
    midnight = datetime(2026, 2, 1, tzinfo=EAST)
    before = [midnight + timedelta(minutes=minute - 120) for minute in range(121)]
    after = [midnight + timedelta(hours=hours, minutes=minute) for minute in range(600)]
    assert due(scene, *before, *after) == [midnight]


@pytest.mark.parametrize("reset_at", ["00:00", "02:30", "03:00"])
@pytest.mark.parametrize("summer", [(-9, 0), (0, 9)], ids=["ends", "begins"])
def test_summer_time_starts_and_ends_with_one_reset_a_day(
    reset_at: str, summer: tuple[int, int]
) -> None:
    change = datetime(2026, 3, 29, 1, tzinfo=UTC)  # 02:00 or 03:00 where summer is 2 h ahead
    scene = scene_with(replace(STORED, since=change - timedelta(days=2)), reset_at=reset_at)
    looks = [change + timedelta(minutes=5 * step) for step in range(-288 * 2, 288 * 2)]
    begin, end = (change + timedelta(days=days) for days in summer)
    local = [
        look.astimezone(timezone(timedelta(hours=2 if begin <= look < end else 1)))
        for look in looks
    ]
    dates = [moment.date() for moment in due(scene, *local)]
    assert dates[1:] == [dates[0] + timedelta(days=day) for day in range(1, len(dates))]
    assert change.date() in dates


def test_a_count_that_a_wrong_clock_started_in_the_future_is_reset() -> None:
    scene = scene_with(replace(STORED, since=MOMENT + timedelta(days=3000)), reset_at="00:00")
    assert due(scene, MOMENT, MOMENT + timedelta(minutes=1)) == [MOMENT]


def test_a_count_that_began_within_the_day_ahead_waits_for_its_hour() -> None:
    scene = scene_with(replace(STORED, since=MOMENT + timedelta(hours=1)), reset_at="00:00")
    assert due(scene, MOMENT) == []


@given(
    st.lists(st.integers(-3600, 24 * 3600), min_size=1, max_size=60),
    st.integers(0, 23),
    st.integers(0, 59),
)
def test_two_resets_are_never_for_the_same_day(steps: list[int], hour: int, minute: int) -> None:
    scene = scene_with(reset_at=f"{hour:02}:{minute:02}")
    now, last = MOMENT, None
    for step in steps:
        now += timedelta(seconds=step)
        if scene.reset_due(now):
            day = (now - timedelta(hours=hour, minutes=minute)).date()
            assert day != last
            last = day
