from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from edgevision.capture.picture_health import PictureWatch
from edgevision.capture.protocol import Arrival
from edgevision.clock import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgevision.frames import U8

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
PETS = Path(__file__).parents[3] / "shared" / "data" / "PETS09-S2L1" / "video.avi"
RANDOM = np.random.default_rng(7)


def looks(pictures: Iterable[U8], *, fps: float = 10.0) -> list[str]:
    """Return how each picture of a camera looks to a watch with 3 s for frozen, 2 s for black."""
    watch = PictureWatch(frozen_after_s=3.0, black_after_s=2.0)
    return [
        watch.see(
            picture, Arrival(round(i * NS_PER_S / fps), NOON + timedelta(seconds=i / fps))
        ).status
        for i, picture in enumerate(pictures)
    ]


@pytest.fixture(scope="module")
def scene() -> U8:
    """A picture with texture, uint8 [480, 640, 3]."""
    recording = Path(__file__).parents[2] / "edgevision" / "data" / "still-life.avi"
    capture = cv2.VideoCapture(str(recording))
    _, image = capture.read()
    capture.release()
    return np.asarray(image, np.uint8)


def jpeg(image: U8, quality: int = 85) -> U8:
    _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)


def noisy(image: U8, deviation: float) -> U8:
    noise = RANDOM.normal(0, deviation, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def test_a_picture_that_is_repeated_is_frozen_after_the_configured_time(scene: U8) -> None:
    seen = looks([scene] * 40)
    assert seen == ["online"] * 30 + ["frozen"] * 10


def test_a_picture_that_is_reencoded_each_time_is_frozen(scene: U8) -> None:
    assert looks(jpeg(scene) for _ in range(40))[-1] == "frozen"


def test_a_picture_that_is_reencoded_by_a_video_codec_is_frozen(scene: U8, tmp_path: Path) -> None:
    path = str(tmp_path / "still.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"mp4v"), 10, (640, 480))
    for _ in range(80):
        writer.write(scene)
    writer.release()
    capture = cv2.VideoCapture(path)
    pictures = [np.asarray(capture.read()[1], np.uint8) for _ in range(80)]
    capture.release()
    assert looks(pictures)[-1] == "frozen"


def test_a_frozen_picture_with_a_running_clock_in_it_is_frozen(scene: U8) -> None:
    def with_clock(second: int) -> U8:
        text = f"12:00:{second:02d}"
        white = (255, 255, 255)
        return jpeg(np.asarray(cv2.putText(scene.copy(), text, (20, 40), 0, 1, white, 2), np.uint8))

    assert looks(with_clock(i // 10) for i in range(50))[-1] == "frozen"


def test_a_frozen_camera_that_moves_again_is_online_and_its_time_restarts(scene: U8) -> None:
    other = np.ascontiguousarray(scene[::-1])
    seen = looks([scene] * 35 + [other] * 35)
    assert seen[30:36] == ["frozen"] * 5 + ["online"]
    assert seen[64:66] == ["online", "frozen"]


def test_the_time_of_a_frozen_picture_is_that_of_its_first_frame(scene: U8) -> None:
    watch = PictureWatch(frozen_after_s=3.0, black_after_s=None)
    first = Arrival(0, NOON)
    watch.see(scene, first)
    look = watch.see(scene, Arrival(3 * NS_PER_S, NOON + timedelta(seconds=3)))
    assert (look.status, look.since) == ("frozen", first)


@pytest.mark.parametrize("deviation", [1, 2, 4])
def test_a_still_room_by_day_with_the_noise_of_a_sensor_is_not_frozen(
    scene: U8, deviation: float
) -> None:
    assert set(looks(jpeg(noisy(scene, deviation)) for _ in range(40))) == {"online"}


@pytest.mark.parametrize("deviation", [2, 4])
def test_a_night_picture_with_noise_is_neither_frozen_nor_black(
    scene: U8, deviation: float
) -> None:
    night = (scene * 0.15).astype(np.uint8)
    assert set(looks(jpeg(noisy(night, deviation)) for _ in range(40))) == {"online"}


def test_a_slow_fade_is_not_frozen(scene: U8) -> None:
    fade = [(scene * (1 - i / 200)).astype(np.uint8) for i in range(100)]
    assert set(looks(fade)) == {"online"}


@pytest.mark.skipif(not PETS.exists(), reason="needs ../shared/data/PETS09-S2L1")
def test_a_camera_that_stands_still_before_walking_people_is_not_frozen() -> None:
    capture = cv2.VideoCapture(str(PETS))
    pictures = [np.asarray(capture.read()[1], np.uint8) for _ in range(300)]
    capture.release()
    assert set(looks(pictures)) == {"online"}


@pytest.mark.parametrize("deviation", [0, 2, 6])
def test_a_covered_lens_is_black_after_the_configured_time(deviation: float) -> None:
    dark = np.full((480, 640, 3), 6, np.uint8)
    seen = looks(noisy(dark, deviation) for _ in range(25))
    assert seen == ["online"] * 20 + ["black"] * 5


def test_a_black_picture_with_a_clock_in_it_is_black() -> None:
    dark = np.zeros((480, 640, 3), np.uint8)
    cv2.putText(dark, "12:00:00", (20, 40), 0, 1, (255, 255, 255), 2)
    assert looks([dark] * 25)[-1] == "black"


def test_a_white_or_grey_picture_is_not_black() -> None:
    assert looks([np.full((480, 640, 3), 60, np.uint8)] * 25)[-1] == "online"


@pytest.mark.parametrize("shape", [(2, 2, 3), (1, 1, 3), (48, 64), (48, 64, 1), (48, 64, 4)])
def test_pictures_of_any_size_and_any_channels_are_seen(shape: tuple[int, ...]) -> None:
    assert looks([np.full(shape, 200, np.uint8)] * 31)[-1] == "frozen"


def test_null_switches_both_off() -> None:
    watch = PictureWatch(frozen_after_s=None, black_after_s=None)
    dark = np.zeros((48, 64, 3), np.uint8)
    assert watch.see(dark, Arrival(0, NOON)).status == "online"
    assert watch.see(dark, Arrival(10**15, NOON)).status == "online"
