"""`edgevision replay` with the settings of the golden detections."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import yaml
from arm.userland import RECORDING, REPOSITORY

# NumPy takes 7 s a frame on an emulated core, so it gets every eighth of the 160.
EVERY = 8

GOLDEN = REPOSITORY / "tests" / "replay" / "still-life.golden.jsonl"


def replay_command(folder: Path, backend: str, recording: Path) -> list[str]:
    """Return what follows `python` to replay a recording; the settings go into the folder."""
    settings = {
        "device": "golden",
        "backend": backend,
        "runtime": {"threads": 1},
        "cameras": {"replay": {"source": "0"}},
    }
    config = folder / f"{backend}.yaml"
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return ["-m", "edgevision", "replay", "--config", str(config), str(recording)]


def write_frames(folder: Path) -> Path:
    """Write every eighth frame of the bundled recording as a PNG; return the folder."""
    folder.mkdir()
    video = cv2.VideoCapture(str(RECORDING), cv2.CAP_OPENCV_MJPEG)
    index = 0
    while video.grab():
        if index % EVERY == 0:
            cv2.imwrite(str(folder / f"{index:03}.png"), video.retrieve()[1])
        index += 1
    assert index == 160
    return folder


def golden_detections() -> list[dict[str, Any]]:
    """Return frame and detections of each of the 160 frames."""
    _, *frames = map(json.loads, GOLDEN.read_text(encoding="utf-8").splitlines())
    return frames


def detections(output: str) -> list[dict[str, Any]]:
    """Return frame and detections of each printed message."""
    messages = map(json.loads, output.splitlines())
    return [{key: message[key] for key in ("frame", "detections")} for message in messages]
