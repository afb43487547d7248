from __future__ import annotations

import os
import struct
import zlib
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevision.capture.recording import IMAGE_FPS, MAX_FILE_BYTES, ImageFolder, read_image
from edgevision.errors import BadFrameError, SourceError

if TYPE_CHECKING:
    from pathlib import Path

    from edgevision.frames import U8

SIZE = (48, 64)


def photograph(*, channels: int | None = 3) -> U8:
    """Return a picture that compresses like a photograph."""
    shape = (6, 8) if channels is None else (6, 8, channels)
    coarse = np.random.default_rng(7).integers(0, 256, shape, np.uint8)
    return np.asarray(cv2.resize(coarse, SIZE[::-1]), np.uint8)


def encoded(suffix: str, image: U8) -> bytes:
    done, content = cv2.imencode(suffix, image)
    assert done
    return content.tobytes()


def png_that_says(width: int, height: int) -> bytes:
    """Return a PNG of a few bytes whose header claims this size."""

    def chunk(name: bytes, content: bytes) -> bytes:
        checked = name + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 100)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
def test_a_lossless_image_comes_back_as_it_was(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(encoded(suffix, photograph()))
    assert np.array_equal(read_image(path), photograph())


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_a_lossy_image_comes_back_nearly_as_it_was(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(encoded(suffix, photograph()))
    assert np.abs(read_image(path).astype(int) - photograph()).mean() < 8


def test_a_grey_image_becomes_three_equal_channels(tmp_path: Path) -> None:
    grey = photograph(channels=None)
    path = tmp_path / "a.png"
    path.write_bytes(encoded(".png", grey))
    assert np.array_equal(read_image(path), np.dstack([grey] * 3))


def test_an_image_with_transparency_keeps_its_colours(tmp_path: Path) -> None:
    image = np.dstack([photograph(), photograph()[..., 0]])
    path = tmp_path / "a.png"
    path.write_bytes(encoded(".png", image))
    assert np.array_equal(read_image(path), photograph())


def test_16_bits_a_channel_become_8(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded(".png", photograph().astype(np.uint16) * 257))
    assert np.array_equal(read_image(path), photograph())


def test_an_image_of_1_pixel_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded(".png", photograph()[:1, :1]))
    assert read_image(path).shape == (1, 1, 3)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tif"])
@pytest.mark.parametrize("part", [0.02, 0.5, 0.97])
def test_an_image_cut_short_is_refused(tmp_path: Path, suffix: str, part: float) -> None:
    path = tmp_path / f"a{suffix}"
    content = encoded(suffix, photograph())
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(BadFrameError) as caught:
        read_image(path)
    assert str(caught.value) == (
        f"{path}: expected a JPEG, PNG or other image that OpenCV can read, got something else"
    )


def test_an_image_of_0_bytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.touch()
    with pytest.raises(BadFrameError) as caught:
        read_image(path)
    assert str(caught.value) == f"{path}: expected an image of 1 to {MAX_FILE_BYTES} bytes, got 0"


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadFrameError, match=r"a\.jpg: cannot be read \(No such file or directory"):
        read_image(tmp_path / "a.jpg")


def test_a_folder_named_like_an_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").mkdir()
    with pytest.raises(BadFrameError, match=r"a\.jpg: cannot be read \(Is a directory\)"):
        read_image(tmp_path / "a.jpg")


def test_a_file_above_256_mib_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.touch()
    os.truncate(path, 1 << 34)
    with pytest.raises(BadFrameError, match=rf"expected an image of 1 to {MAX_FILE_BYTES} bytes"):
        read_image(path)


@pytest.mark.parametrize(("width", "height"), [(20_000, 20_000), (2**31 - 1, 2**31 - 1)])
def test_an_image_that_would_fill_the_memory_is_refused(
    tmp_path: Path, width: int, height: int
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png_that_says(width, height))
    with pytest.raises(BadFrameError, match="got something else"):
        read_image(path)


@given(content=st.binary(min_size=1, max_size=300))
def test_any_bytes_are_a_picture_or_a_bad_frame(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "anything.jpg"
    path.write_bytes(content)
    try:
        assert read_image(path).shape[2] == 3
    except BadFrameError as error:
        assert "\n" not in str(error)  # noqa: PT017 - both are right somewhere


def folder_of(folder: Path, *names: str) -> Path:
    for index, name in enumerate(names):
        content = encoded(".png", np.full((2, 2, 3), 10 * index, np.uint8))
        (folder / name).write_bytes(content)
    return folder


def test_a_folder_gives_its_images_in_the_order_of_their_names_and_then_ends(
    tmp_path: Path,
) -> None:
    images = ImageFolder(folder_of(tmp_path, "c.png", "a.PNG", "b.jpg", "notes.txt"))
    seen = []
    while images.grab():
        seen.append(int(images.retrieve()[0, 0, 0]))
    assert seen == [10, 20, 0]
    assert not images.grab()
    images.close()


def test_a_folder_of_3_images_says_3_frames_at_10_fps(tmp_path: Path) -> None:
    images = ImageFolder(folder_of(tmp_path, "a.png", "b.png", "c.png"))
    assert (images.frame_count, images.fps) == (3, IMAGE_FPS)


def test_a_folder_plays_at_the_configured_rate(tmp_path: Path) -> None:
    assert ImageFolder(folder_of(tmp_path, "a.png"), fps=0.5).fps == 0.5


def test_a_folder_without_images_is_refused_with_the_kinds_it_may_have(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(SourceError) as caught:
        ImageFolder(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: expected image files (.bmp, .jpeg, .jpg, .png, .tif, .tiff, .webp), got none"
    )


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"absent: cannot be read \(No such file or directory\)"):
        ImageFolder(tmp_path / "absent")


def test_a_bad_image_among_good_ones_is_one_bad_frame(tmp_path: Path) -> None:
    folder_of(tmp_path, "a.png", "c.png")
    (tmp_path / "b.png").write_bytes(b"nothing")
    images = ImageFolder(tmp_path)
    assert images.grab()
    images.retrieve()
    assert images.grab()
    with pytest.raises(BadFrameError, match=r"b\.png"):
        images.retrieve()
    assert images.grab()
    assert images.retrieve()[0, 0, 0] == 10


def test_a_png_chunk_that_claims_2_gb_is_refused_before_it_is_allocated(tmp_path: Path) -> None:
    done, content = cv2.imencode(".png", np.zeros((30, 40, 3), np.uint8))
    assert done
    whole = content.tobytes()
    at = whole.index(b"IDAT") - 4
    (tmp_path / "a.png").write_bytes(whole[:at] + b"\x7f\xff\xff\xff" + whole[at + 4 :])
    with pytest.raises(BadFrameError, match=r"a\.png: expected a JPEG, PNG or other image"):
        read_image(tmp_path / "a.png")


def test_bytes_behind_the_end_of_a_png_do_no_harm(tmp_path: Path) -> None:
    done, content = cv2.imencode(".png", np.zeros((30, 40, 3), np.uint8))
    assert done
    (tmp_path / "a.png").write_bytes(content.tobytes() + b"\xff" * 20)
    assert read_image(tmp_path / "a.png").shape == (30, 40, 3)


def test_a_fifo_among_the_images_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    folder = ImageFolder(tmp_path)
    assert folder.grab()
    with pytest.raises(BadFrameError, match=r"a\.png: cannot be read \(a FIFO, not a file\)"):
        folder.retrieve()
