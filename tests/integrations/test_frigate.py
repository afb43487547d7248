from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from objects import START, a_config, an_object

from edgevision.events import ObjectEvent, ObjectState
from edgevision.integrations import frigate
from edgevision.integrations.frigate import FrigateBridge
from edgevision.mqtt.message import Message

SECONDS = START.timestamp()
LATER = START + timedelta(seconds=24)

# Every key that Frigate documents or sends, with what it reads for `an_object`.
AFTER: dict[str, Any] = {
    "camera": "yard",
    "frame_time": SECONDS + 24,
    "snapshot": {
        "frame_time": SECONDS + 24,
        "box": [64, 120, 128, 360],
        "area": 15360,
        "region": [0, 0, 640, 480],
        "score": 0.87654,
        "attributes": [],
    },
    "label": "person",
    "sub_label": None,
    "top_score": 0.87654,
    "computed_score": 0.71,
    "false_positive": False,
    "start_time": SECONDS,
    "end_time": None,
    "score": 0.71,
    "box": [64, 120, 128, 360],
    "area": 15360,
    "ratio": 0.27,
    "region": [0, 0, 640, 480],
    "current_zones": ["drive"],
    "entered_zones": ["street", "drive"],
    "pending_loitering": False,
    "max_severity": None,
    "thumbnail": None,
    "has_snapshot": True,
    "snapshot_clean": False,
    "has_clip": False,
    "active": True,
    "stationary": False,
    "motionless_count": 3,
    "position_changes": 1,
    "attributes": {},
    "current_attributes": [],
    "current_estimated_speed": 0,
    "average_estimated_speed": 0,
    "velocity_angle": 0,
    "path_data": [[[0.5, 0.9], SECONDS], [[0.15, 0.75], SECONDS + 24]],
    "recognized_license_plate": None,
    "recognized_license_plate_score": None,
}


def _payload(event: ObjectEvent, *, snapshots: bool = True) -> Any:
    return json.loads(frigate.event(event, snapshots=snapshots).payload)


UPDATE = ObjectEvent("update", "zone", an_object(current_zones=()), an_object(), LATER)
NEW = ObjectEvent("new", "appeared", None, an_object(), START)
END = ObjectEvent("end", "lost", an_object(), an_object(ended_at=LATER), LATER)


@pytest.mark.parametrize("key", AFTER)
def test_a_key_reads_as_frigate_writes_it(key: str) -> None:
    found = _payload(UPDATE)["after"][key]
    assert found == AFTER[key]
    assert type(found) is type(AFTER[key])


def test_before_and_after_have_these_keys_and_the_id_and_no_others() -> None:
    payload = _payload(UPDATE)
    assert list(payload) == ["type", "before", "after"]
    assert payload["before"].keys() == payload["after"].keys() == {"id", *AFTER}


def test_an_id_is_the_start_time_and_six_letters_or_digits() -> None:
    payload = _payload(UPDATE)
    start, _, suffix = payload["after"]["id"].rpartition("-")
    assert float(start) == payload["after"]["start_time"]
    assert re.fullmatch("[a-z0-9]{6}", suffix)


def test_an_object_keeps_its_id_and_another_of_the_same_moment_has_its_own() -> None:
    events = [_payload(each) for each in (NEW, UPDATE, END)]
    ids = {part["id"] for each in events for part in (each["before"], each["after"])}
    other = frigate.object_id(an_object(id="019c12345670123abcd-0000000b"))
    assert len(ids) == 1
    assert other not in ids


def test_a_new_object_was_a_false_positive_in_no_zone_before() -> None:
    payload = _payload(NEW)
    assert payload["type"] == "new"
    assert payload["before"]["false_positive"] is True
    assert payload["before"]["current_zones"] == payload["before"]["entered_zones"] == []
    assert payload["after"]["false_positive"] is False


def test_an_ended_object_has_its_end_time_in_after_only() -> None:
    payload = _payload(END)
    assert payload["type"] == "end"
    assert payload["after"]["end_time"] == SECONDS + 24
    assert payload["before"]["end_time"] is None


def test_an_object_at_rest_is_stationary_and_not_active() -> None:
    after = _payload(replace(UPDATE, after=an_object(stationary=True)))["after"]
    assert (after["stationary"], after["active"]) == (True, False)


def test_without_snapshots_there_is_none() -> None:
    assert _payload(UPDATE, snapshots=False)["after"]["has_snapshot"] is False


def test_a_box_at_the_edge_of_the_frame_ends_there() -> None:
    after = _payload(replace(UPDATE, after=an_object(box_frac=(0.9, 0.5, 0.2, 0.6))))["after"]
    assert after["box"] == [576, 240, 640, 480]


def test_events_are_kept_for_the_broker_and_not_retained() -> None:
    message = frigate.event(NEW, snapshots=True)
    assert (message.topic, message.qos, message.retain) == ("frigate/events", 1, False)


