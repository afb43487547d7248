from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tracking.stage import (
    DRIVE,
    GATE,
    MOMENT,
    SIZE_PX,
    YARD,
    Actor,
    World,
    box_at,
    camera,
    make_scene,
    seen_at,
    summary,
)

from edgevision.clock import NS_PER_S
from edgevision.config.camera import CameraConfig, DetectionConfig, FilterConfig, TrackingConfig
from edgevision.events import ObjectEvent, Occupancy, Track, ZoneEvent

LEFT, RIGHT = (0.25, 0.8), (0.75, 0.8)
# From the drive through the gate into the yard within 10 s.
CROSSER = Actor([(1.0, *LEFT), (11.0, *RIGHT)])


def porch(**scene: object) -> CameraConfig:
    return camera(zones={"drive": DRIVE, "yard": YARD}, lines={"gate": GATE}, **scene)


def standing(foot: tuple[float, float] = LEFT, *, until_s: float = 100.0, **actor: object) -> Actor:
    return Actor([(0.0, *foot), (until_s, *foot)], **actor)  # type: ignore[arg-type]


def track(number: int = 1, *, now_s: float = 0.0, foot: tuple[float, float] = LEFT) -> Track:
    now_ns = round(now_s * NS_PER_S)
    return Track(number, "Person", 0.8, box_at(foot), 0, True, True, now_ns, now_ns)  # noqa: FBT003


def updates(world: World) -> list[tuple[float, str]]:
    return [(now_s, text) for now_s, text in world.published if text.startswith("update")]


def test_an_object_that_goes_from_zone_to_zone_over_a_line_is_published_once_in_order() -> None:
    world = World(make_scene(porch()), CROSSER).play(until_s=20)
    assert world.published == [
        (1.0, "new 1"),
        (1.0, "enter drive 1"),
        (6.0, "enter yard 1"),
        (6.0, "update zone 1"),
        (6.3, "line gate street>garden 1"),
        (6.5, "leave drive 1"),
        (6.5, "update zone 1"),
        (13.0, "leave yard 1"),
        (13.0, "end lost 1"),
    ]


@pytest.mark.parametrize("fps", [5.0, 7.5, 15.0, 30.0, 60.0])
def test_the_sequence_is_the_same_from_5_to_60_frames_a_second(fps: float) -> None:
    world = World(make_scene(porch()), CROSSER).play(until_s=20, fps=fps)
    assert world.lines == World(make_scene(porch()), CROSSER).play(until_s=20).lines


@pytest.mark.parametrize("every", [2, 3, 7])
def test_frames_that_are_dropped_change_when_but_not_what_is_published(every: int) -> None:
    world = World(make_scene(porch()), CROSSER).play(until_s=20, every=every)
    assert world.lines == World(make_scene(porch()), CROSSER).play(until_s=20).lines


@pytest.mark.parametrize("hour", [-3600, 3600])
def test_a_clock_that_is_set_by_an_hour_in_mid_track_changes_only_what_is_published(
    hour: int,
) -> None:
    loitering = porch(masks={}).model_copy(update={"zones": camera(zones=LOITER).zones})
    still = World(make_scene(loitering), standing(until_s=40))
    still.play(until_s=60)
    stepped = World(make_scene(loitering), standing(until_s=40))
    stepped.play(until_s=5)
    stepped.wall_step = timedelta(seconds=hour)
    stepped.play(until_s=60)
    assert stepped.published == still.published
    end = stepped.events[-1]
    assert isinstance(end, ObjectEvent)
    assert end.after.started_at == MOMENT
    assert end.after.duration_s == 40.0
    assert end.after.ended_at == MOMENT + timedelta(seconds=40 + hour)


LOITER = {"drive": DRIVE | {"loiter_after_s": 10.0}}


@pytest.mark.parametrize("fps", [0.5, 1.0, 15.0, 30.0])
def test_half_the_frame_rate_gives_the_same_loitering_and_rest(fps: float) -> None:
    world = World(make_scene(camera(zones=LOITER)), standing(until_s=20))
    world.play(until_s=20, fps=fps)
    assert world.published == [
        (0.0, "new 1"),
        (0.0, "enter drive 1"),
        (10.0, "update stationary 1"),
        (10.0, "loitering drive 1"),
    ]


