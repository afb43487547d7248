from __future__ import annotations

import json
import re
from typing import Any

import paho.mqtt.client as paho
import pytest
from brokers import Listener, Mosquitto, wait_until
from home_facts import PLATFORMS, checked
from hypothesis import given
from hypothesis import strategies as st
from objects import a_config
from paho.mqtt.enums import CallbackAPIVersion

from edgevision.config.settings import Config
from edgevision.integrations.homeassistant import (
    MAX_REMOVED,
    Announced,
    Discovery,
    camera_components,
    decode_announced,
    discovery,
    encode_announced,
    labels_of,
    zone_labels_of,
)
from edgevision.mqtt.contract import schema
from edgevision.mqtt.message import Message
from edgevision.mqtt.outbox import MAX_MESSAGE_BYTES

BOARD = "homeassistant/device/edgevision-porch/config"
YARD = "homeassistant/device/edgevision-porch-CAMERA-yard/config"
MODEL = ("Person", "Bicycle", "Car", "Bus", "Cat", "Dog", "Human face", "Tree", "Chair", "Table")
ZONE = {"polygon": [[0, 0], [1, 0], [1, 1]]}
LINE = {"points": [[0, 0.5], [1, 0.5]], "from": "street", "to": "yard"}
RICH = {"zones": {"drive": ZONE}, "lines": {"gate": LINE}}
CONFIGS = {
    "default": a_config(),
    "rich": a_config({"yard": RICH, "door": {"detection": {"labels": ["Person", "Human face"]}}}),
    "bare": a_config(
        {"yard": RICH},
        control={"enabled": False},
        snapshots={"enabled": False},
        homeassistant={"labels": ["Tree"]},
    ),
    "prefixed": a_config({"yard": RICH}, mqtt={"prefix": "site/A b/edge"}),
}


def _discovery(config: Config, previous: Announced | None = None) -> Discovery:
    return discovery(config, MODEL, version="1.2.3", model_name="m", previous=previous or {})


def _announcements(found: Discovery) -> dict[str, dict[str, Any]]:
    assert all(each.retain and each.qos == 1 for each in found.messages)
    return {
        each.topic: checked(each.topic, each.payload) for each in found.messages if each.payload
    }


def _components(config: Config, topic: str = YARD) -> dict[str, dict[str, Any]]:
    components: dict[str, dict[str, Any]] = _announcements(_discovery(config))[topic]["components"]
    return components


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_home_assistant_takes_every_announcement(config: Config) -> None:
    found = _announcements(_discovery(config))
    assert len(found) == 1 + len(config.cameras)
    assert all(each["components"] for each in found.values())


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_no_two_components_have_the_same_unique_id(config: Config) -> None:
    found = _announcements(_discovery(config)).values()
    ids = [each["unique_id"] for device in found for each in device["components"].values()]
    assert len(ids) == len(set(ids))


def test_a_camera_is_a_device_of_its_own_behind_the_board() -> None:
    found = _announcements(_discovery(CONFIGS["default"]))
    assert found[BOARD]["device"]["identifiers"] == ["edgevision-porch"]
    assert found[YARD]["device"]["name"] == "porch yard"
    assert found[YARD]["device"]["via_device"] == "edgevision-porch"


def test_a_camera_s_device_cannot_be_that_of_another_board() -> None:
    boards = [a_config(device="porch"), a_config(device="porch-camera-yard")]
    topics = [each.topic for board in boards for each in _discovery(board).messages]
    assert len(topics) == len(set(topics)) == 4


def test_the_board_shows_connectivity_problems_temperature_load_and_outbox() -> None:
    components = _components(CONFIGS["default"], BOARD)
    assert components.keys() == {
        "connectivity",
        "problem",
        "temperature",
        "cpu_percent",
        "memory_percent",
        "outbox_depth",
        "reload",
    }
    categories = {key: each["entity_category"] for key, each in components.items()}
    assert categories.pop("reload") == "config"
    assert set(categories.values()) == {"diagnostic"}


