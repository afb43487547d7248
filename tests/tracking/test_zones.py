from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tracking.stage import DRIVE, YARD, seen_at

from edgevision.config.camera import FilterConfig, MaskConfig, ZoneConfig
from edgevision.tracking.zones import ZoneVisits, is_masked, passes

Point = tuple[float, float]
# A box of 0.3 of the frame's height leaves a zone 0.03 of the frame below or above it.
INSIDE, EDGE, OUTSIDE = (0.25, 0.8), (0.25, 0.49), (0.25, 0.3)


def visits(**zones: dict[str, object]) -> ZoneVisits:
    return ZoneVisits({name: ZoneConfig.model_validate(zone) for name, zone in zones.items()})


def follow(
    one: ZoneVisits, feet: Sequence[Point], *, fps: float = 1.0, **seen: object
) -> list[str]:
    """Return what happens to an object that is seen at these points, with the second."""
    return [
        f"{change.kind} {change.zone} {frame / fps:g}"
        for frame, foot in enumerate(feet)
        for change in one.step(seen_at(foot, frame / fps, **seen))  # type: ignore[arg-type]
    ]


def test_an_object_enters_with_its_foot_and_leaves_0_1_of_its_height_beyond_the_edge() -> None:
    one = visits(drive=DRIVE)
    assert follow(one, [OUTSIDE, EDGE, INSIDE, EDGE, (0.25, 0.471), (0.25, 0.469)]) == [
        "enter drive 2",
        "leave drive 5",
    ]


def test_an_object_on_the_edge_is_inside() -> None:
    assert follow(visits(drive=DRIVE), [(0.25, 0.5)]) == ["enter drive 0"]
    assert follow(visits(drive=DRIVE), [(0.25, 1.0)]) == ["enter drive 0"]


@given(st.lists(st.floats(-0.029, 0.029), min_size=1, max_size=80), st.sampled_from([1.0, 30.0]))
def test_jitter_on_the_edge_makes_no_flicker(jitter: list[float], fps: float) -> None:
    found = follow(visits(drive=DRIVE), [(0.25, 0.5 + off) for off in jitter], fps=fps)
    assert len(found) == any(0.5 + off > 0.5 - 1e-9 for off in jitter)


FEET = st.lists(st.tuples(st.floats(0, 1), st.floats(0.3, 1)), min_size=1, max_size=40)
DWELL = st.sampled_from([0.0, 2.0])


