from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tracking.world import (
    SIZE_PX,
    Body,
    all_numbers,
    during,
    frames,
    make_tracker,
    numbers_of,
    standing,
    walking,
    watch,
)

from edgevision.clock import NS_PER_S
from edgevision.frames import DetectedObject

BLUE = (160, 60, 60)
RATES = pytest.mark.parametrize("fps", [5, 10, 30, 60])


def person(x: float, score: float = 0.7, label: str = "Person") -> DetectedObject:
    return DetectedObject(label, score, (x, 0.4, 0.1, 0.3))


# Walking, crossing, stopping, coming back


@RATES
def test_a_person_that_walks_by_is_one_object(fps: float) -> None:
    history = watch(Body(walking(0.1, 0.1)), seconds=frames(fps, 8))
    assert all_numbers(history) == {1}
    assert numbers_of(history, 0) == [1]


@RATES
@pytest.mark.parametrize("with_image", [True, False])
def test_two_people_that_cross_keep_their_numbers(fps: float, *, with_image: bool) -> None:
    one = Body(walking(0.1, 0.1))
    other = Body(walking(0.9, -0.1, y=0.84), bgr=BLUE)
    history = watch(one, other, seconds=frames(fps, 8), with_image=with_image)
    assert all_numbers(history) == {1, 2}
    assert len(numbers_of(history, 0)) == len(numbers_of(history, 1)) == 1


@RATES
def test_two_people_that_meet_and_turn_back_keep_their_numbers_by_their_looks(fps: float) -> None:
    def there_and_back(start: float, way: float, y: float) -> Body:
        def foot(second: float) -> tuple[float, float]:
            return (start + way * min(second, 7 - second), y)

        return Body(foot, bgr=BLUE if way < 0 else (60, 160, 60))

    bodies = (there_and_back(0.15, 0.095, 0.8), there_and_back(0.85, -0.095, 0.83))
    history = watch(*bodies, seconds=frames(fps, 7))
    assert all_numbers(history) == {1, 2}
    assert len(numbers_of(history, 0)) == len(numbers_of(history, 1)) == 1


@RATES
def test_a_person_that_stops_and_walks_on_is_one_object(fps: float) -> None:
    def foot(second: float) -> tuple[float, float]:
        return (0.1 + 0.1 * (second - min(max(second - 3, 0), 4)), 0.8)

    assert numbers_of(watch(Body(foot), seconds=frames(fps, 11)), 0) == [1]


