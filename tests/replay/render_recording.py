# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "numpy==2.4.6",
#   "opencv-python-headless==5.0.0.93",
#   "scikit-image==0.26.0",  # for its photographs alone
# ]
# ///
"""Render the bundled recording: photographs that move over a photograph, as Motion JPEG.

Run by hand, with `pipx run tests/replay/render_recording.py` for one. Sizes and places are
whole pixels and the resize is the exact one, so the file comes out the same on every machine.
"""

from __future__ import annotations

import argparse
import hashlib
import struct
import sys
from dataclasses import dataclass
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

RECORDING = Path(__file__).parents[2] / "edgevision" / "data" / "still-life.avi"
WIDTH, HEIGHT = 640, 480
FPS = 10
FRAMES = 160
JPEG_QUALITY = 62


@dataclass(frozen=True, slots=True)
class Pose:
    """Where a photograph is at a time: centre and width in pixels of the frame."""

    second: float
    x: int
    y: int
    width: int


@dataclass(frozen=True, slots=True)
class Actor:
    """A photograph and its way; absent before its first pose and after its last."""

    photograph: str
    poses: tuple[Pose, ...]


# Larger than the frame, and never moved so far that its edge shows.
BACKGROUND = Actor(
    "rocket.jpg",
    (
        Pose(0.0, 445, 290, 900),
        Pose(4.0, 270, 250, 900),
        Pose(8.0, 400, 295, 900),
        Pose(12.0, 300, 190, 900),
        Pose(16.0, 445, 290, 900),
    ),
)
# Later ones pass in front of earlier ones.
ACTORS = (
    Actor(
        "astronaut.png",
        (
            Pose(4.2, 790, 270, 270),
            Pose(5.6, 490, 260, 270),
            Pose(7.6, 430, 250, 300),
            Pose(9.4, 190, 250, 320),
            Pose(11.0, 180, 260, 300),
            Pose(12.2, -160, 270, 300),
        ),
    ),
    Actor(
        "coffee.png",
        (
            Pose(9.2, 470, 620, 320),
            Pose(10.4, 470, 330, 320),
            Pose(11.6, 450, 300, 340),
            Pose(12.8, 330, 250, 700),
            Pose(13.6, 310, 230, 700),
            Pose(14.8, 480, -140, 300),
        ),
    ),
    Actor(
        "chelsea.png",
        (
            Pose(1.4, -150, 300, 280),
            Pose(2.8, 260, 270, 340),
            Pose(4.0, 300, 240, 600),
            Pose(5.0, 170, 300, 300),
            Pose(6.4, 170, 310, 280),
            Pose(8.6, 800, 330, 280),
        ),
    ),
)


def main() -> None:
    """Render the recording."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--output", type=Path, default=RECORDING)
    output: Path = parser.parse_args().output
    pictures = {actor.photograph: photograph(actor.photograph) for actor in (BACKGROUND, *ACTORS)}
    jpegs = [encoded(frame(index / FPS, pictures)) for index in range(FRAMES)]
    content = motion_jpeg(jpegs)
    output.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    sys.stdout.write(f"{output}: {len(content)} bytes, sha256 {digest}\n")


def photograph(name: str) -> NDArray[np.uint8]:
    """Return one of scikit-image's photographs, uint8 [h, w, 3] BGR."""
    content = files("skimage").joinpath("data", name).read_bytes()
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    if decoded is None:
        msg = f"scikit-image's {name} cannot be decoded"
        raise ValueError(msg)
    return np.asarray(decoded, np.uint8)


def frame(second: float, pictures: dict[str, NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Compose the frame at a time, uint8 [480, 640, 3] BGR."""
    canvas = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for actor in (BACKGROUND, *ACTORS):
        at = pose(actor, second)
        if at is not None:
            paste(canvas, pictures[actor.photograph], at)
    return canvas


def pose(actor: Actor, second: float) -> Pose | None:
    """Return where the actor is at a time: it sets off and arrives gently at each pose."""
    for start, end in pairwise(actor.poses):
        if start.second <= second <= end.second:
            part = (second - start.second) / (end.second - start.second)
            eased = part * part * (3 - 2 * part)
            x, y, width = (
                round(a + (b - a) * eased)
                for a, b in ((start.x, end.x), (start.y, end.y), (start.width, end.width))
            )
            return Pose(second, x, y, width)
    return None


def paste(canvas: NDArray[np.uint8], picture: NDArray[np.uint8], at: Pose) -> None:
    """Put a picture on the canvas, cut off at its borders."""
    height = round(picture.shape[0] * at.width / picture.shape[1])
    scaled = cv2.resize(picture, (at.width, height), interpolation=cv2.INTER_LINEAR_EXACT)
    left, top = at.x - at.width // 2, at.y - height // 2
    x0, x1 = max(left, 0), min(left + at.width, WIDTH)
    y0, y1 = max(top, 0), min(top + height, HEIGHT)
    if x0 < x1 and y0 < y1:
        canvas[y0:y1, x0:x1] = scaled[y0 - top : y1 - top, x0 - left : x1 - left]


def encoded(image: NDArray[np.uint8]) -> bytes:
    """Return the frame as baseline JPEG."""
    settings = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    done, jpeg = cv2.imencode(".jpg", image, settings)
    if not done:
        msg = "a frame cannot be encoded"
        raise ValueError(msg)
    return jpeg.tobytes()


def motion_jpeg(jpegs: Sequence[bytes]) -> bytes:
    """Return an AVI 1.0 file: one MJPG stream, every frame a key frame, with its index."""
    largest = max(map(len, jpegs))
    count = len(jpegs)
    has_index, key_frame = 0x10, 0x10
    main_header = struct.pack(
        "<14I",
        *(1_000_000 // FPS, largest * FPS, 0, has_index, count, 0, 1, largest, WIDTH, HEIGHT),
        *(0, 0, 0, 0),
    )
    stream_header = struct.pack(
        "<4s4sIHHIIIIIIiI4H",
        *(b"vids", b"MJPG", 0, 0, 0, 0, 1, FPS, 0, count, largest, -1, 0, 0, 0, WIDTH, HEIGHT),
    )
    bitmap_header = struct.pack(
        "<IiiHH4sIiiII", 40, WIDTH, HEIGHT, 1, 24, b"MJPG", WIDTH * HEIGHT * 3, 0, 0, 0, 0
    )
    stream = chunk(b"LIST", b"strl", chunk(b"strh", stream_header), chunk(b"strf", bitmap_header))
    frames = [chunk(b"00dc", jpeg) for jpeg in jpegs]
    index, offset = b"", 4  # from the word "movi"
    for jpeg, packed in zip(jpegs, frames, strict=True):
        index += struct.pack("<4sIII", b"00dc", key_frame, offset, len(jpeg))
        offset += len(packed)
    return chunk(
        b"RIFF",
        b"AVI ",
        chunk(b"LIST", b"hdrl", chunk(b"avih", main_header), stream),
        chunk(b"LIST", b"movi", *frames),
        chunk(b"idx1", index),
    )


def chunk(name: bytes, *parts: bytes) -> bytes:
    """Return a RIFF chunk: name, length, content, padded to an even length."""
    content = b"".join(parts)
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


if __name__ == "__main__":
    main()
