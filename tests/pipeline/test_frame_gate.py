"""Still scenes and crops in the whole path, with the real model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from brokers import Listener, Mosquitto, wait_until
from daemons import RECORDING, running, settings

from edgevision.config.settings import Config
from edgevision.evaluation.replay import Replay, ReplayedFrame
from edgevision.events import ObjectEvent
from edgevision.frames import U8, FrameResult

FPS = 10


def player(**camera: Any) -> Replay:
    config = {"cameras": {"yard": {"source": "0", **camera}}, "runtime": {"threads": 1}}
    return Replay(Config.model_validate(config), camera="yard")


def play(runner: Replay, pictures: list[U8]) -> list[ReplayedFrame]:
    """Take pictures at 10 a second."""
    replayed = []
    for number, picture in enumerate(pictures):
        replayed.append(runner.step(picture, number))
        runner._clock.advance(1 / FPS)
    return replayed


@pytest.fixture(scope="module")
def pictures() -> list[U8]:
    video = cv2.VideoCapture(RECORDING)
    frames = []
    delivered, frame = video.read()
    while delivered:
        frames.append(np.asarray(frame, np.uint8))
        delivered, frame = video.read()
    video.release()
    return frames


def events(replayed: list[ReplayedFrame]) -> list[str]:
    told = [event for each in replayed for event in each.events]
    return [event.kind for event in told if isinstance(event, ObjectEvent)]


def test_a_still_scene_is_inferred_until_it_is_known_and_for_a_second_every_30_s(
    pictures: list[U8],
) -> None:
    replayed = play(player(motion={}), [pictures[60]] * 380)
    inferred = [index for index, each in enumerate(replayed) if each.result.inferred]
    assert inferred == [*range(51), *range(350, 361)]
    assert events(replayed).count("new") >= 1
    assert events(replayed).count("end") == 0


def test_what_stands_in_a_still_scene_stays_there_as_one_object_that_comes_to_rest(
    pictures: list[U8],
) -> None:
    moving, still = pictures[40:60], [pictures[60]] * 300
    replayed = play(player(motion={"refresh_s": 3600}), [*moving, *still])
    told = events(replayed)
    assert told.count("new") >= 1
    assert told.count("end") == 0
    assert not replayed[-1].result.inferred
    assert all(track.seen for track in replayed[-1].result.tracks)
    last = [e for each in replayed for e in each.events if isinstance(e, ObjectEvent)][-1]
    assert last.after.stationary


def test_the_first_frame_that_shows_motion_is_inferred(pictures: list[U8]) -> None:
    empty = [pictures[0]] * 100
    replayed = play(player(motion={"refresh_s": 3600, "hold_s": 1}), [*empty, pictures[60]])
    assert [each.result.inferred for each in replayed[-2:]] == [False, True]


def results(runner: Replay, pictures: list[U8]) -> list[FrameResult]:
    return [each.result for each in play(runner, pictures)]


def share(box: tuple[float, float, float, float]) -> float:
    return box[2] * box[3]


def overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    """Return how much of the smaller box lies in the other."""
    across = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    down = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return max(0.0, across) * max(0.0, down) / min(share(a), share(b))


def test_with_regions_no_large_object_is_doubled_and_none_is_lost(pictures: list[U8]) -> None:
    some = pictures[::8]
    plain, regions = results(player(), some), results(player(regions={"max": 4}), some)
    for before, after in zip(plain, regions, strict=True):
        for one in before.objects:
            same = [o for o in after.objects if o.label == one.label]
            assert any(overlap(one.box_frac, other.box_frac) > 0.7 for other in same)
        for index, one in enumerate(after.objects):
            for other in after.objects[:index]:
                if one.label == other.label:
                    assert overlap(one.box_frac, other.box_frac) < 0.5


def test_a_person_too_small_for_the_network_is_found_in_a_crop(pictures: list[U8]) -> None:
    person = cv2.resize(pictures[66], None, fx=0.22, fy=0.22, interpolation=cv2.INTER_AREA)
    height, width = person.shape[:2]
    scene = np.full((720, 960, 3), 120, np.uint8)
    scene[480 : 480 + height, 60 : 60 + width] = person
    (plain,) = results(player(), [scene])
    (regions,) = results(player(regions={"max": 4}), [scene])
    assert [found.label for found in plain.objects] == []
    assert [found.label for found in regions.objects] == ["Person"]


def test_the_same_recording_gives_the_same_objects_with_gate_and_regions(
    pictures: list[U8],
) -> None:
    some = pictures[::6]
    one, other = (results(player(motion={}, regions={"max": 1}), some) for _ in range(2))
    assert one == other


def test_a_camera_that_sees_nothing_move_is_online_counted_and_no_reason_for_a_restart(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path, pictures: list[U8]
) -> None:
    folder = tmp_path / "still"
    folder.mkdir()
    for number in range(3):
        cv2.imwrite(str(folder / f"{number}.png"), pictures[60])
    motion = {"refresh_s": 3600, "hold_s": 0.5}
    yard = {"source": str(folder), "fps": 20, "loop": True, "motion": motion}
    with running(tmp_path, settings(mosquitto.port, {"yard": yard})):
        wait_until(lambda: (listener.json("yard/metrics") or [{"frames": {"still": 0}}])[-1]
                   ["frames"]["still"] > 60, 60)  # fmt: skip
        frames = listener.json("yard/metrics")[-1]["frames"]
        accounted = ("inferred", "still", "overwritten", "unusable")
        assert sum(frames[key] for key in accounted) <= frames["captured"]
        assert sum(frames[key] for key in accounted) >= frames["captured"] - 3
        assert listener.json("yard/status")[-1]["status"] == "online"
        assert listener.json("porch/status")[-1].get("problems", []) == []
