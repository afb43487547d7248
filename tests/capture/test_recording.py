from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevision.capture.recording import DEFAULT_FPS, Recording
from edgevision.errors import BadFrameError, SourceError

if TYPE_CHECKING:
    from pathlib import Path

FRAMES = 160
# Of the pixels of all frames, one after the other, as x86 and ARM decode them.
PIXELS_SHA256 = "d5dbafe676afea8b243dbe1bb0b1a1471468cdebd06ac50e491748f4d019efbb"


def played(recording: Recording) -> tuple[int, int]:
    """Play to the end; return how many frames came and how many could not be decoded."""
    good = bad = 0
    while recording.grab():
        try:
            recording.retrieve()
            good += 1
        except BadFrameError:
            bad += 1
    return good, bad


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recordings")


def test_the_bundled_recording_says_160_frames_at_10_fps(recording: Path) -> None:
    opened = Recording(recording)
    assert (opened.frame_count, opened.fps) == (FRAMES, 10.0)
    opened.close()


def test_the_bundled_recording_has_160_good_frames_and_then_ends(recording: Path) -> None:
    assert played(Recording(recording)) == (FRAMES, 0)


def test_a_frame_is_bgr_of_640x480(recording: Path) -> None:
    opened = Recording(recording)
    assert opened.grab()
    image = opened.retrieve()
    assert image.shape == (480, 640, 3)
    assert image.dtype == np.uint8


def test_the_bundled_recording_decodes_to_the_same_pixels_on_every_machine(
    recording: Path,
) -> None:
    opened, digest = Recording(recording), hashlib.sha256()
    while opened.grab():
        digest.update(opened.retrieve().tobytes())
    assert digest.hexdigest() == PIXELS_SHA256


def test_the_end_stays_the_end(recording: Path) -> None:
    opened = Recording(recording)
    played(opened)
    assert [opened.grab(), opened.grab()] == [False, False]


def test_a_configured_rate_replaces_the_recordings_own(recording: Path) -> None:
    assert Recording(recording, fps=2.5).fps == 2.5


def test_a_recording_without_a_rate_plays_at_25_fps(recording: Path, tmp_path: Path) -> None:
    path = tmp_path / "no_rate.avi"
    content = bytearray(recording.read_bytes())
    rate = content.index(b"vidsMJPG") + 24
    content[rate : rate + 4] = b"\0\0\0\0"
    content[32:36] = b"\0\0\0\0"
    path.write_bytes(content)
    assert Recording(path).fps == DEFAULT_FPS


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        Recording(tmp_path / "clip.avi")
    assert str(caught.value) == f"{tmp_path}/clip.avi: cannot be read (No such file or directory)"


def test_a_name_that_is_too_long_for_any_file_is_a_fault_of_the_source(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"cannot be read \(File name too long\)"):
        Recording(tmp_path / ("x" * 300))


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_file_without_read_permission_is_a_fault_of_the_source(tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    path.write_bytes(b"RIFF")
    path.chmod(0)
    with pytest.raises(SourceError, match=r"cannot be read \(Permission denied\)"):
        Recording(path)


def test_a_file_of_0_bytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    path.touch()
    with pytest.raises(SourceError) as caught:
        Recording(path)
    assert str(caught.value) == f"{path}: expected a video file, got an empty file"


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        Recording(tmp_path)
    assert str(caught.value) == f"{tmp_path}: expected a video file, got a folder"


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "pipe.avi"
    os.mkfifo(path)
    with pytest.raises(SourceError, match="expected a video file, got an empty file"):
        Recording(path)


@pytest.mark.parametrize(
    "content",
    [b"x", b"hello\n" * 1000, b"\0" * 100_000, bytes(range(256)) * 400, b"RIFF\0\0\0\0AVI "],
    ids=["1 byte", "text", "zeros", "all bytes", "a header's beginning"],
)
def test_garbage_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "clip.avi"
    path.write_bytes(content)
    with pytest.raises(SourceError) as caught:
        Recording(path)
    assert str(caught.value) == f"{path}: expected a video that FFmpeg can read, got something else"


def test_a_header_without_frames_is_refused_when_the_first_one_is_wanted(
    recording: Path, tmp_path: Path
) -> None:
    path = tmp_path / "clip.avi"
    path.write_bytes(recording.read_bytes()[:300])
    with pytest.raises(
        SourceError, match="expected a video, but none of its frames can be decoded"
    ):
        Recording(path).grab()


@pytest.mark.parametrize(
    "part", [0.001, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995]
)
def test_a_recording_cut_short_says_how_many_of_its_160_frames_there_are(
    recording: Path, tmp_path: Path, part: float
) -> None:
    path = tmp_path / "clip.avi"
    content = recording.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    opened = Recording(path)
    with pytest.raises(SourceError, match=r"expected 160 frames, got \d+: the file is cut short"):
        played(opened)


def test_a_recording_that_only_lacks_part_of_its_index_is_read_to_its_end(
    recording: Path, tmp_path: Path
) -> None:
    path = tmp_path / "clip.avi"
    path.write_bytes(recording.read_bytes()[:-1000])
    assert played(Recording(path)) == (FRAMES, 0)


@settings(max_examples=25)  # of 160 frames each
@given(st.data())
def test_a_recording_cut_anywhere_is_refused_or_read_fully(
    recording: Path, folder: Path, data: st.DataObject
) -> None:
    content = recording.read_bytes()
    # The beginning, where the headers are, and the end, where the index is, matter most.
    near_start, near_end = st.integers(1, 4000), st.integers(len(content) - 4000, len(content))
    path = folder / "cut.avi"
    path.write_bytes(content[: data.draw(near_start | near_end)])
    try:
        assert played(Recording(path)) == (FRAMES, 0)
    except SourceError as error:
        assert "\n" not in str(error)  # noqa: PT017 - both are right somewhere


@given(st.data())
def test_a_recording_with_damaged_headers_never_gives_anything_but_frames_and_errors(
    recording: Path, folder: Path, data: st.DataObject
) -> None:
    content = bytearray(recording.read_bytes()[:120_000])
    for place in data.draw(st.lists(st.integers(0, 300), min_size=1, max_size=6)):
        content[place] = data.draw(st.integers(0, 255))
    path = folder / "damaged.avi"
    path.write_bytes(content)
    try:
        played(Recording(path))
    except SourceError as error:
        assert "\n" not in str(error)  # noqa: PT017 - both are right somewhere


def test_a_damaged_frame_is_a_bad_frame_and_the_next_ones_come(
    recording: Path, tmp_path: Path
) -> None:
    path = tmp_path / "clip.avi"
    content = bytearray(recording.read_bytes())
    content[1_000_000:1_030_000] = b"\0" * 30_000
    path.write_bytes(content)
    good, bad = played(Recording(path))
    assert good + bad == FRAMES
    assert 1 <= bad <= 4


def test_a_file_of_another_codec_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"FFV1"), 5, (32, 24))
    for value in range(7):
        writer.write(np.full((24, 32, 3), value * 30, np.uint8))
    writer.release()
    opened = Recording(path)
    assert opened.fps == 5.0
    assert played(opened) == (7, 0)