def test_an_object_that_stops_rests_and_moves_on_is_published_with_its_position_changes() -> None:
    actor = Actor([(0, 0.1, 0.8), (2, 0.3, 0.8), (22, 0.3, 0.8), (26, 0.7, 0.8)])
    world = World(make_scene(), actor).play(until_s=26)
    rest, start = world.moments("update stationary 1")
    assert 11.5 < rest < 12.5
    assert 22.5 < start <= 23.5
    first, second = (event for event in world.events[1:] if isinstance(event, ObjectEvent))
    assert (first.after.stationary, first.after.position_changes) == (True, 0)
    assert (second.after.stationary, second.after.position_changes) == (False, 1)
    assert second.before == first.after


def test_an_object_that_leaves_and_returns_while_its_track_lives_stays_one() -> None:
    world = World(make_scene(porch()), standing(until_s=9, hidden=[(3, 4.5)])).play(until_s=20)
    assert world.lines == ["new 1", "enter drive 1", "leave drive 1", "end lost 1"]


def test_an_object_that_returns_after_its_track_has_ended_is_another() -> None:
    world = World(make_scene(), standing(until_s=20, hidden=[(3, 9)])).play(until_s=12)
    assert world.published == [(0.0, "new 1"), (4.9, "end lost 1"), (9.0, "new 2")]


def test_one_that_reappears_beyond_the_line_has_crossed_it_and_not_while_it_was_away() -> None:
    actor = replace(CROSSER, hidden=[(5.5, 7.1)])
    world = World(make_scene(porch()), actor).play(until_s=9)
    assert world.moments("line gate street>garden 1") == [7.1]
    assert world.moments("enter yard 1") == [7.1]


def test_a_jump_over_the_line_right_after_the_first_frame_counts() -> None:
    scene = make_scene(porch())
    scene.step([track()], now_ns=0, at=MOMENT, frame_size_px=SIZE_PX)
    jumped = track(now_s=1.0, foot=RIGHT)
    published = scene.step([jumped], now_ns=NS_PER_S, at=MOMENT, frame_size_px=SIZE_PX)
    assert "line gate street>garden 1" in [summary(event) for event in published]


def test_a_prediction_crosses_no_line_and_changes_no_zone() -> None:
    actor = replace(CROSSER, hidden=[(5.5, 20)])
    world = World(make_scene(porch()), actor).play(until_s=20)
    assert world.lines == ["new 1", "enter drive 1", "leave drive 1", "end lost 1"]


def test_two_labels_are_published_by_number_and_counted_apart() -> None:
    scene = make_scene(porch())
    World(scene, standing(RIGHT), standing(label="Car")).play(until_s=1)
    assert scene.occupancy() == (
        Occupancy("porch", None, "Car", 1),
        Occupancy("porch", None, "Person", 1),
        Occupancy("porch", "drive", "Car", 1),
        Occupancy("porch", "yard", "Person", 1),
    )


def test_counts_of_objects_that_have_ended_are_zero_and_stay_listed() -> None:
    scene = make_scene(porch())
    World(scene, CROSSER).play(until_s=20)
    assert scene.occupancy() == (
        Occupancy("porch", None, "Person", 0),
        Occupancy("porch", "drive", "Person", 0),
        Occupancy("porch", "yard", "Person", 0),
    )


def test_labels_that_the_configuration_names_are_counted_from_the_start() -> None:
    zones = {"drive": DRIVE | {"labels": ["Car"]}, "yard": YARD}
    scene = make_scene(camera(zones=zones), detection=DetectionConfig(labels=("Person", "Car")))
    assert [(each.zone, each.label, each.count) for each in scene.occupancy()] == [
        (None, "Car", 0),
        (None, "Person", 0),
        ("drive", "Car", 0),
        ("yard", "Car", 0),
        ("yard", "Person", 0),
    ]


def test_an_object_in_a_mask_is_published_once_it_leaves_it_and_may_return_into_it() -> None:
    config = camera(masks={"poster": DRIVE})
    there = Actor([(0, *LEFT), (2, *LEFT), (4, *RIGHT), (6, *LEFT), (9, *LEFT)])
    world = World(make_scene(config), there).play(until_s=20)
    assert world.lines == ["new 1", "end lost 1"]
    assert 2 < world.moments("new 1")[0] < 4
    assert world.moments("end lost 1") == [11.0]


def test_an_object_that_never_passes_the_filters_is_not_published_at_all() -> None:
    detection = DetectionConfig(filters={"Person": FilterConfig(min_area=0.05)})
    scene = make_scene(detection=detection)
    world = World(scene, standing(until_s=5)).play(until_s=10)
    assert world.published == []
    assert scene.open_objects == ()
    assert scene.object_id(1) is None


