"""Retained state without a daemon: fed by changes, idle otherwise, and bounded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from edgevision.clock import ManualClock
from edgevision.config.settings import Config
from edgevision.daemon.retained_state import RetainedState, Subject, measure_idle_turn
from edgevision.daemon.uplink import Uplink
from edgevision.events import (
    CameraState,
    Event,
    EventIds,
    LineCount,
    ObjectState,
    Occupancy,
    Reason,
)
from edgevision.mqtt.encoder import Encoder
from edgevision.mqtt.message import Message
from edgevision.mqtt.outbox_file import MAX_KEYS

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
ONLINE = CameraState("online", "frames arrive", AT)
LABELS = (*(f"label {number}" for number in range(76)), "Person", "Car", "Cat", "Dog")
ZONE = {"polygon": [[0, 0], [1, 0], [1, 1]]}
GATE = {"gate": {"points": [[0, 0.5], [1, 0.5]], "from": "street", "to": "yard"}}


def many_cameras(cameras: int, zones: int, **more: Any) -> Config:
    camera = {"zones": {f"z{number}": ZONE for number in range(zones)}, "lines": GATE}
    named = {f"c{n}": {"source": f"rtsp://10.0.0.{n}/x", **camera} for n in range(cameras)}
    return Config.model_validate({"device": "porch", "cameras": named, **more})


def one_camera(**more: Any) -> Config:
    yard = {"source": "rtsp://yard/1", "zones": {"drive": ZONE}, "lines": GATE}
    return Config.model_validate({"device": "porch", "cameras": {"yard": yard}, **more})


class CountingEncoder(Encoder):
    """Counts the counts and states that it encodes."""

    encoded = 0

    def count(self, occupancy: Occupancy) -> Message:
        self.encoded += 1
        return super().count(occupancy)

    def line_count(self, count: LineCount) -> Message:
        self.encoded += 1
        return super().line_count(count)

    def camera_status(self, camera: str, state: Any) -> Message:
        self.encoded += 1
        return super().camera_status(camera, state)


@dataclass
class Scene:
    """The objects of a camera, as the test says."""

    camera: str
    there: Counter[tuple[str | None, str]] = field(default_factory=Counter)
    lines: tuple[LineCount, ...] = ()

    def occupancy(self) -> tuple[Occupancy, ...]:
        places = self.there.items()
        return tuple(Occupancy(self.camera, zone, label, n) for (zone, label), n in places)

    def open_objects(self) -> tuple[ObjectState, ...]:
        return ()

    def line_counts(self) -> tuple[LineCount, ...]:
        return self.lines

    def reset_due(self, at_local: datetime, keep: Callable[[LineCount], None]) -> None:
        pass

    def close(self, _reason: Reason) -> tuple[Event, ...]:
        return ()


@dataclass
class Reader:
    """A camera whose state is as the test says."""

    name: str
    now: CameraState = ONLINE
    published_state: CameraState | None = None
    enabled: bool = True

    def state(self) -> CameraState:
        return self.now

    def state_to_publish(self) -> CameraState:
        self.published_state = self.now
        return self.now


class World:
    """The state of one configuration, an MQTT link that is not started, and a broker played."""

    def __init__(
        self, folder: Path, config: Config, values: Mapping[str, bytes] | None = None
    ) -> None:
        clock = ManualClock()
        ids = EventIds(AT)
        self.encoder = CountingEncoder(
            config, model_name="m", backend_name="b", started_at=AT, event_ids=ids
        )
        self.uplink = Uplink(
            config,
            self.encoder,
            folder=folder,
            clock=clock,
            on_connected=lambda: None,
            on_request=lambda _message: None,
        )
        self.scenes = {name: Scene(name) for name in config.cameras}
        self.state = RetainedState(values or {})
        self.cameras = [Reader(name) for name in config.cameras]
        self.use(config)

    def use(self, config: Config) -> None:
        self.subject = Subject(config, LABELS, "m", self.scenes)

    def turn(self, *, everything: bool = False) -> dict[str, bytes]:
        """Take one turn and return what it recorded by topic."""
        self.state.turn(
            self.uplink, self.subject, self.cameras, (), at_local=AT, everything=everything
        )
        batch = self.uplink._publisher._take()
        self.uplink._publisher._outbox.commit([], values=batch.values)
        return {message.topic: message.payload for message in batch.messages}

    @property
    def encoded(self) -> int:
        return self.encoder.encoded

    @property
    def values(self) -> dict[str, bytes]:
        return self.uplink.stored_values()


def counts(messages: Mapping[str, bytes]) -> dict[str, bytes]:
    own = "edgevision/porch/yard/"
    return {
        topic.removeprefix(own): payload
        for topic, payload in messages.items()
        if topic.endswith("/count") and "/lines/" not in topic
    }


def test_64_cameras_of_8_zones_and_80_labels_encode_nothing_while_they_stand_still(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, many_cameras(64, 8, detection={"labels": LABELS}))
    first = world.turn()
    assert sum(topic.endswith("/count") for topic in first) == 64 * 9 * 80
    encoded = world.encoded
    for _ in range(10):
        assert world.turn() == {}
    assert world.encoded == encoded
    assert len(world.values) <= MAX_KEYS
    assert world.uplink._publisher._outbox.problems == ()
    assert world.uplink._publisher._changes.problems == ()


def test_an_idle_turn_of_64_cameras_of_8_zones_takes_under_1_percent_of_a_core(
    tmp_path: Path,
) -> None:
    cost = measure_idle_turn(tmp_path, many_cameras(64, 8), LABELS)
    assert cost.idle_messages == cost.refused_values == 0
    assert cost.values < 3000
    assert cost.idle_ms < 2.5  # 4 turns a second


def test_of_a_large_model_only_configured_labels_and_those_with_an_entity_have_a_count(
    tmp_path: Path,
) -> None:
    found = counts(World(tmp_path, one_camera()).turn())
    assert set(found.values()) == {b"0"}
    assert {topic for topic in found if not topic.startswith("zones")} == {
        "Person/count",
        "Car/count",
        "Cat/count",
        "Dog/count",
    }
    quiet = one_camera(homeassistant={"enabled": False}, detection={"labels": ["label 7", "Dog"]})
    (tmp_path / "quiet").mkdir()
    assert counts(World(tmp_path / "quiet", quiet).turn()).keys() == {
        "label 7/count",
        "Dog/count",
        "zones/drive/label 7/count",
        "zones/drive/Dog/count",
    }


def test_a_change_at_a_camera_encodes_the_counts_that_changed_and_no_other(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, many_cameras(8, 4))
    world.turn()
    before = world.encoded
    world.scenes["c3"].there = Counter({(None, "Dog"): 2, ("z1", "Dog"): 1, (None, "Cat"): 0})
    world.state.scene_changed("c3")
    assert world.turn() == {
        "edgevision/porch/c3/Dog/count": b"2",
        "edgevision/porch/c3/zones/z1/Dog/count": b"1",
    }
    assert world.encoded == before + 2
    assert world.turn() == {}


def test_a_label_that_is_not_configured_has_a_count_once_seen_and_keeps_it_after_a_restart(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, one_camera())
    assert "label 5/count" not in counts(world.turn())
    world.scenes["yard"].there[None, "label 5"] = 1
    world.state.scene_changed("yard")
    assert counts(world.turn()) == {"label 5/count": b"1"}
    values = world.values
    (tmp_path / "next").mkdir()
    restarted = World(tmp_path / "next", one_camera(), values)
    assert counts(restarted.turn())["label 5/count"] == b"0"
    only_dogs = one_camera(detection={"labels": ["Dog"]})
    restarted.use(only_dogs)
    assert counts(restarted.turn())["label 5/count"] == b""


def test_counts_that_an_earlier_version_kept_of_labels_never_seen_are_removed(
    tmp_path: Path,
) -> None:
    prefix = "topic/edgevision/porch/yard/"
    values = {f"{prefix}label 5/count": b"", f"{prefix}Dog/count": b""}
    world = World(tmp_path, one_camera(), values)
    found = counts(world.turn())
    assert found["label 5/count"] == b""
    assert found["Dog/count"] == b"0"


def test_counters_that_start_with_the_first_frame_are_published_without_an_event(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, one_camera())
    topic = "edgevision/porch/yard/lines/gate/count"
    assert topic not in world.turn()
    world.scenes["yard"].lines = (LineCount("yard", "gate", "street", "yard", 0, 0, AT),)
    assert [*world.turn()] == [topic]
    assert world.turn() == {}


def test_after_a_connection_all_state_is_recorded_again(tmp_path: Path) -> None:
    world = World(tmp_path, one_camera())
    first = world.turn()
    del first["edgevision/porch/yard/events"]
    assert world.turn() == {}
    assert world.turn(everything=True) == first


def test_a_camera_s_state_is_encoded_when_it_changes_and_its_event_is_recorded(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, many_cameras(8, 1))
    world.turn()
    before = world.encoded
    world.cameras[3].now = CameraState("stalled", "no frame", AT)
    assert world.turn().keys() == {"edgevision/porch/c3/status", "edgevision/porch/c3/events"}
    assert world.encoded == before + 1


def test_a_picture_is_noted_once_so_that_it_can_be_removed(tmp_path: Path) -> None:
    world = World(tmp_path, one_camera())
    world.turn()
    picture = world.encoder.snapshot("yard", "Dog", b"jpeg")
    for _ in range(2):
        world.uplink.pictures.add(picture)
        assert world.turn() == {}
    assert world.values["topic/edgevision/porch/yard/Dog/snapshot"] == b""
    world.use(one_camera(snapshots={"enabled": False}))
    assert world.turn()[picture.topic] == b""


@pytest.mark.parametrize("everything", [False, True])
def test_the_state_of_14_cameras_9_places_and_80_labels_displaces_none_of_500_events(
    tmp_path: Path, *, everything: bool
) -> None:
    config = many_cameras(14, 8, detection={"labels": LABELS}, outbox={"max_rows": 500})
    world = World(tmp_path, config)
    publisher = world.uplink._publisher
    for number in range(486):  # and one of each camera's state
        world.uplink.record(Message("edgevision/porch/c0/events", b"%d" % number, 1), {})
    world.state.turn(
        world.uplink, world.subject, world.cameras, (), at_local=AT, everything=everything
    )
    publisher.turn()
    assert publisher.figures.dropped == {}
    assert publisher.figures.problems == ()
    waiting = publisher._outbox.oldest(20_000)
    events = [row for row in waiting if row.topic.endswith("/events")]
    assert [int(row.payload) for row in events[:486]] == [*range(486)]
    assert len(events) == 500
    assert len(waiting) > 14 * 9 * 80 + 500
