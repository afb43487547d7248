from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from capture.sources import BAD, ScriptedSource, picture

from edgevision.capture.recording import ImageFolder, Recording
from edgevision.capture.rotation import Rotated
from edgevision.capture.source import open_source
from edgevision.capture.worker_client import CameraWorker
from edgevision.config.camera import CameraConfig
from edgevision.errors import BadFrameError

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Literal

    from edgevision.frames import U8

# 2 rows, 3 columns:  0 1 2
#                     3 4 5
NUMBERED = np.repeat(np.arange(6, dtype=np.uint8).reshape(2, 3, 1), 3, axis=2)


def grabbed(source: Rotated) -> list[list[int]]:
    assert source.grab()
    rows: list[list[int]] = source.retrieve()[..., 0].tolist()
    return rows


@pytest.mark.parametrize(
    ("degrees", "rows"),
    [
        (90, [[3, 0], [4, 1], [5, 2]]),
        (180, [[5, 4, 3], [2, 1, 0]]),
        (270, [[2, 5], [1, 4], [0, 3]]),
    ],
)
def test_a_picture_is_turned_clockwise(
    degrees: Literal[90, 180, 270], rows: list[list[int]]
) -> None:
    assert grabbed(Rotated(ScriptedSource(NUMBERED), degrees)) == rows


@pytest.mark.parametrize("image", [NUMBERED[..., 0], np.dstack([NUMBERED, NUMBERED[..., 0]])])
def test_grey_and_bgra_are_turned_too(image: U8) -> None:
    source = Rotated(ScriptedSource(image), 180)
    assert source.grab()
    assert np.array_equal(source.retrieve(), image[::-1, ::-1])


def test_a_turned_source_keeps_rate_count_end_and_bad_frames_of_its_own() -> None:
    inner = ScriptedSource(picture(1), BAD, fps=7.0)
    source = Rotated(inner, 90)
    assert (source.fps, source.frame_count) == (7.0, 2)
    assert source.grab()
    assert source.grab()
    with pytest.raises(BadFrameError):
        source.retrieve()
    assert not source.grab()
    source.close()
    assert inner.closed


def test_a_file_opens_as_a_recording_at_its_configured_rate(recording: Path) -> None:
    source = open_source(CameraConfig(source=str(recording), fps=3.0))
    assert isinstance(source, Recording)
    assert source.fps == 3.0
    source.close()


def test_a_folder_opens_as_images_at_its_configured_rate(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), NUMBERED)
    source = open_source(CameraConfig(source=str(tmp_path), fps=3.0))
    assert isinstance(source, ImageFolder)
    assert source.fps == 3.0


@pytest.mark.parametrize("source", ["http://127.0.0.1:1/", "0", "csi"])
def test_a_live_source_opens_as_a_worker_of_no_rate_of_ours(source: str) -> None:
    opened = open_source(CameraConfig(source=source))
    assert isinstance(opened, CameraWorker)
    assert opened.fps is None
    opened.close()


def test_a_rotation_in_the_configuration_turns_the_frames(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), NUMBERED)
    source = open_source(CameraConfig(source=str(tmp_path), rotation=90))
    assert source.grab()
    assert source.retrieve().shape == (3, 2, 3)