@RATES
def test_a_person_behind_a_pillar_for_3_s_is_lost_and_found_again(fps: float) -> None:
    body = Body(during(walking(0.2, 0.05), (0, 4), (7, 11)))
    history = watch(body, seconds=frames(fps, 11))
    assert all_numbers(history) == {1}
    hidden = [seen.tracks[0] for seen in history if 4.1 < seen.second < 6.9]
    assert not any(track.seen or track.shown or track.detection is not None for track in hidden)
    assert {track.seen_ns // NS_PER_S for track in hidden} == {3}


@RATES
def test_a_person_that_returns_after_8_s_is_another_object(fps: float) -> None:
    body = Body(during(standing(0.5), (0, 4), (12, 16)))
    history = watch(body, seconds=frames(fps, 16))
    assert numbers_of(history, 0) == [1, 2]
    ended = [seen.second for seen in history if not seen.tracks and seen.second > 4]
    assert 8.9 < ended[0] < 9.3


def test_a_person_in_other_clothes_elsewhere_is_not_the_one_who_just_left() -> None:
    left = Body(during(standing(0.3), (0, 4)))
    came = Body(during(standing(0.42), (5, 9)), bgr=BLUE)
    history = watch(left, came, seconds=frames(10, 9))
    assert (numbers_of(history, 0), numbers_of(history, 1)) == ([1], [2])


@RATES
def test_a_car_that_passes_in_two_seconds_is_one_object(fps: float) -> None:
    car = Body(walking(0.0, 0.5), label=lambda _second: "Car", size=(0.3, 0.2))
    assert all_numbers(watch(car, seconds=frames(fps, 2))) == {1}


# Frame rates


def test_half_the_frame_rate_gives_the_same_objects_at_the_same_times() -> None:
    bodies = (
        Body(walking(0.1, 0.08)),
        Body(walking(0.9, -0.08, y=0.85), bgr=BLUE),
        Body(during(standing(0.5, y=0.4), (2, 6), (9, 11)), bgr=(60, 160, 60)),
    )
    full, half = (watch(*bodies, seconds=frames(fps, 11)) for fps in (20, 10))
    for body in range(3):
        assert numbers_of(full, body) == numbers_of(half, body)
    for number in all_numbers(full) | all_numbers(half):
        spans = []
        for history in (full, half):
            there = [
                (seen.second, track)
                for seen in history
                for track in seen.tracks
                if track.number == number
            ]
            spans.append((there[0][1].begun_ns / NS_PER_S, there[0][0], there[-1][0]))
        assert spans[0] == pytest.approx(spans[1], abs=0.21)


def test_dropped_frames_and_a_gap_of_a_second_change_nothing() -> None:
    seconds = [s for i, s in enumerate(frames(10, 9)) if i % 3 and not 4 <= s < 5]
    one, other = Body(walking(0.1, 0.08)), Body(walking(0.9, -0.08, y=0.86), bgr=BLUE)
    history = watch(one, other, seconds=seconds)
    assert (len(numbers_of(history, 0)), all_numbers(history)) == (1, {1, 2})


def test_at_a_frame_every_7_s_what_stands_still_keeps_its_number() -> None:
    history = watch(Body(standing(0.5)), seconds=frames(1 / 7, 140))
    assert [len(seen.tracks) for seen in history] == [0, 0, *[1] * 18]
    assert all_numbers(history) == {1}


def test_at_a_frame_every_7_s_an_object_that_left_ends_with_the_first_frame_without_it() -> None:
    history = watch(Body(during(standing(0.5), (0, 40))), seconds=frames(1 / 7, 70))
    assert [len(seen.tracks) for seen in history] == [0, 0, 1, 1, 1, 1, 0, 0, 0, 0]


# Confirmation and scores


def test_a_flicker_of_a_tenth_of_a_second_is_no_object() -> None:
    body = Body(during(standing(0.5), (1, 1.1), (3, 3.2)))
    assert all_numbers(watch(body, seconds=frames(60, 5))) == set()


def test_an_object_is_confirmed_by_three_detections_over_a_quarter_of_a_second() -> None:
    for fps, count in ((4, 3), (5, 3), (10, 4), (30, 9), (60, 16)):
        history = watch(Body(standing(0.5)), seconds=frames(fps, 2))
        assert next(i for i, seen in enumerate(history, 1) if seen.tracks) == count
        assert history[-1].tracks[0].begun_ns == 0


def test_weak_detections_start_nothing_and_confirm_nothing() -> None:
    weak = Body(standing(0.5), score=lambda _second: 0.41)
    unsure = Body(standing(0.2), score=lambda _second: 0.45)
    assert all_numbers(watch(weak, unsure, seconds=frames(10, 5))) == set()


def test_weak_detections_continue_an_object_which_is_not_shown_then() -> None:
    body = Body(standing(0.5), score=lambda second: 0.7 if second < 2 else 0.36)
    history = watch(body, seconds=frames(10, 20))
    assert numbers_of(history, 0) == [1]
    track = history[-1].tracks[0]
    assert (track.seen, track.shown) == (True, False)
    assert track.score == pytest.approx(0.36)


def test_what_is_below_a_weak_score_is_not_seen() -> None:
    body = Body(standing(0.5), score=lambda second: 0.7 if second < 2 else 0.34)
    history = watch(body, seconds=frames(10, 8))
    assert history[-1].tracks == ()


def test_a_label_with_its_own_score_is_confirmed_above_that_one() -> None:
    cat = Body(standing(0.3), label=lambda _second: "Cat")
    history = watch(
        Body(standing(0.7)),
        cat,
        seconds=frames(10, 3),
        tracker=make_tracker(label_min_score={"Cat": 0.8}),
    )
    assert [track.label for track in history[-1].tracks] == ["Person"]


def test_a_second_box_on_a_person_is_no_second_person() -> None:
    tracker = make_tracker()
    for frame in range(50):
        found = [
            DetectedObject("Person", 0.7, (0.45, 0.5, 0.1, 0.3)),
            DetectedObject("Person", 0.6, (0.46, 0.5, 0.09, 0.18)),
        ]
        tracks = tracker.step(found, None, SIZE_PX, frame * NS_PER_S // 10)
    assert [track.detection for track in tracks] == [0]


# Labels


def test_an_object_that_flickers_between_two_labels_is_one_with_the_label_of_most_votes() -> None:
    body = Body(walking(0.1, 0.1), label=lambda second: "Dog" if second * 10 % 3 < 1.5 else "Cat")
    history = watch(body, seconds=frames(10, 7))
    assert all_numbers(history) == {1}
    assert history[-1].tracks[0].label == "Dog"


def test_the_label_changes_once_another_has_clearly_more_votes() -> None:
    body = Body(standing(0.5), label=lambda second: "Dog" if second < 2 else "Cat")
    history = watch(body, seconds=frames(10, 6))
    assert all_numbers(history) == {1}
    labels = [seen.tracks[0].label for seen in history if seen.tracks]
    assert [a for a, b in pairwise(labels) if a != b] == ["Dog"]
    assert labels[-1] == "Cat"


def test_two_labels_on_the_same_box_are_one_object() -> None:
    tracker = make_tracker()
    for frame in range(30):
        found = [person(0.5, 0.6, "Cat"), person(0.5, 0.5, "Dog")]
        tracks = tracker.step(found, None, SIZE_PX, frame * NS_PER_S // 10)
    assert [(track.label, track.detection) for track in tracks] == [("Cat", 0)]


def test_two_objects_of_two_labels_that_turn_out_to_be_one_do_not_stay_two() -> None:
    cat = Body(walking(0.2, 0.1), label=lambda _second: "Cat")
    dog = Body(
        lambda second: (0.2 + 0.1 * second + max(0.0, 0.3 - 0.1 * second), 0.8),
        label=lambda _second: "Dog",
        score=lambda _second: 0.6,
    )
    tracker = make_tracker()
    counts = []
    for second in frames(10, 12):
        found = [
            DetectedObject(body.label(second), body.score(second), body.box(second) or (0, 0, 1, 1))
            for body in (cat, dog)
        ]
        counts.append(len(tracker.step(found, None, SIZE_PX, round(second * NS_PER_S))))
    assert (max(counts), counts[-1]) == (2, 1)


def test_a_person_in_a_car_and_the_car_are_two_objects() -> None:
    tracker = make_tracker()
    for frame in range(30):
        x = 0.1 + frame * 0.01
        found = [
            DetectedObject("Car", 0.8, (x, 0.4, 0.4, 0.3)),
            DetectedObject("Person", 0.6, (x + 0.15, 0.42, 0.1, 0.15)),
        ]
        tracks = tracker.step(found, None, SIZE_PX, frame * NS_PER_S // 10)
    assert [(track.number, track.label, track.detection) for track in tracks] == [
        (1, "Car", 0),
        (2, "Person", 1),
    ]


# Still scenes


def test_in_a_still_scene_what_was_seen_stays_and_what_was_lost_runs_out() -> None:
    tracker = make_tracker()
    lost = Body(during(standing(0.2), (0, 2)))
    watch(Body(standing(0.7)), lost, seconds=frames(10, 4), tracker=tracker)
    tracks = tracker.keep(4 * NS_PER_S)
    assert [(track.number, track.seen) for track in tracks] == [(1, True), (2, False)]
    for second in range(5, 3600):
        tracks = tracker.keep(second * NS_PER_S)
    assert [(track.number, track.seen, track.shown) for track in tracks] == [(1, True, True)]
    assert tracks[0].detection is None
    assert tracks[0].seen_ns == 3599 * NS_PER_S


def test_after_a_still_scene_the_object_walks_on_with_its_number() -> None:
    tracker = make_tracker()
    before = watch(Body(walking(0.3, 0.05)), seconds=frames(10, 3), tracker=tracker)
    for tenth in range(30, 6000):
        kept = tracker.keep(tenth * NS_PER_S // 10)
    box = before[-1].tracks[0].box_frac
    assert kept[0].box_frac[0] == pytest.approx(box[0], abs=0.01)
    body = Body(lambda second: (0.45 + 0.05 * (second - 600), 0.8))
    history = watch(body, seconds=frames(10, 4, start=600), tracker=tracker)
    assert numbers_of(history, 0) == [1]


# Bounds


def test_an_object_that_stays_for_5000_frames_takes_no_more_memory() -> None:
    tracker = make_tracker()
    watch(
        Body(standing(0.5)),
        seconds=[frame / 100 for frame in range(5000)],
        tracker=tracker,
        with_image=False,
    )
    (target,) = tracker._targets
    assert len(target._scores) <= 64


def test_more_objects_than_fit_are_dropped_and_counted_the_longest_unseen_first() -> None:
    tracker = make_tracker(lost_after_s=600.0)

    def crowd(row: float) -> list[DetectedObject]:
        return [DetectedObject("Person", 0.7, (x / 150, row, 0.002, 0.02)) for x in range(1, 101)]

    second = 0.0
    for row in (0.1, 0.25, 0.4, 0.55, 0.7):
        for _ in range(4):
            second += 0.1
            tracks = tracker.step(crowd(row), None, SIZE_PX, round(second * NS_PER_S))
    assert len(tracks) == 400
    assert tracker.dropped == 100
    assert [track.number for track in tracks] == list(range(101, 501))


def test_a_frame_of_another_shape_ends_all_objects() -> None:
    tracker = make_tracker()
    watch(Body(standing(0.5)), seconds=frames(10, 2), tracker=tracker)
    assert tracker.step([person(0.45)], None, (240, 320), 2 * NS_PER_S) == ()


BOXES = st.builds(
    DetectedObject,
    st.sampled_from(["Person", "Cat", "Dog"]),
    st.floats(0.0, 1.0),
    st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 0.5), st.floats(0, 0.5)),
)


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(st.lists(BOXES, max_size=6), st.floats(0, 3), st.booleans(), st.booleans()),
        max_size=20,
    )
)
def test_whatever_is_found_numbers_ascend_and_none_is_used_again(
    steps: list[tuple[list[DetectedObject], float, bool, bool]],
) -> None:
    tracker = make_tracker(lost_after_s=1.0)
    image = np.arange(240 * 320 * 3, dtype=np.uint32).astype(np.uint8).reshape(240, 320, 3)
    now_ns = 0
    before: set[int] = set()
    ended: set[int] = set()
    for found, elapsed_s, with_image, inferred in steps:
        now_ns += round(elapsed_s * NS_PER_S)
        if inferred:
            tracks = tracker.step(found, image if with_image else None, SIZE_PX, now_ns)
        else:
            tracks = tracker.keep(now_ns)
        numbers = [track.number for track in tracks]
        assert numbers == sorted(set(numbers))
        ended |= before - set(numbers)
        assert not ended & set(numbers)
        before = set(numbers)
        taken = [track.detection for track in tracks if track.detection is not None]
        assert len(set(taken)) == len(taken)
        for track in tracks:
            assert track.seen == (track.seen_ns == now_ns) or elapsed_s == 0
            assert np.isfinite(track.box_frac).all()
            assert track.begun_ns <= track.seen_ns <= now_ns