def test_an_object_is_new_once_it_has_passed_and_then_stays_with_the_top_score_it_had() -> None:
    detection = DetectionConfig(filters={"Person": FilterConfig(min_score=0.7)})
    scene = make_scene(detection=detection)
    published = []
    for now_s, score in enumerate([0.5, 0.6, 0.75, 0.5, 0.5]):
        one = replace(track(now_s=now_s), score=score, begun_ns=0)
        published.append(
            scene.step(
                [one],
                now_ns=now_s * NS_PER_S,
                at=MOMENT + timedelta(seconds=now_s),
                frame_size_px=SIZE_PX,
            )
        )
    assert [len(events) for events in published] == [0, 0, 1, 0, 0]
    (state,) = scene.open_objects
    assert (state.score, state.top_score, state.duration_s) == (0.5, 0.75, 4.0)
    assert state.started_at == MOMENT


def test_closing_the_camera_leaves_zones_and_ends_all_and_no_id_is_used_again() -> None:
    scene = make_scene(porch())
    world = World(scene, standing(), standing(RIGHT)).play(until_s=3).close("camera", 8.0)
    assert world.published[-4:] == [
        (8.0, "leave drive 1"),
        (8.0, "end camera 1"),
        (8.0, "leave yard 2"),
        (8.0, "end camera 2"),
    ]
    leave, end = world.events[-4:-2]
    assert isinstance(leave, ZoneEvent)
    assert isinstance(end, ObjectEvent)
    assert leave.dwell_s == end.after.duration_s == 3.0
    assert end.after.ended_at == MOMENT + timedelta(seconds=3)
    assert end.occurred_at == MOMENT + timedelta(seconds=8)
    assert not any(each.count for each in scene.occupancy())
    assert scene.object_id(1) is None
    assert world.close("stopped", 9.0).published[-1] == (8.0, "end camera 2")
    world.play(until_s=10)
    assert world.moments("new 3") == [3.1]


def test_an_update_comes_at_least_at_the_configured_interval_also_while_it_is_lost() -> None:
    tracking = TrackingConfig(update_interval_s=10.0, stationary_after_s=1000.0)
    world = World(
        make_scene(tracking=tracking), standing(until_s=45, hidden=[(15, 35)]), lost_after_s=100
    )
    world.play(until_s=45)
    assert updates(world) == [(at, "update interval 1") for at in (10.0, 20.0, 30.0, 40.0)]


def test_a_better_view_is_published_but_not_within_5_seconds_of_the_last_event() -> None:
    scene = make_scene(tracking=TrackingConfig(stationary_after_s=1000.0))
    published = []
    for now_s, score in [(0, 0.5), (1, 0.6), (5, 0.6), (6, 0.9), (9, 0.9), (10, 0.9), (20, 0.95)]:
        one = replace(track(now_s=now_s), score=score, begun_ns=0)
        at = MOMENT + timedelta(seconds=now_s)
        events = scene.step([one], now_ns=now_s * NS_PER_S, at=at, frame_size_px=SIZE_PX)
        published += [(now_s, each.reason) for each in events if isinstance(each, ObjectEvent)]
    # 0.95 is less than 1.1 times 0.9.
    assert published == [(0, "appeared"), (5, "better_view"), (10, "better_view")]


def test_no_better_view_is_published_while_nothing_is_seen() -> None:
    scene = make_scene()
    scene.step([track()], now_ns=0, at=MOMENT, frame_size_px=SIZE_PX)
    better = replace(track(now_s=1.0), score=0.99)
    scene.step([better], now_ns=NS_PER_S, at=MOMENT, frame_size_px=SIZE_PX)
    lost = replace(better, seen=False)
    assert scene.step([lost], now_ns=6 * NS_PER_S, at=MOMENT, frame_size_px=SIZE_PX) == ()


def test_a_view_that_the_frame_cuts_off_is_worth_half() -> None:
    whole, cut, nearly = (seen_at(foot).quality for foot in [(0.5, 0.8), (0.5, 1.0), (0.5, 0.98)])
    assert whole == pytest.approx(0.8 * 0.03**0.5)
    assert cut == whole / 2
    assert nearly == whole
    assert seen_at((0.05, 0.8)).quality == whole / 2