def test_an_event_that_waited_has_no_other_keys() -> None:
    message = frigate.event(NEW, snapshots=True)
    assert message.delayed() == message


def test_availability_is_retained_text() -> None:
    assert frigate.available(online=True) == Message("frigate/available", b"online", 1, retain=True)
    assert frigate.available(online=False) == Message(
        "frigate/available", b"offline", 1, retain=True
    )


def test_a_snapshot_is_retained_under_the_label_in_lower_case() -> None:
    message = frigate.snapshot("yard", "Person", b"jpeg")
    assert message == Message("frigate/yard/person/snapshot", b"jpeg", 0, retain=True)


@pytest.mark.parametrize(
    ("status", "shown", "detect"),
    [
        ("online", b"online", b"ON"),
        ("stalled", b"offline", b"ON"),
        ("frozen", b"offline", b"ON"),
        ("disabled", b"disabled", b"OFF"),
    ],
)
def test_a_camera_s_status_is_published_in_frigate_s_terms(
    status: Any, shown: bytes, detect: bytes
) -> None:
    assert frigate.camera_status("yard", status) == (
        Message("frigate/yard/status/detect", shown),
        Message("frigate/yard/detect/state", detect, 1, retain=True),
    )


ZONE = {"polygon": [[0, 0], [1, 0], [1, 1]]}


def _bridge(
    cameras: dict[str, dict[str, Any]] | None = None, labels: tuple[str, ...] = ()
) -> FrigateBridge:
    return FrigateBridge(a_config(cameras, frigate_compat=True), labels)


def _changes(bridge: FrigateBridge, camera: str, objects: list[ObjectState]) -> dict[str, int]:
    return _counts(bridge.passing({}, {camera: objects}, everything=False))


def _everything(bridge: FrigateBridge) -> dict[str, int]:
    return _counts(bridge.passing({}, {}, everything=True))


def _counts(found: Iterator[Message]) -> dict[str, int]:
    messages = tuple(found)
    assert not any(each.retain or each.qos for each in messages)
    return {each.topic.removeprefix("frigate/"): int(each.payload) for each in messages}


def test_an_object_counts_in_its_camera_its_zones_and_in_all() -> None:
    bridge = _bridge({"yard": {"zones": {"drive": ZONE}}})
    assert _changes(bridge, "yard", [an_object()]) == {
        "yard/person": 1,
        "yard/person/active": 1,
        "yard/all": 1,
        "yard/all/active": 1,
        "drive/person": 1,
        "drive/person/active": 1,
        "drive/all": 1,
        "drive/all/active": 1,
    }


def test_only_what_changed_is_published_and_what_is_gone_reads_0() -> None:
    bridge = _bridge()
    _changes(bridge, "yard", [an_object()])
    assert _changes(bridge, "yard", [an_object(stationary=True)]) == {
        "yard/person/active": 0,
        "yard/all/active": 0,
    }
    assert _changes(bridge, "yard", []) == {"yard/person": 0, "yard/all": 0}
    assert _changes(bridge, "yard", []) == {}


def test_a_new_connection_gets_every_count_with_its_zeros() -> None:
    bridge = _bridge({"yard": {"detection": {"labels": ["Dog"]}}}, ("Cat",))
    _changes(bridge, "yard", [an_object()])
    assert _everything(bridge) == {
        "yard/all": 1,
        "yard/all/active": 1,
        "yard/dog": 0,
        "yard/dog/active": 0,
        "yard/person": 1,
        "yard/person/active": 1,
    }


def test_a_service_that_has_just_started_publishes_zeros_for_every_label_and_zone() -> None:
    bridge = _bridge({"yard": {"zones": {"drive": ZONE}}}, ("Person",))
    published = _everything(bridge)
    assert {"yard/person", "drive/person", "drive/person/active", "yard/all"} <= published.keys()
    assert set(published.values()) == {0}


def test_before_another_configuration_what_was_there_reads_0() -> None:
    bridge = _bridge({"yard": {"zones": {"drive": ZONE}}}, ("Cat",))
    _changes(bridge, "yard", [an_object(stationary=True)])
    assert _counts(bridge.farewell()) == {
        "yard/person": 0,
        "yard/all": 0,
        "drive/person": 0,
        "drive/all": 0,
    }


def test_a_zone_of_two_cameras_is_counted_over_both() -> None:
    bridge = _bridge({name: {"zones": {"drive": ZONE}} for name in ("yard", "gate")})
    _changes(bridge, "yard", [an_object()])
    assert _changes(bridge, "gate", [an_object(camera="gate")])["drive/person"] == 2


def test_a_zone_named_as_a_camera_does_not_add_to_the_camera_s_counts() -> None:
    bridge = _bridge({"yard": {"zones": {"gate": ZONE}}, "gate": {}})
    changed = _changes(bridge, "yard", [an_object(current_zones=("gate",))])
    assert not [topic for topic in changed if topic.startswith("gate/")]
