"""The bundled recording through the whole path with the real model, against stored detections.

`pytest tests/replay --update-golden` writes them again, after a change that is meant.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from edgevision.config.camera import CameraConfig
from edgevision.config.settings import Config, bundled
from edgevision.evaluation.replay import Replay

MODEL = bundled("models/ssd_mobilenet_v2_oid")
GOLDEN = Path(__file__).parent / "still-life.golden.jsonl"
# Processors differ in the last digits, and those without dot products of int8 in a little more.
SCORE_TOLERANCE = 0.01
BOX_TOLERANCE = 0.002

pytestmark = pytest.mark.skipif(
    not (MODEL / "card.json").exists(), reason=f"there is no model at {MODEL.name}"
)


def replay(config: Config, recording: Path) -> list[bytes]:
    """Return the detections message of every frame."""
    player = Replay(config, camera="replay")
    camera = CameraConfig(source=str(recording))
    return [
        player.encoder.detections(frame.result).payload
        for frame in player.play(camera, lambda _count: None)
    ]


@pytest.fixture(scope="module")
def config() -> Config:
    return Config.model_validate(
        {"device": "golden", "cameras": {"replay": {"source": "0"}}, "runtime": {"threads": 2}}
    )


@pytest.fixture(scope="module")
def messages(config: Config, recording: Path) -> list[bytes]:
    return replay(config, recording)


@pytest.fixture(scope="module")
def found(messages: list[bytes]) -> list[dict[str, Any]]:
    """What was found, frame by frame, as it is published."""
    decoded = [json.loads(message) for message in messages]
    return [{key: frame[key] for key in ("frame", "detections")} for frame in decoded]


@pytest.fixture(scope="module")
def inputs(recording: Path) -> dict[str, str]:
    """What the detections were made from: they are only comparable to the same."""
    card = json.loads((MODEL / "card.json").read_bytes())
    return {
        "recording": hashlib.sha256(recording.read_bytes()).hexdigest(),
        "graph": card["files"][card["onnx"]]["sha256"],
    }


@pytest.fixture(scope="module")
def golden(
    pytestconfig: pytest.Config, inputs: dict[str, str], found: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    if pytestconfig.getoption("--update-golden"):
        lines = [json.dumps(line) for line in ({"made_from": inputs}, *found)]
        GOLDEN.write_text("\n".join(lines) + "\n", encoding="utf-8")
    first, *frames = map(json.loads, GOLDEN.read_text(encoding="utf-8").splitlines())
    assert first == {"made_from": inputs}, "recording or model has changed: pytest --update-golden"
    return frames


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    corners = zip(one["box"], other["box"], strict=True)
    return (
        one["label"] == other["label"]
        and abs(one["score"] - other["score"]) <= SCORE_TOLERANCE
        and all(abs(a - b) <= BOX_TOLERANCE for a, b in corners)
    )


def lacking(
    wanted: list[dict[str, Any]], there: list[dict[str, Any]], min_score: float
) -> list[str]:
    """Return what is wanted, surely above the threshold, and not there."""
    return [
        f"frame {frame['frame']}: {detection}"
        for frame, other in zip(wanted, there, strict=True)
        for detection in frame["detections"]
        if detection["score"] > min_score + SCORE_TOLERANCE
        and not any(same(detection, candidate) for candidate in other["detections"])
    ]


def test_each_of_the_160_frames_is_inferred_once_and_in_order(found: list[dict[str, Any]]) -> None:
    assert [frame["frame"] for frame in found] == list(range(160))


def test_every_stored_detection_is_found_again(
    golden: list[dict[str, Any]], found: list[dict[str, Any]], config: Config
) -> None:
    assert not lacking(golden, found, config.detection.min_score)


def test_nothing_is_found_that_is_not_stored(
    golden: list[dict[str, Any]], found: list[dict[str, Any]], config: Config
) -> None:
    assert not lacking(found, golden, config.detection.min_score)


@pytest.mark.parametrize(("label", "frames"), [("Cat", 40), ("Person", 40), ("Coffee cup", 20)])
def test_what_the_recording_shows_is_seen_in_many_frames(
    golden: list[dict[str, Any]], label: str, frames: int
) -> None:
    seen = [
        frame
        for frame in golden
        if any(detection["label"] == label for detection in frame["detections"])
    ]
    assert len(seen) >= frames


def test_playing_it_again_gives_the_same_bytes(
    config: Config, recording: Path, messages: list[bytes]
) -> None:
    assert replay(config, recording) == messages