def test_two_reasons_in_one_frame_make_one_update_with_the_first_of_them() -> None:
    zones = {"drive": DRIVE | {"min_dwell_s": 10.0}}
    world = World(make_scene(camera(zones=zones)), standing(until_s=12)).play(until_s=12)
    assert world.published == [(0.0, "new 1"), (10.0, "enter drive 1"), (10.0, "update zone 1")]
    update = world.events[-1]
    assert isinstance(update, ObjectEvent)
    assert update.after.stationary


def test_an_object_in_still_frames_that_are_not_inferred_is_there_and_loiters() -> None:
    scene = make_scene(camera(zones=LOITER))
    published = []
    for now_s in range(20):
        still = replace(track(), detection=0 if now_s == 0 else None)
        at = MOMENT + timedelta(seconds=now_s)
        published += scene.step([still], now_ns=now_s * NS_PER_S, at=at, frame_size_px=SIZE_PX)
    assert [summary(event) for event in published] == [
        "new 1",
        "enter drive 1",
        "update stationary 1",
        "loitering drive 1",
    ]
    (state,) = scene.open_objects
    assert state.duration_s == 19.0
    assert state.motionless_frames == 19


def test_a_change_of_label_is_published_and_moves_the_counts() -> None:
    scene = make_scene(porch())
    one = track()
    scene.step([one], now_ns=0, at=MOMENT, frame_size_px=SIZE_PX)
    events = scene.step(
        [replace(one, label="Dog")], now_ns=NS_PER_S, at=MOMENT, frame_size_px=SIZE_PX
    )
    assert [each.reason for each in events if isinstance(each, ObjectEvent)] == ["label"]
    assert {each.label: each.count for each in scene.occupancy()} == {"Dog": 1, "Person": 0}


def test_events_show_the_object_as_it_is_after_them() -> None:
    world = World(make_scene(camera(zones=LOITER)), standing(until_s=15)).play(until_s=20)
    new, enter, rest, loitering, leave, end = world.events
    assert isinstance(new, ObjectEvent)
    assert new.before is None
    assert new.after.current_zones == ("drive",)
    assert isinstance(enter, ZoneEvent)
    assert enter.object == new.after
    assert isinstance(rest, ObjectEvent)
    assert isinstance(loitering, ZoneEvent)
    assert loitering.object.loitering_zones == rest.after.loitering_zones == ("drive",)
    assert loitering.dwell_s == 10.0
    assert isinstance(leave, ZoneEvent)
    assert leave.object.current_zones == leave.object.loitering_zones == ()
    assert leave.dwell_s == 15.0
    assert isinstance(end, ObjectEvent)
    assert end.before == rest.after
    assert end.after.entered_zones == ("drive",)
    assert end.after.duration_s == 15.0


def test_a_track_that_is_older_than_its_first_frame_here_has_started_before_it() -> None:
    scene = make_scene()
    one = replace(track(now_s=2.0), begun_ns=NS_PER_S // 2)
    at = MOMENT + timedelta(seconds=2)
    scene.step([one], now_ns=2 * NS_PER_S, at=at, frame_size_px=SIZE_PX)
    (state,) = scene.open_objects
    assert state.started_at == MOMENT + timedelta(seconds=0.5)
    assert state.duration_s == 1.5


def test_a_box_that_reaches_out_of_the_frame_is_clipped_and_so_is_its_foot() -> None:
    scene = make_scene()
    one = replace(track(), box_frac=(0.9, 0.8, 0.4, 0.5))
    scene.step([one], now_ns=0, at=MOMENT, frame_size_px=SIZE_PX)
    (state,) = scene.open_objects
    assert state.box_frac == pytest.approx((0.9, 0.8, 0.1, 0.2))
    assert (state.path[0].x_frac, state.path[0].y_frac) == pytest.approx((0.95, 1.0))


def test_a_lost_track_that_was_never_seen_here_is_no_object() -> None:
    scene = make_scene()
    lost = replace(track(), seen=False)
    assert scene.step([lost], now_ns=0, at=MOMENT, frame_size_px=SIZE_PX) == ()
    assert scene.open_objects == ()


def test_the_id_of_a_track_is_that_of_its_events() -> None:
    scene = make_scene()
    scene.step([track(7)], now_ns=0, at=MOMENT, frame_size_px=SIZE_PX)
    assert scene.object_id(7) == "1" == scene.open_objects[0].id
    scene.step([], now_ns=1, at=MOMENT, frame_size_px=SIZE_PX)
    assert scene.object_id(7) is None
