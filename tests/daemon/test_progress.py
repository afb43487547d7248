from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edgevision.clock import NS_PER_S
from edgevision.daemon.watchdog import Progress
from edgevision.pipeline.cameras import CameraProgress

HANG_S = 30.0
YARD = CameraProgress(
    name="yard",
    status="online",
    turned_ns=0,
    allowed_s=40.0,
    waiting_ns=0,
)


def progress(*cameras: CameraProgress, **changed: Any) -> Progress:
    parts = Progress(
        inference_ns=0,
        inference_s=0.1,
        publisher_turns=True,
        broker="127.0.0.1:1883",
        connected=True,
        waiting=0,
        cameras=cameras,
    )
    return replace(parts, **changed)


def stuck_at(parts: Progress, second: float) -> tuple[str, ...]:
    return parts.stuck(round(second * NS_PER_S), HANG_S)


def test_a_service_whose_parts_all_turn_is_not_stuck() -> None:
    assert stuck_at(progress(YARD), 30) == ()


def test_inference_that_has_not_turned_for_longer_than_30_s_is_stuck() -> None:
    assert stuck_at(progress(), 30) == ()
    assert stuck_at(progress(), 30.1) == ("inference has made no progress for 30 s",)


def test_a_publisher_that_does_not_turn_is_stuck() -> None:
    assert stuck_at(progress(publisher_turns=False), 1) == ("the publisher makes no progress",)


def test_a_camera_whose_frame_has_no_result_is_stuck() -> None:
    parts = progress(YARD, inference_ns=60 * NS_PER_S)
    assert stuck_at(parts, 31) == ()
    assert stuck_at(parts, 31.1) == ("a frame of camera yard has had no result for 31 s",)


def test_a_camera_without_a_frame_owes_no_results_however_long_it_may_be_silent() -> None:
    down = replace(YARD, status="offline", waiting_ns=None)
    assert stuck_at(progress(down, inference_ns=60 * NS_PER_S), 60) == ()


def test_a_camera_that_is_down_and_not_tried_again_is_stuck() -> None:
    down = replace(YARD, status="stalled", waiting_ns=None)
    parts = progress(down, inference_ns=80 * NS_PER_S)
    assert stuck_at(parts, 70) == ()
    assert stuck_at(parts, 70.1) == ("the reader of camera yard hangs",)


def test_more_cameras_may_wait_longer_for_their_results() -> None:
    cameras = [replace(YARD, name=f"camera-{number}") for number in range(20)]
    assert stuck_at(progress(*cameras, inference_ns=60 * NS_PER_S), 50) == ()


def test_a_slow_network_takes_its_turns_camera_by_camera() -> None:
    cameras = [replace(YARD, name=f"camera-{each}", allowed_s=1e6) for each in range(64)]
    slow = progress(*cameras, inference_s=2.0, inference_ns=150 * NS_PER_S)
    assert stuck_at(slow, 158) == ()
    assert stuck_at(slow, 159)[0] == "a frame of camera camera-0 has had no result for 158 s"


def test_the_words_name_what_is_not_well_before_what_is() -> None:
    door = replace(YARD, name="door", status="stalled")
    parts = progress(YARD, door, connected=False, waiting=3)
    assert parts.text(["outbox: in memory, the disk is full"]) == (
        "outbox: in memory, the disk is full; 1 of 2 cameras online (door stalled), "
        "trying to reach 127.0.0.1:1883, 3 messages waiting"
    )


@pytest.mark.parametrize("waiting", [0, 7])
def test_the_words_of_a_service_that_is_well_are_short(waiting: int) -> None:
    more = ", 7 messages waiting" if waiting else ""
    words = progress(YARD, waiting=waiting).text([])
    assert words == f"1 of 1 cameras online, connected to 127.0.0.1:1883{more}"
