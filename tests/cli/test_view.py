from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from daemons import run_command
from rich.console import Console

from edgevision.cli.console import plain, print_json
from edgevision.cli.watch import MAX_NAMES, OTHER, View, _parsed
from edgevision.mqtt.message import Topics

TOPICS = Topics("edgevision/porch")
AT = "2026-01-01T00:00:00Z"
STAGES = ("capture", "preprocess", "inference", "decode", "tracking", "total")
ESCAPES = "\x1b[2J\x9b31m\x07[bold]\u202e[/nothing]"


def detections(**changes: Any) -> bytes:
    message = {
        "schema_version": 1,
        "device": "porch",
        "camera": "yard",
        "frame": 1,
        "captured_at": datetime(2026, 1, 1, tzinfo=UTC).isoformat(),
        "frame_size": [640, 480],
        "model": "m",
        "backend": "b",
        "latency_ms": dict.fromkeys(STAGES, 1.0),
        "detections": [{"label": "Cat", "score": 0.5, "box": [0, 0, 1, 1]}],
    }
    return json.dumps({**message, **changes}).encode()


def drawn(view: View) -> str:
    console = Console(width=400, file=io.StringIO(), record=True)
    console.print(view.draw())
    return console.export_text()


def test_a_label_that_a_terminal_would_obey_is_shown_as_escapes() -> None:
    view = View(TOPICS)
    found = [{"label": ESCAPES, "score": 0.5, "box": [0, 0, 1, 1]}]
    (line,) = view.take("edgevision/porch/yard/detections", detections(detections=found))
    shown = r"\x1b[2J\x9b31m\x07[bold]\u202e[/nothing]"
    assert shown in line
    assert shown in drawn(view)


@pytest.mark.parametrize(
    "topic", ["edgevision/porch/\x1b[2J", "edgevision/porch/x/\x1b[2J/metrics"]
)
def test_a_topic_that_a_terminal_would_obey_is_shown_as_escapes(topic: str) -> None:
    (line,) = View(TOPICS).take(topic, b"x")
    assert line.isprintable()


@pytest.mark.parametrize(
    "moment",
    ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59+00:00", "2026-01-01T00:00:00", "1e400"],
)
def test_a_time_that_cannot_be_shown_is_no_message_or_one_without_harm(
    moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "America/Los_Angeles")
    view = View(TOPICS)
    view.take("edgevision/porch/yard/detections", detections())
    view.take("edgevision/porch/yard/detections", detections(captured_at=moment))
    assert view.seen.fps >= 0


def test_new_names_without_end_are_counted_together() -> None:
    view = View(TOPICS)
    box = [0, 0, 1, 1]
    for first in range(0, 2 * MAX_NAMES, 100):
        found = [{"label": str(first + i), "score": 0.5, "box": box} for i in range(100)]
        view.take("edgevision/porch/yard/detections", detections(detections=found))
    assert len(view.seen.labels) == MAX_NAMES + 1
    assert view.seen.labels[OTHER] == MAX_NAMES


def test_a_file_name_that_a_terminal_would_obey_is_shown_as_escapes() -> None:
    done = run_command("detect", "/absent/\x1b[2J\x9b.png")
    assert done.returncode == 66
    assert done.stderr == (
        "edgevision: /absent/\\x1b[2J\\x9b.png: cannot be read (No such file or directory)\n"
    )


def test_text_of_any_language_is_shown_as_it_is() -> None:
    assert plain("Größe 猫 🐈") == "Größe 猫 🐈"


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        (b'"\\ud800"', '"\\ud800"\n'),
        (b'"\\u009b31m\\u007f"', '"\\u009b31m\\u007f"\n'),
        (b"[" * 100_000, json.dumps("[" * 100_000) + "\n"),
        (b"1" * 10_000, json.dumps("1" * 10_000) + "\n"),
        (b"\xff", '"�"\n'),
    ],
    ids=["surrogate", "control", "deep", "digits", "bytes"],
)
def test_whatever_arrives_is_printed_as_one_line_of_json(
    capsys: pytest.CaptureFixture[str], payload: bytes, shown: str
) -> None:
    print_json(_parsed(payload))
    assert capsys.readouterr().out == shown


def test_a_count_is_shown_as_a_number_and_a_picture_as_its_size() -> None:
    view = View(TOPICS)
    assert view.take("edgevision/porch/yard/Cat/count", b"2") == [
        "edgevision/porch/yard/Cat/count: 2"
    ]
    assert view.take("edgevision/porch/yard/Cat/snapshot", b"\xff\xd8") == [
        "edgevision/porch/yard/Cat/snapshot: 2 bytes"
    ]
    assert view.take("edgevision/porch/yard/Cat/count", b"\x1b[2J") == []
    assert view.seen.messages == {"counts": 2, "pictures": 1}


def test_an_event_of_an_object_is_one_line() -> None:
    one = {
        "id": "1",
        "label": "Cat",
        "score": 0.5,
        "top_score": 0.5,
        "box": [0, 0, 1, 1],
        "frame_size": [640, 480],
        "area": 1,
        "ratio": 1,
        "start_time": AT,
        "end_time": AT,
        "duration_s": 6.04,
        "current_zones": ["sofa"],
        "entered_zones": [],
        "loitering_zones": [],
        "stationary": False,
        "position_changes": 0,
        "path": [],
    }
    base = {"device": "porch", "camera": "yard", "id": "0-1", "occurred_at": AT}
    topic = "edgevision/porch/yard/events"
    events = {
        "yard: event: end Cat in sofa after 6.0 s (lost)": {
            "type": "end",
            "reason": "lost",
            "before": one,
            "after": one,
        },
        "yard: event: Cat in sofa enters sofa": {
            "type": "zone",
            "action": "enter",
            "zone": "sofa",
            "dwell_s": 0,
            "object": one,
        },
        "yard: event: Cat in sofa stays in sofa: 30 s": {
            "type": "loitering",
            "zone": "sofa",
            "dwell_s": 30,
            "object": one,
        },
        "yard: event: Cat in sofa crosses gate, in to out": {
            "type": "line",
            "line": "gate",
            "from": "in",
            "to": "out",
            "object": one,
        },
    }
    for words, event in events.items():
        assert View(TOPICS).take(topic, json.dumps(base | event).encode()) == [words]