@given(FEET, DWELL)
def test_each_zone_is_entered_and_left_by_turns_and_left_at_last(
    feet: list[Point], dwell: float
) -> None:
    one = visits(drive=DRIVE | {"min_dwell_s": dwell}, yard=YARD)
    found = [text.rpartition(" ")[0] for text in follow(one, feet)]
    here = one.current
    found += [f"{change.kind} {change.zone}" for change in one.close(0)]
    for zone in ("drive", "yard"):
        turns = [text for text in found if text.endswith(zone)]
        assert turns == [f"enter {zone}", f"leave {zone}"] * (len(turns) // 2)
        assert (zone in one.entered) == (f"enter {zone}" in turns)
    assert set(here) <= set(one.entered)
    assert one.current == ()


def test_an_object_has_entered_once_it_was_inside_for_the_minimum_dwell() -> None:
    one = visits(drive=DRIVE | {"min_dwell_s": 3.0})
    feet = [INSIDE, INSIDE, OUTSIDE, INSIDE, INSIDE, INSIDE, INSIDE, OUTSIDE]
    assert follow(one, feet) == ["enter drive 6", "leave drive 7"]


@pytest.mark.parametrize("fps", [0.5, 2.0, 5.0, 30.0, 60.0])
def test_loitering_comes_after_the_same_seconds_at_every_frame_rate(fps: float) -> None:
    one = visits(drive=DRIVE | {"loiter_after_s": 10.0})
    feet = itertools.repeat(INSIDE, round(40 * fps))
    assert follow(one, list(feet), fps=fps) == ["enter drive 0", "loitering drive 10"]


def test_an_object_that_leaves_and_returns_loiters_again_after_the_full_time() -> None:
    one = visits(drive=DRIVE | {"loiter_after_s": 2.0})
    assert follow(one, [INSIDE] * 5 + [OUTSIDE] + [INSIDE] * 5) == [
        "enter drive 0",
        "loitering drive 2",
        "leave drive 5",
        "enter drive 6",
        "loitering drive 8",
    ]


def test_dwell_is_counted_from_the_entering() -> None:
    one = visits(drive=DRIVE | {"min_dwell_s": 2.0, "loiter_after_s": 3.0})
    changes = [
        (change.kind, change.dwell_s)
        for now_s, foot in enumerate([*[INSIDE] * 8, OUTSIDE])
        for change in one.step(seen_at(foot, now_s))
    ]
    assert changes == [("enter", 0.0), ("loitering", 3.0), ("leave", 6.0)]


def test_only_the_labels_of_a_zone_enter_it() -> None:
    assert follow(visits(drive=DRIVE | {"labels": ["Car"]}), [INSIDE], label="Person") == []
    assert follow(visits(drive=DRIVE | {"labels": ["Car"]}), [INSIDE], label="Car") != []


def test_an_object_that_turns_out_to_have_another_label_leaves_a_zone_that_is_not_for_it() -> None:
    one = visits(drive=DRIVE | {"labels": ["Dog"]})
    assert len(one.step(seen_at(INSIDE, 0, label="Dog"))) == 1
    assert [change.kind for change in one.step(seen_at(INSIDE, 1, label="Cat"))] == ["leave"]


def test_a_zone_filter_is_asked_on_entering_and_not_again() -> None:
    one = visits(drive=DRIVE | {"filters": {"Person": {"min_score": 0.6, "min_area": 0.02}}})
    assert one.step(seen_at(INSIDE, 0, score=0.5)) == ()
    assert one.step(seen_at(INSIDE, 1, score=0.7, size=(0.1, 0.1))) == ()
    assert one.step(seen_at(INSIDE, 2, score=0.7)) != ()
    assert one.step(seen_at(INSIDE, 3, score=0.5, size=(0.1, 0.1))) == ()
    assert one.current == ("drive",)


def test_zones_that_overlap_hold_an_object_both_in_the_order_of_the_configuration() -> None:
    everything = {"polygon": [[0, 0], [1, 0], [1, 1], [0, 1]]}
    one = visits(lawn=everything, drive=DRIVE, garden=everything)
    assert follow(one, [(0.7, 0.8), INSIDE]) == [
        "enter lawn 0",
        "enter garden 0",
        "enter drive 1",
    ]
    assert one.current == ("lawn", "drive", "garden")
    assert one.entered == ("lawn", "garden", "drive")


def test_a_zone_thinner_than_the_margin_is_entered_all_the_same() -> None:
    kerb = {"polygon": [[0, 0.5], [1, 0.5], [1, 0.51], [0, 0.51]]}
    assert follow(visits(kerb=kerb), [(0.5, 0.45), (0.5, 0.505), (0.5, 0.6)]) == [
        "enter kerb 1",
        "leave kerb 2",
    ]


FILTERS = {"Person": FilterConfig(min_area=0.0299, max_area=0.0301, min_ratio=0.4, max_ratio=0.5)}


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((0.1, 0.3), True),  # 0.03 of the frame, 64 x 144 pixels: 0.444
        ((0.1, 0.29), False),
        ((0.1, 0.31), False),
        ((0.3, 0.1), False),
        ((0.09, 1 / 3), False),  # 0.36
    ],
)
def test_area_is_a_share_of_the_frame_and_ratio_is_of_pixels(
    size: tuple[float, float], *, expected: bool
) -> None:
    assert passes(FILTERS, seen_at(INSIDE, size=size)) is expected


def test_a_label_without_a_filter_passes() -> None:
    assert passes(FILTERS, seen_at(INSIDE, label="Cat", size=(0.5, 0.5)))


def test_a_mask_without_labels_is_for_all_and_its_edge_belongs_to_it() -> None:
    masks = [
        MaskConfig.model_validate(DRIVE),
        MaskConfig.model_validate(YARD | {"labels": ["Cat"]}),
    ]
    assert is_masked(masks, seen_at((0.25, 0.5)))
    assert not is_masked(masks, seen_at((0.75, 0.75)))
    assert is_masked(masks, seen_at((0.75, 0.75), label="Cat"))
