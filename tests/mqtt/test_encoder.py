from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from objects import OBJECT_ID, START, a_config, an_object

from edgevision.events import (
    Event,
    EventIds,
    LineCount,
    LineEvent,
    ObjectEvent,
    Occupancy,
    ZoneEvent,
)
from edgevision.mqtt.contract import schema
from edgevision.mqtt.encoder import Encoder
from edgevision.mqtt.message import Message, Topics, is_topic, level

SCHEMA = schema()
LATER = START + timedelta(seconds=24)
NEW = ObjectEvent("new", "appeared", None, an_object(), START)
UPDATE = ObjectEvent("update", "zone", an_object(current_zones=()), an_object(), LATER)
END = ObjectEvent("end", "lost", an_object(), an_object(ended_at=LATER), LATER)
ENTER = ZoneEvent("enter", "drive", an_object(), 0.0, LATER)
LEAVE = ZoneEvent("leave", "drive", an_object(), 12.3456, LATER)
LOITERING = ZoneEvent("loitering", "drive", an_object(), 30.0, LATER)
CROSSED = LineEvent("gate", "street", "yard", an_object(), LATER)


def _encoder() -> Encoder:
    return Encoder(
        a_config(),
        model_name="fixture",
        backend_name="onnxruntime",
        started_at=START,
        event_ids=EventIds(START, salt="00000000"),
    )


def _payload(message: Message) -> Any:
    return json.loads(message.payload)


@pytest.mark.parametrize(
    ("event", "name"),
    [
        (NEW, "ObjectEventMessage"),
        (UPDATE, "ObjectEventMessage"),
        (END, "ObjectEventMessage"),
        (ENTER, "ZoneEventMessage"),
        (LEAVE, "ZoneEventMessage"),
        (LOITERING, "LoiteringEventMessage"),
        (CROSSED, "LineEventMessage"),
    ],
)
def test_an_event_validates_against_its_schema_and_no_other(event: Event, name: str) -> None:
    payload = _payload(_encoder().event(event))
    fitting = []
    for each in SCHEMA["$defs"]:
        try:
            jsonschema.validate(payload, SCHEMA | {"$ref": f"#/$defs/{each}"})
        except jsonschema.ValidationError:
            continue
        fitting.append(each)
    assert fitting == [name]


def test_an_event_goes_with_qos_1_to_the_camera_s_events_and_is_not_retained() -> None:
    message = _encoder().event(NEW)
    assert (message.topic, message.qos, message.retain) == (
        "edgevision/porch/yard/events",
        1,
        False,
    )


def test_new_has_a_before_that_is_null_and_an_end_time_that_is_null() -> None:
    payload = _payload(_encoder().event(NEW))
    assert payload["before"] is None
    assert payload["after"]["end_time"] is None
    assert "delayed" not in payload


def test_an_event_that_waited_is_marked_as_delayed() -> None:
    payload = _payload(_encoder().event(END).delayed())
    assert payload["delayed"] is True
    jsonschema.validate(payload, SCHEMA | {"$ref": "#/$defs/ObjectEventMessage"})


def test_an_object_s_record_has_exactly_the_keys_of_the_contract() -> None:
    assert _payload(_encoder().event(END))["after"] == {
        "id": OBJECT_ID,
        "label": "Person",
        "score": 0.71,
        "top_score": 0.87654,
        "box": [0.1, 0.25, 0.1, 0.5],
        "frame_size": [640, 480],
        "area": 0.05,
        "ratio": 0.267,
        "start_time": "2026-01-31T07:41:03.250000Z",
        "end_time": "2026-01-31T07:41:27.250000Z",
        "duration_s": 24.0,
        "current_zones": ["drive"],
        "entered_zones": ["street", "drive"],
        "loitering_zones": [],
        "stationary": False,
        "position_changes": 1,
        "path": [
            [0.5, 0.9, "2026-01-31T07:41:03.250000Z"],
            [0.15, 0.75, "2026-01-31T07:41:27.250000Z"],
        ],
    }


def test_the_events_of_a_run_have_ascending_ids_and_an_object_keeps_its_own() -> None:
    encoder = _encoder()
    payloads = [_payload(encoder.event(event)) for event in (NEW, UPDATE, END)]
    ids = [each["id"] for each in payloads]
    assert ids == sorted(set(ids))
    assert {each["after"]["id"] for each in payloads} == {OBJECT_ID}