def test_a_camera_with_a_zone_and_a_line_has_these_entities() -> None:
    config = a_config({"yard": RICH | {"detection": {"labels": ["Person"]}}})
    names = {key: each["name"] for key, each in _components(config).items()}
    assert names == {
        "detection": "Detection",
        "problem": "Problem",
        "snapshot": "Snapshot",
        "fps": "Frame rate",
        "latency": "Latency",
        "Person.occupancy": "Person",
        "Person.count": "Person count",
        "Person.snapshot": "Person snapshot",
        "line.gate.forward": "gate street to yard",
        "line.gate.backward": "gate yard to street",
        "line.gate.reset": "Reset gate",
        "zone.drive.Person.occupancy": "drive Person",
        "zone.drive.Person.count": "drive Person count",
    }


def test_occupancy_and_count_read_the_topic_of_the_count() -> None:
    components = _components(CONFIGS["rich"])
    for kind in ("occupancy", "count"):
        assert components[f"Person.{kind}"]["state_topic"] == "edgevision/porch/yard/Person/count"
        in_zone = components[f"zone.drive.Person.{kind}"]["state_topic"]
        assert in_zone == "edgevision/porch/yard/zones/drive/Person/count"


def test_the_service_s_own_connectivity_is_shown_while_the_service_is_away() -> None:
    assert _components(CONFIGS["default"], BOARD)["connectivity"]["availability"] == []


def test_counts_are_unknown_while_the_camera_is_away_and_its_problem_is_not() -> None:
    found = _announcements(_discovery(CONFIGS["rich"]))[YARD]
    needed = [each["topic"] for each in found["availability"]]
    assert needed == ["edgevision/porch/status", "edgevision/porch/yard/status"]
    assert found["availability_mode"] == "all"
    bound = {key for key, each in found["components"].items() if "availability" not in each}
    kinds = {key.rpartition(".")[2] for key in bound}
    assert kinds == {"occupancy", "count"}
    for key in found["components"].keys() - bound:
        own = found["components"][key]["availability"]
        assert [each["topic"] for each in own] == ["edgevision/porch/status"]


def test_the_switch_asks_for_the_camera_to_be_enabled_or_disabled() -> None:
    switch = _components(CONFIGS["default"])["detection"]
    assert switch["command_topic"] == "edgevision/porch/request/camera"
    on, off = (json.loads(switch[f"payload_{which}"]) for which in ("on", "off"))
    assert on == {"camera": "yard", "enabled": True}
    assert off == {"camera": "yard", "enabled": False}


def test_the_buttons_reset_a_line_and_reload() -> None:
    reset = _components(CONFIGS["rich"])["line.gate.reset"]
    reload = _components(CONFIGS["rich"], BOARD)["reload"]
    assert reset["command_topic"] == "edgevision/porch/request/reset"
    assert json.loads(reset["payload_press"]) == {"camera": "yard", "line": "gate"}
    assert reload["command_topic"] == "edgevision/porch/request/reload"
    assert json.loads(reload["payload_press"]) == {}


def test_without_control_nothing_can_be_commanded() -> None:
    found = _announcements(_discovery(CONFIGS["bare"])).values()
    components = [each for device in found for each in device["components"].values()]
    assert not [each for each in components if "command_topic" in each]


def test_without_snapshots_there_are_no_images() -> None:
    platforms = {each["platform"] for each in _components(CONFIGS["bare"]).values()}
    assert "image" not in platforms


# Which message arrives on a topic that a template reads.
READ = {
    r"edgevision/porch/status": "StatusMessage",
    r"edgevision/porch/metrics": "BoardMetricsMessage",
    r"edgevision/porch/\w+/status": "CameraStatusMessage",
    r"edgevision/porch/\w+/metrics": "CameraMetricsMessage",
    r"edgevision/porch/\w+/lines/\w+/count": "LineCountMessage",
}


def test_templates_read_only_keys_that_the_message_on_their_topic_has() -> None:
    definitions = schema()["$defs"]
    read = set()
    for device in _announcements(_discovery(CONFIGS["rich"])).values():
        parts = [device, *device["components"].values()]
        pairs = [
            *(
                (each["topic"], each["value_template"])
                for p in parts
                for each in p.get("availability", ())
            ),
            *((p["state_topic"], p["value_template"]) for p in parts if "value_template" in p),
            *(
                (p["json_attributes_topic"], p["json_attributes_template"])
                for p in parts
                if "json_attributes_topic" in p
            ),
        ]
        for topic, template in pairs:
            for key in re.findall(r"value_json\.(\w+)", template):
                (name,) = (READ[each] for each in READ if re.fullmatch(each, topic))
                assert key in definitions[name]["properties"]
                read.add(name)
    assert read == set(READ.values())


