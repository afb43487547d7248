"""Motion in front of a camera, and whether its frames are inferred."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevision.clock import NS_PER_S
from edgevision.config.camera import MotionConfig
from edgevision.detection.motion import Motion, MotionDetector, MotionGate
from edgevision.frames import U8

RNG = np.random.default_rng(3)
STILL = Motion((), 0.0)
MOVING = Motion(((0.1, 0.1, 0.2, 0.2),), 0.04)


def room(seed: int = 1) -> U8:
    """A picture with some structure."""
    blocks = np.random.default_rng(seed).integers(40, 160, (10, 10, 3), np.uint8)
    return np.kron(blocks, np.ones((30, 30, 1), np.uint8))


def noisy(picture: U8, sigma: float = 4.0) -> U8:
    noise = RNG.normal(0, sigma, picture.shape)
    return (picture + noise).clip(0, 255).astype(np.uint8)


def with_visitor(picture: U8, x: int, y: int, w: int, h: int) -> U8:
    changed = picture.copy()
    changed[y : y + h, x : x + w] = 255 - changed[y : y + h, x : x + w] // 2
    return changed


def settled(fps: float = 10, seconds: float = 5, **config: float) -> tuple[MotionDetector, int]:
    """A detector that has seen the empty room, and the stamp of the next frame."""
    detector = MotionDetector(MotionConfig.model_validate(config))
    frames = round(seconds * fps)
    for number in range(frames):
        assert detector.update(noisy(room()), round(number / fps * NS_PER_S)).boxes_frac == ()
    return detector, round(frames / fps * NS_PER_S)


def test_the_noise_of_a_sensor_is_no_motion() -> None:
    settled(fps=5, seconds=20)


@pytest.mark.parametrize("fps", [1, 5, 30])
@pytest.mark.parametrize("size", [(12, 30), (60, 150)])
def test_a_visitor_moves_in_the_first_frame_that_shows_one(
    fps: float, size: tuple[int, int]
) -> None:
    detector, now_ns = settled(fps=fps)
    motion = detector.update(noisy(with_visitor(room(), 90, 60, *size)), now_ns)
    (x, y, w, h) = motion.boxes_frac[0]
    assert (x, y) == pytest.approx((0.3, 0.2), abs=0.021)
    assert (w, h) == pytest.approx((size[0] / 300, size[1] / 300), abs=0.041)


def test_a_person_who_stands_still_becomes_background_after_the_same_time_at_any_rate() -> None:
    taken_s = []
    for fps in (4, 16):
        detector, now_ns = settled(fps=fps)
        for number in range(60 * fps):
            frame = with_visitor(room(), 90, 60, 60, 150)
            if not detector.update(frame, now_ns + round(number / fps * NS_PER_S)).boxes_frac:
                taken_s.append(number / fps)
                break
    assert taken_s[0] == pytest.approx(taken_s[1], abs=0.3)
    assert 2 < taken_s[0] < 15


def test_light_that_is_switched_on_is_motion_once() -> None:
    detector, now_ns = settled()
    bright = (room() + 60).astype(np.uint8)
    moved = [
        bool(detector.update(bright, now_ns + number * NS_PER_S // 10).boxes_frac)
        for number in range(5)
    ]
    assert moved == [True, False, False, False, False]


def test_dusk_is_no_motion() -> None:
    detector, now_ns = settled()
    for number in range(600):
        darker = (room() * (1 - number / 1000)).astype(np.uint8)
        assert detector.update(darker, now_ns + number * NS_PER_S // 10).boxes_frac == ()


def test_what_moves_behind_a_mask_does_not_count() -> None:
    left = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
    detector = MotionDetector(MotionConfig(), [left])
    detector.update(room(), 0)
    assert detector.update(with_visitor(room(), 30, 60, 60, 60), NS_PER_S).boxes_frac == ()
    assert detector.update(with_visitor(room(), 200, 60, 60, 60), NS_PER_S).boxes_frac


def test_light_is_motion_once_beside_a_mask_over_half_the_picture() -> None:
    left = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
    detector = MotionDetector(MotionConfig(), [left])
    bright = (room() + 60).astype(np.uint8)
    pictures = [room(), *[bright] * 4]
    moved = [
        bool(detector.update(picture, number * NS_PER_S // 10).boxes_frac)
        for number, picture in enumerate(pictures)
    ]
    assert moved == [False, True, False, False, False]


def test_where_all_is_masked_nothing_moves() -> None:
    everything = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    detector = MotionDetector(MotionConfig(), [everything])
    detector.update(room(), 0)
    assert detector.update(255 - room(), NS_PER_S).boxes_frac == ()


def test_what_is_smaller_than_configured_does_not_count() -> None:
    detector, now_ns = settled(min_area=0.05)
    assert detector.update(with_visitor(room(), 90, 60, 30, 30), now_ns).boxes_frac == ()
    assert detector.update(with_visitor(room(), 90, 60, 90, 90), now_ns).boxes_frac


@given(
    stamps_s=st.lists(st.floats(0, 100), min_size=1, max_size=50).map(sorted),
    moves=st.lists(st.booleans(), min_size=50, max_size=50),
)
def test_a_frame_that_shows_motion_always_passes(stamps_s: list[float], moves: list[bool]) -> None:
    gate = MotionGate(MotionConfig())
    for stamp_s, moving in zip(stamps_s, moves, strict=False):
        passes = gate.passes(MOVING if moving else STILL, round(stamp_s * NS_PER_S))
        assert passes or not moving


def passed(moving_at: int | None = None, seconds: int = 110) -> list[int]:
    """Return which frames, of one a second, pass a gate."""
    gate = MotionGate(MotionConfig())
    return [
        at
        for at in range(seconds)
        if gate.passes(MOVING if at == moving_at else STILL, at * NS_PER_S)
    ]


def test_a_still_scene_passes_until_it_is_known_and_then_in_short_looks_every_30_s() -> None:
    assert passed() == [*range(6), *range(35, 39), *range(68, 72), *range(101, 105)]


def test_frames_pass_for_5_s_after_the_last_motion() -> None:
    assert passed(moving_at=20, seconds=35) == [*range(6), *range(20, 26)]


def test_a_scene_that_was_not_seen_for_a_while_is_treated_as_new() -> None:
    gate = MotionGate(MotionConfig())
    assert [at for at in range(20) if gate.passes(STILL, at * NS_PER_S)] == [*range(6)]
    assert [at for at in range(30, 45) if gate.passes(STILL, at * NS_PER_S)] == [*range(30, 36)]
