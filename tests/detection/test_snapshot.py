"""Snapshots of objects."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevision.config.camera import SnapshotsConfig
from edgevision.detection.snapshot import snapshot, whole_picture
from edgevision.frames import U8, DetectedObject

CAT = DetectedObject("Cat", 0.9, (0.5, 0.5, 0.25, 0.25))
SIDE = st.floats(0, 1)


def decoded(content: bytes) -> U8:
    return np.asarray(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR), np.uint8)


def picture(height: int, width: int, *channels: int) -> U8:
    return np.full((height, width, *channels), 90, np.uint8)


def test_a_picture_larger_than_configured_is_made_smaller_and_keeps_its_shape() -> None:
    assert decoded(snapshot(picture(960, 1280, 3), CAT, SnapshotsConfig())).shape == (480, 640, 3)
    assert decoded(snapshot(picture(240, 320, 3), CAT, SnapshotsConfig())).shape == (240, 320, 3)


def test_the_box_is_drawn_only_when_it_is_wanted_and_never_into_the_frame_itself() -> None:
    image = picture(480, 640, 3)
    with_box = decoded(snapshot(image, CAT, SnapshotsConfig()))
    without = decoded(snapshot(image, CAT, SnapshotsConfig(box=False)))
    assert with_box.max() > 150
    assert without.max() < 100
    assert (image == 90).all()


def test_a_cropped_picture_shows_the_object_and_a_margin() -> None:
    image = picture(400, 400, 3)
    image[200:300, 200:300] = 255
    shown = decoded(snapshot(image, CAT, SnapshotsConfig(crop=True, box=False)))
    assert shown.shape == (150, 150, 3)
    assert shown[75, 75].min() > 240
    assert shown[5, 5].max() < 110


def test_a_lower_quality_makes_a_smaller_file() -> None:
    image = np.random.default_rng(1).integers(0, 256, (200, 200, 3), np.uint8)
    low, high = (snapshot(image, CAT, SnapshotsConfig(quality=q)) for q in (20, 90))
    assert len(low) < len(high) / 2


@pytest.mark.parametrize("channels", [(), (1,), (3,), (4,)])
def test_every_kind_of_frame_becomes_a_picture(channels: tuple[int, ...]) -> None:
    image = picture(90, 160, *channels)
    assert decoded(snapshot(image, CAT, SnapshotsConfig())).shape == (90, 160, 3)
    assert decoded(whole_picture(image, SnapshotsConfig(height=45))).shape == (45, 80, 3)


@given(x=SIDE, y=SIDE, w=SIDE, h=SIDE, height=st.integers(1, 40), width=st.integers(1, 40))
def test_any_box_in_any_frame_can_be_cropped(
    x: float, y: float, w: float, h: float, height: int, width: int
) -> None:
    found = DetectedObject("Cat", 0.5, (x, y, w * (1 - x), h * (1 - y)))
    shown = decoded(snapshot(picture(height, width, 3), found, SnapshotsConfig(crop=True)))
    assert 1 <= shown.shape[0] <= height
    assert 1 <= shown.shape[1] <= width