@pytest.mark.parametrize(
    ("config", "labels"),
    [
        (a_config(), ("Person", "Car", "Cat", "Dog")),
        (a_config(detection={"labels": ["Tree", "Bus"]}), ("Tree", "Bus")),
        (a_config({"yard": {"detection": {"labels": ["Bus"]}}}), ("Bus",)),
        (a_config(homeassistant={"labels": ["Tree", "Person"]}), ("Person", "Tree")),
        (a_config(detection={"labels": ["Bus"]}, homeassistant={"labels": ["Tree"]}), ()),
    ],
)
def test_a_camera_has_entities_for_these_labels(config: Config, labels: tuple[str, ...]) -> None:
    assert labels_of(config, "yard", MODEL) == labels


def test_a_model_with_few_labels_has_entities_for_all() -> None:
    assert labels_of(a_config(), "yard", ("helmet", "vest")) == ("helmet", "vest")


@pytest.mark.parametrize(
    ("own", "home", "labels"),
    [
        (None, None, ("Person", "Car", "Cat", "Dog")),
        (["Tree", "Wolf"], None, ("Tree",)),
        (["Tree", "Bus"], ["Bus"], ("Bus",)),
    ],
)
def test_a_zone_has_entities_for_its_own_labels(
    own: list[str] | None, home: list[str] | None, labels: tuple[str, ...]
) -> None:
    config = a_config(
        {"yard": {"zones": {"drive": ZONE | {"labels": own}}}}, homeassistant={"labels": home}
    )
    assert zone_labels_of(config, "yard", "drive", MODEL) == labels


LABELS = st.lists(
    st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=12)
    | st.sampled_from(["Person", "person", "a.count", "a", "zone", "Human face", "Human_face"]),
    min_size=1,
    max_size=8,
    unique=True,
)


@given(LABELS)
def test_every_label_has_its_own_components(labels: list[str]) -> None:
    config = a_config({"yard": RICH | {"detection": {"labels": labels}}})
    components = camera_components(config, "yard", labels, "id")
    # Five of the camera, three of the line; three of each label and two in the zone.
    assert len(components) == 8 + 5 * len(labels)
    assert not [key for key in components if " " in key]


def test_a_component_that_is_no_more_is_removed_and_stays_removed() -> None:
    before = _discovery(CONFIGS["rich"])
    later = _discovery(a_config(), before.announced)
    found = _announcements(later)[YARD]["components"]
    assert found["zone.drive.Person.count"] == {"platform": "sensor"}
    assert found["line.gate.reset"] == {"platform": "button"}
    again = _announcements(_discovery(a_config(), later.announced))[YARD]["components"]
    assert again == found


def test_a_component_that_comes_back_is_announced_again() -> None:
    first = _discovery(CONFIGS["rich"])
    without = _discovery(a_config(), first.announced)
    back = _discovery(CONFIGS["rich"], without.announced)
    assert _announcements(back) == _announcements(first)


def test_a_camera_that_is_no_more_takes_its_device_with_it() -> None:
    before = _discovery(a_config({"yard": {}, "door": {}}))
    later = _discovery(a_config(), before.announced)
    door = YARD.replace("yard", "door")
    assert later.messages[-1] == Message(door, b"", 1, retain=True)
    assert door not in later.announced
    assert _discovery(a_config(), later.announced).messages == later.messages[:-1]


def test_switched_off_everything_is_taken_back_once() -> None:
    before = _discovery(CONFIGS["rich"])
    off = a_config(homeassistant={"enabled": False})
    later = _discovery(off, before.announced)
    assert {each.topic: each.payload for each in later.messages} == dict.fromkeys(
        before.announced, b""
    )
    assert later.announced == {}
    assert _discovery(off, later.announced).messages == ()


