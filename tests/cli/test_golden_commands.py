"""`replay --events`, and a stored run to compare with."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml
from daemons import RECORDING, run_command

from edgevision.mqtt.contract import schema

ALL = [[0, 0], [1, 0], [1, 1], [0, 1]]
KINDS = {
    "zone": "ZoneEventMessage",
    "loitering": "LoiteringEventMessage",
    "line": "LineEventMessage",
}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> str:
    scene = {
        "zones": {"room": {"polygon": ALL, "loiter_after_s": 2}},
        "lines": {"middle": {"points": [[0.5, 0], [0.5, 1]]}},
    }
    path = tmp_path_factory.mktemp("golden") / "config.yaml"
    path.write_text(yaml.safe_dump({"cameras": {"yard": {"source": "0", **scene}}}))
    return str(path)


@pytest.fixture(scope="module")
def golden(config: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("golden") / "golden.jsonl"
    done = replay(config, "--golden", str(path), "--update-golden")
    assert done.returncode == 0, done.stderr
    return path


def replay(config: str, *more: str) -> subprocess.CompletedProcess[str]:
    return run_command("replay", RECORDING, "--config", config, "--camera", "yard", *more)


def test_the_events_of_a_recording_are_the_same_byte_for_byte_each_time(
    config: str, golden: Path
) -> None:
    done = replay(config, "--events")
    assert done.returncode == 0
    assert done.stdout == golden.read_text()


def test_its_events_are_valid_and_every_object_begins_and_ends_once(golden: Path) -> None:
    events = [json.loads(line) for line in golden.read_text().splitlines()]
    for event in events:
        kind = KINDS.get(event["type"], "ObjectEventMessage")
        jsonschema.validate(event, schema() | {"$ref": f"#/$defs/{kind}"})
    begun = [e["after"]["id"] for e in events if e["type"] == "new"]
    ended = [e["after"]["id"] for e in events if e["type"] == "end"]
    assert sorted(begun) == sorted(ended) == sorted(set(begun))
    assert {e["after"]["label"] for e in events if e["type"] == "new"} >= {"Person", "Cat"}
    assert {"zone", "loitering", "line"} <= {e["type"] for e in events}


def test_a_run_like_the_stored_one_says_so(config: str, golden: Path) -> None:
    done = replay(config, "--golden", str(golden))
    assert (done.returncode, done.stdout) == (0, "")


def test_another_threshold_shows_what_it_would_change_and_fails(config: str, golden: Path) -> None:
    done = replay(config, "--golden", str(golden), "--min-score", "0.66")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines
    assert all(line[0] in "+-~" for line in lines)
    assert any(
        (line.startswith("- ") and "new Cat" in line) or "new Person" in line for line in lines
    )


def test_an_event_that_moved_is_told_beyond_the_tolerance_only(
    config: str, golden: Path, tmp_path: Path
) -> None:
    lines = golden.read_text().splitlines()
    event = json.loads(lines[0])
    seconds = float(event["occurred_at"][17:-1])
    event["occurred_at"] = f"{event['occurred_at'][:17]}{seconds + 0.4:09.6f}Z"
    moved = tmp_path / "moved.jsonl"
    moved.write_text("\n".join([json.dumps(event), *lines[1:]]))
    strict, loose = (
        replay(config, "--golden", str(moved), "--tolerance-ms", tolerance)
        for tolerance in ("300", "500")
    )
    assert strict.returncode == 1
    assert strict.stdout.splitlines()[0].endswith("-400 ms")
    assert loose.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--update-golden"], 2, "--golden FILE"),
        (["--golden", "/nowhere/golden.jsonl"], 66, "--update-golden"),
        (["--golden", "/nowhere/golden.jsonl", "--mqtt"], 2, "--mqtt"),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_line(
    config: str, arguments: list[str], status: int, words: str
) -> None:
    done = replay(config, *arguments)
    assert done.returncode == status
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ({"zones": {"room": {"polygon": ALL, "labels": ["Persn"]}}}, "zones.room.labels"),
        ({"zones": {"room": {"polygon": ALL, "filters": {"Persn": {}}}}}, "zones.room.filters"),
        ({"lines": {"l": {"points": [[0, 0], [1, 1]], "labels": ["Persn"]}}}, "lines.l.labels"),
        ({"masks": {"m": {"polygon": ALL, "labels": ["Persn"]}}}, "masks.m.labels"),
        ({"detection": {"filters": {"Persn": {"min_score": 0.5}}}}, "detection.filters"),
    ],
)
def test_a_misspelt_label_of_a_scene_is_found_with_its_line(
    tmp_path: Path, section: dict[str, object], key: str
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"cameras": {"yard": {"source": "0", **section}}}))
    done = run_command("check-config", str(path))
    assert done.returncode == 78
    assert f"cameras.yard.{key}: expected labels" in done.stderr
    assert "did you mean Person?" in done.stderr
    assert "config.yaml:" in done.stderr