def test_leaving_a_zone_publishes_how_long_the_object_was_in_it() -> None:
    payload = _payload(_encoder().event(LEAVE))
    assert (payload["type"], payload["action"], payload["zone"]) == ("zone", "leave", "drive")
    assert payload["dwell_s"] == 12.346
    assert payload["object"]["id"] == OBJECT_ID


def test_a_crossing_names_the_sides_from_and_to() -> None:
    payload = _payload(_encoder().event(CROSSED))
    assert (payload["line"], payload["from"], payload["to"]) == ("gate", "street", "yard")


def test_the_closing_of_an_object_ends_it_when_it_was_last_seen() -> None:
    payload = _payload(_encoder().closing(an_object()))
    assert (payload["type"], payload["reason"]) == ("end", "interrupted")
    assert payload["occurred_at"] == payload["after"]["end_time"] == "2026-01-31T07:41:27.250000Z"
    assert payload["before"]["end_time"] is None


def test_the_closing_has_the_same_id_each_time_and_takes_none_from_the_events() -> None:
    encoder = _encoder()
    first = encoder.closing(an_object())
    assert encoder.closing(an_object()) == first
    assert _payload(first)["id"] == f"{OBJECT_ID}e"
    assert _payload(encoder.event(NEW))["id"].endswith("-00000001")


def test_a_count_is_a_number_as_text_retained() -> None:
    encoder = _encoder()
    in_picture = encoder.count(Occupancy("yard", None, "Person", 2))
    in_zone = encoder.count(Occupancy("yard", "drive", "Human face", 0))
    assert in_picture == Message("edgevision/porch/yard/Person/count", b"2", 1, retain=True)
    assert in_zone == Message(
        "edgevision/porch/yard/zones/drive/Human face/count", b"0", 1, retain=True
    )


def test_a_line_count_is_retained_and_has_exactly_the_keys_of_the_contract() -> None:
    message = _encoder().line_count(LineCount("yard", "gate", "street", "yard", 5, 3, START))
    assert (message.topic, message.qos, message.retain) == (
        "edgevision/porch/yard/lines/gate/count",
        1,
        True,
    )
    assert _payload(message) == {
        "schema_version": 1,
        "device": "porch",
        "camera": "yard",
        "line": "gate",
        "from": "street",
        "to": "yard",
        "forward": 5,
        "backward": 3,
        "total": 8,
        "since": "2026-01-31T07:41:03.250000Z",
    }
    jsonschema.validate(_payload(message), SCHEMA | {"$ref": "#/$defs/LineCountMessage"})


def test_snapshots_are_telemetry_that_is_retained() -> None:
    encoder = _encoder()
    best, whole = (
        encoder.snapshot("yard", "Person", b"jpeg"),
        encoder.snapshot("yard", None, b"jpeg"),
    )
    assert best == Message("edgevision/porch/yard/Person/snapshot", b"jpeg", 0, retain=True)
    assert whole == Message("edgevision/porch/yard/snapshot", b"jpeg", 0, retain=True)


@given(st.text(min_size=1, max_size=20).filter(lambda text: text.isprintable() or "\0" in text))
def test_every_label_makes_a_topic_and_no_label_reaches_another_level(label: str) -> None:
    topic = Topics("edgevision/porch").count("yard", "drive", label)
    assert is_topic(topic)
    assert topic.split("/") == [
        "edgevision",
        "porch",
        "yard",
        "zones",
        "drive",
        level(label),
        "count",
    ]


def test_a_box_that_rounding_carried_past_the_frame_is_published_as_at_its_edge() -> None:
    beyond = an_object(box_frac=(-1e-17, 0.5, 1.0000000000000002, 0.5), score=1.0000001)
    after = _payload(_encoder().event(replace(NEW, after=beyond)))["after"]
    assert (after["box"], after["score"]) == ([0.0, 0.5, 1.0, 0.5], 1.0)


def test_ids_with_a_given_salt_repeat_and_those_without_do_not() -> None:
    assert EventIds(START, salt="00000000").next() == EventIds(START, salt="00000000").next()
    assert EventIds(START).next() != EventIds(START).next()


def test_ids_of_a_run_before_1970_have_the_form_of_the_others() -> None:
    early = START.replace(year=1950)
    assert EventIds(early, salt="00000000").next() == "0000000000000000000-00000001"