def test_another_discovery_prefix_takes_back_what_was_under_the_first() -> None:
    before = _discovery(a_config())
    later = _discovery(a_config(homeassistant={"prefix": "ha"}), before.announced)
    payloads = {each.topic: each.payload for each in later.messages}
    assert payloads[BOARD] == payloads[YARD] == b""
    assert payloads["ha/device/edgevision-porch/config"]


def test_of_a_thousand_removed_components_the_last_500_stay_removed() -> None:
    previous = {YARD: {f"zone.z{n:04}.Person.count": "sensor" for n in range(1000)}}
    found = _discovery(a_config(), previous)
    removed = [key for key in found.announced[YARD] if key.startswith("zone.")]
    assert removed == [f"zone.z{n:04}.Person.count" for n in range(1000 - MAX_REMOVED, 1000)]


def test_64_cameras_are_announced_completely() -> None:
    config = a_config({f"camera{n}": RICH for n in range(64)})
    found = _discovery(config)
    assert (len(found.messages), found.left_out) == (65, 0)
    assert max(each.size_bytes for each in found.messages) < 10_000


def test_what_is_too_much_for_a_message_is_left_out_and_counted() -> None:
    long = {f"{n:02}".ljust(64, "z"): ZONE | {"labels": list(MODEL)} for n in range(64)}
    config = a_config({"yard": {"zones": long, "lines": {"gate": LINE}}}, device="d" * 64)
    previous = {
        each.topic: {"gone" * 30 + str(n): "binary_sensor" for n in range(2000)}
        for each in _discovery(config).messages
    }
    found = _discovery(config, previous)
    kept = _announcements(found)[found.messages[1].topic]["components"]
    assert all(each.size_bytes < MAX_MESSAGE_BYTES for each in found.messages)
    assert found.left_out > 100
    assert "detection" in kept
    assert "line.gate.forward" in kept
    live = [key for key, each in kept.items() if len(each) > 1]
    assert len(live) + found.left_out == len(camera_components(config, "yard", MODEL, "id"))


TOPICS = st.text(min_size=1).filter(lambda text: not set(text) & set("+#\0"))
PLATFORM_NAMES = st.sampled_from(sorted(PLATFORMS))


@given(st.dictionaries(TOPICS, st.dictionaries(st.text(), PLATFORM_NAMES)))
def test_what_was_announced_is_kept_as_it_was(announced: Announced) -> None:
    assert decode_announced(encode_announced(announced)) == announced


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"{",
        b"[]",
        b'{"a": 1}',
        b'{"a": {"b": 2}}',
        b'{"a": {"b": "toaster"}}',
        b'{"a/#": {}}',
        b"\xff",
    ],
)
def test_what_was_kept_and_is_damaged_counts_as_nothing(value: bytes | None) -> None:
    assert decode_announced(value) == {}


def test_an_announcement_survives_a_restart_of_the_broker_and_an_empty_one_ends_it(
    mosquitto: Mosquitto,
) -> None:
    mosquitto.settings = [
        "allow_anonymous true",
        "persistence true",
        f"persistence_location {mosquitto.folder}/",
    ]
    _restart(mosquitto)
    before = _discovery(CONFIGS["rich"])
    _publish(mosquitto.port, before.messages)
    _restart(mosquitto)
    assert _retained(mosquitto.port, 3) == {each.topic: each.payload for each in before.messages}
    _publish(mosquitto.port, _discovery(a_config(), before.announced).messages)
    assert _retained(mosquitto.port, 2).keys() == {BOARD, YARD}


def _restart(mosquitto: Mosquitto) -> None:
    mosquitto.stop()
    mosquitto.start()


def _publish(port: int, messages: tuple[Message, ...]) -> None:
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", port)
    client.loop_start()
    sent = [client.publish(each.topic, each.payload, each.qos, each.retain) for each in messages]
    for each in sent:
        each.wait_for_publish(10)
        assert each.is_published()
    client.disconnect()
    client.loop_stop()


def _retained(port: int, count: int) -> dict[str, bytes]:
    listener = Listener(port, "homeassistant/#")
    try:
        wait_until(lambda: len(listener.messages()) >= count)
        return dict(listener.messages())
    finally:
        listener.close()
