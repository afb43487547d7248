"""Objects, counts, control and Home Assistant: the real service, a real model, a real broker."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from brokers import Listener, Mosquitto, wait_until
from daemons import RECORDING, RunningDaemon, running, settings

ALL = [[0, 0], [1, 0], [1, 1], [0, 1]]
SCENE = {
    "zones": {"room": {"polygon": ALL}},
    "lines": {"middle": {"points": [[0.5, 0], [0.5, 1]], "from": "right", "to": "left"}},
}
YARD = {"yard": {"source": RECORDING, "loop": True, **SCENE}}
PREFIX = "edgevision/porch"


def object_events(listener: Listener) -> list[dict[str, Any]]:
    kinds = {"new", "update", "end"}
    return [each for each in listener.json("yard/events") if each["type"] in kinds]


def of_type(listener: Listener, kind: str) -> list[dict[str, Any]]:
    return [each for each in listener.json("yard/events") if each["type"] == kind]


def last(listener: Listener, topic: str) -> bytes | None:
    """Return what was last said on a topic."""
    said = [payload for name, payload in listener.messages() if name == f"{PREFIX}/{topic}"]
    return said[-1] if said else None


def ask(listener: Listener, verb: str, payload: object, **more: Any) -> dict[str, Any]:
    """Send a request and return its response."""
    before = len(listener.json(f"response/{verb}"))
    text = payload if isinstance(payload, bytes) else json.dumps(payload)
    listener.publish(f"{PREFIX}/request/{verb}", text, **more)
    return listener.wait_for(f"response/{verb}", before + 1, 30)[-1]


def wait_new(listener: Listener) -> dict[str, Any]:
    wait_until(lambda: of_type(listener, "new"), 60)
    return of_type(listener, "new")[0]


def test_each_object_is_told_as_new_once_counted_pictured_and_ended_once(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    with running(tmp_path, settings(mosquitto.port, YARD)) as daemon:
        label = wait_new(listener)["after"]["label"]
        wait_until(lambda: last(listener, f"yard/{label}/count") not in {None, b"0"}, 30)
        wait_until(lambda: last(listener, f"yard/zones/room/{label}/count") not in {None, b"0"}, 30)
        wait_until(lambda: (last(listener, f"yard/{label}/snapshot") or b"")[:2] == b"\xff\xd8", 30)
        assert daemon.terminate() == 0
        wait_until(lambda: last(listener, f"yard/{label}/count") == b"0", 10)
    told = Counter((each["after"]["id"], each["type"]) for each in object_events(listener))
    ids = {object_id for object_id, _ in told}
    assert all(told[object_id, kind] == 1 for object_id in ids for kind in ("new", "end"))
    found = [each for frame in listener.json("detections") for each in frame["detections"]]
    tracked = {each["track_id"] for each in found if "track_id" in each}
    assert tracked
    assert tracked <= ids


def test_an_object_ends_also_when_the_service_was_killed(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    with running(tmp_path, settings(mosquitto.port, YARD)) as daemon:
        first = wait_new(listener)["after"]["id"]
        daemon.process.kill()
    with running(tmp_path, settings(mosquitto.port, YARD)):
        wait_until(lambda: [e for e in of_type(listener, "end") if e["after"]["id"] == first], 60)
        wait_until(lambda: any(e["after"]["id"] != first for e in of_type(listener, "new")), 60)
    (end,) = [e for e in of_type(listener, "end") if e["after"]["id"] == first]
    assert end["reason"] == "interrupted"
    assert end["after"]["end_time"] >= end["after"]["start_time"]
    # What was not acknowledged before the kill comes again, with the same id.
    events = {each["id"]: each for each in object_events(listener)}.values()
    told = Counter((each["after"]["id"], each["type"]) for each in events)
    assert all(told[key] == 1 for key in told if key[1] != "update")


def test_a_line_goes_on_counting_after_a_kill_until_somebody_resets_it(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    def count() -> int:
        said = last(listener, "yard/lines/middle/count")
        return 0 if said is None else int(json.loads(said)["total"])

    with running(tmp_path, settings(mosquitto.port, YARD)) as daemon:
        wait_until(lambda: of_type(listener, "line"), 90)
        wait_until(count, 30)
        counted = count()
        event = of_type(listener, "line")[0]
        assert {event["from"], event["to"]} == {"left", "right"}
        daemon.process.kill()
    with running(tmp_path, settings(mosquitto.port, YARD)):
        before = len(listener.json("yard/lines/middle/count"))
        listener.wait_for("yard/lines/middle/count", before + 1, 30)
        assert count() >= counted
        assert ask(listener, "reset", {"camera": "yard", "line": "middle"})["status"] == "ok"
        wait_until(lambda: count() == 0, 10)


def test_a_broker_that_lost_everything_gets_all_counts_and_announcements_again(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    with running(tmp_path, settings(mosquitto.port, YARD)):
        label = wait_new(listener)["after"]["label"]
        mosquitto.kill()
        mosquitto.start()
        with closing(Listener(mosquitto.port)) as later:
            wait_until(lambda: last(later, f"yard/{label}/count") is not None, 30)
            wait_until(lambda: last(later, "yard/lines/middle/count") is not None, 30)
            wait_until(lambda: any(t.endswith("/config") for t, _ in later.messages()), 30)
            wait_until(lambda: (last(later, f"yard/{label}/snapshot") or b"")[:2] == b"\xff\xd8")
            zeros = {t for t, p in later.messages() if t.endswith("/Dog/count") and p == b"0"}
            assert zeros == {f"{PREFIX}/yard/Dog/count", f"{PREFIX}/yard/zones/room/Dog/count"}


def test_a_zone_that_is_taken_out_takes_its_counts_and_its_entities_with_it(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    def entities() -> set[str]:
        said = [json.loads(p)["cmps"] for t, p in listener.messages() if t.endswith("yard/config")]
        return {key for key, each in said[-1].items() if len(each) > 1} if said else set()

    with running(tmp_path, settings(mosquitto.port, YARD)) as daemon:
        wait_until(lambda: any("room" in key for key in entities()), 60)
        assert last(listener, "yard/zones/room/Dog/count") == b"0"
        listener.wait_for("yard/lines/middle/count", 1, 30)
        daemon.reload(settings(mosquitto.port, {"yard": {"source": RECORDING, "loop": True}}))
        wait_until(lambda: last(listener, "yard/zones/room/Dog/count") == b"", 30)
        wait_until(lambda: not any("room" in key for key in entities()), 30)
        assert last(listener, "yard/lines/middle/count") == b""
        assert last(listener, "yard/Dog/count") == b"0"


def test_home_assistant_is_told_everything_when_it_starts(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    def announcements() -> int:
        return sum(topic.endswith("/config") for topic, _ in listener.messages())

    with running(tmp_path, settings(mosquitto.port, YARD)):
        wait_until(lambda: announcements() >= 2, 60)
        listener.wait_for("yard/detections", 5)
        before = announcements()
        listener.publish("homeassistant/status", "offline")
        listener.publish("homeassistant/status", "online")
        wait_until(lambda: announcements() == before + 2, 30)


def switch(listener: Listener, *, on: bool) -> dict[str, Any]:
    """Do what Home Assistant's switch does."""
    document = next(json.loads(p) for t, p in listener.messages() if t.endswith("yard/config"))
    (component,) = [each for each in document["cmps"].values() if each["p"] == "switch"]
    topic = component["cmd_t"].replace("~", document.get("~", ""))
    before = len(listener.json("response/camera"))
    listener.publish(topic, component["pl_on" if on else "pl_off"])
    return listener.wait_for("response/camera", before + 1, 30)[-1]


def test_the_switch_in_home_assistant_ends_detection_until_it_is_switched_on_again(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    with running(tmp_path, settings(mosquitto.port, YARD)) as daemon:
        first = wait_new(listener)["after"]["id"]
        assert switch(listener, on=False)["status"] == "ok"
        listener.wait_status("yard/status", "disabled", 30)
        wait_until(lambda: [e for e in of_type(listener, "end") if e["after"]["id"] == first], 30)
        assert daemon.terminate() == 0
    with running(tmp_path, settings(mosquitto.port, YARD)):
        listener.wait_status("porch/status", "online", 30)
        wait_until(lambda: listener.json("yard/status")[-1]["status"] == "disabled", 30)
        seen = len(listener.json("yard/detections"))
        assert switch(listener, on=True)["status"] == "ok"
        listener.wait_for("yard/detections", seen + 5, 30)


def test_requests_are_answered_and_what_they_change_takes_effect(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    cameras = {**YARD, "gone": {"source": "rtsp://user:geheim@127.0.0.1:9/x"}}
    config = settings(mosquitto.port, cameras)
    with running(tmp_path, config) as daemon:
        listener.wait_for("yard/detections", 1, 60)
        found = ask(listener, "snapshot", {"camera": "yard", "transaction": 7})
        assert (found["status"], found["transaction"]) == ("ok", 7)
        wait_until(lambda: len(last(listener, "yard/snapshot") or b"") == found["data"]["bytes"])
        away = ask(listener, "snapshot", {"camera": "gone"})
        assert away["status"] == "error"
        assert "offline" in away["error"]
        info = ask(listener, "info", b"")["data"]
        assert "geheim" not in json.dumps(info)
        assert info["config"]["cameras"]["yard"]["lines"]["middle"]["from"] == "right"
        assert info["restart_required"] is False
        assert ask(listener, "threshold", {"min_score": 0.95})["status"] == "ok"
        wait_until(lambda: listener.json("yard/detections")[-1]["detections"] == [], 30)
        assert ask(listener, "info", b"")["data"]["config"]["detection"]["min_score"] == 0.95
        daemon.configure({**config, "cameras": {**cameras, "third": {"source": "/dev/video99"}}})
        assert ask(listener, "reload", b"")["status"] == "ok"
        listener.wait_status("third/status", "offline", 30)
        daemon.configure({**config, "state_folder": str(tmp_path / "other")})
        refused = ask(listener, "reload", b"")
        assert "state_folder" in refused["error"]
        assert ask(listener, "info", b"")["data"]["restart_required"] is True


@pytest.mark.parametrize(
    ("verb", "payload", "words"),
    [
        ("dance", b"{}", "expected one of"),
        ("camera", b"{", "JSON"),
        ("camera", b'{"camera": "yard", "enabled": "no"}', "enabled"),
        ("camera", b'{"camera": "moon", "enabled": true}', "moon"),
        ("threshold", b'{"min_score": 2}', "min_score"),
        ("info", b" " * 5000, "4096"),
    ],
)
def test_a_bad_request_gets_an_error_and_changes_nothing(
    quiet_daemon: Listener, verb: str, payload: bytes, words: str
) -> None:
    response = ask(quiet_daemon, verb, payload)
    assert response["status"] == "error"
    assert words in response["error"]
    assert ask(quiet_daemon, "info", b"")["data"]["config"]["cameras"]["yard"]["enabled"] is True


@pytest.fixture(scope="module")
def quiet_daemon(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A service whose camera is not there, and who listens to it."""
    folder = tmp_path_factory.mktemp("quiet")
    broker = Mosquitto(folder)
    broker.start()
    try:
        cameras = {"yard": {"source": "/dev/video99"}}
        with (
            closing(Listener(broker.port)) as listener,
            running(folder, settings(broker.port, cameras)),
        ):
            listener.wait_status("porch/status", "online", 60)
            yield listener
    finally:
        broker.stop()


def test_with_control_switched_off_nobody_listens(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    config = settings(mosquitto.port, YARD, control={"enabled": False})
    with running(tmp_path, config):
        listener.wait_for("yard/detections", 1, 60)
        listener.publish(f"{PREFIX}/request/disable", '{"camera": "yard"}')
        seen = len(listener.json("yard/detections"))
        listener.wait_for("yard/detections", seen + 10, 30)
        assert not [topic for topic, _ in listener.messages() if "/response/" in topic]
        document = next(json.loads(p) for t, p in listener.messages() if t.endswith("yard/config"))
        assert "switch" not in {each["p"] for each in document["cmps"].values()}


def said(listener: Listener, topic: str) -> list[bytes]:
    return [payload for name, payload in listener.messages() if name == topic]


def frigate_event(listener: Listener, kind: str) -> list[dict[str, Any]]:
    events = [json.loads(payload) for payload in said(listener, "frigate/events")]
    return [event for event in events if event["type"] == kind]


def test_what_was_written_for_frigate_finds_its_topics(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    config = settings(mosquitto.port, YARD, frigate_compat=True)
    with running(tmp_path, config) as daemon:
        wait_until(lambda: frigate_event(listener, "new"), 60)
        after = frigate_event(listener, "new")[0]["after"]
        wait_until(lambda: b"1" in said(listener, f"frigate/yard/{after['label']}"), 30)
        wait_until(lambda: b"1" in said(listener, f"frigate/room/{after['label']}"), 30)
        wait_until(lambda: said(listener, f"frigate/yard/{after['label']}/snapshot"), 30)
        assert said(listener, "frigate/available") == [b"online"]
        daemon.process.kill()
    with running(tmp_path, config) as daemon:
        wait_until(lambda: frigate_event(listener, "end"), 60)
        assert frigate_event(listener, "end")[0]["after"]["id"] == after["id"]
        listener.wait_for("yard/detections", 1, 60)
        assert daemon.terminate() == 0
        wait_until(lambda: said(listener, "frigate/available")[-1] == b"offline", 10)


def test_a_camera_that_stops_delivering_has_nobody_in_its_picture(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    once = {"yard": {"source": RECORDING, "fps": 30, **SCENE}}
    with running(tmp_path, settings(mosquitto.port, once)) as daemon:
        wait_new(listener)
        wait_until(lambda: listener.json("yard/status")[-1]["reason"] == "end of recording", 60)
        ended = {e["after"]["id"] for e in of_type(listener, "end")}
        begun = {e["after"]["id"] for e in of_type(listener, "new")}
        wait_until(lambda: begun <= {e["after"]["id"] for e in of_type(listener, "end")}, 30)
        wait_until(lambda: last(listener, "yard/zones/room/Person/count") == b"0", 30)
        assert ended <= begun
        assert isinstance(daemon, RunningDaemon)


def test_a_reload_switches_pictures_and_frigate_s_topics_on_and_off(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    plain = settings(mosquitto.port, YARD, snapshots={"enabled": False})
    with running(tmp_path, plain) as daemon:
        label = wait_new(listener)["after"]["label"]
        daemon.reload(settings(mosquitto.port, YARD, frigate_compat=True))
        wait_until(lambda: frigate_event(listener, "new"), 30)
        wait_until(lambda: said(listener, f"frigate/yard/{label.lower()}/snapshot"), 30)
        daemon.reload(plain)
        wait_until(lambda: frigate_event(listener, "end"), 30)
        wait_until(lambda: said(listener, f"frigate/yard/{label.lower()}/snapshot")[-1] == b"", 30)
        wait_until(lambda: said(listener, f"frigate/yard/{label.lower()}")[-1] == b"0", 30)
        begun = {each["after"]["id"] for each in frigate_event(listener, "new")}
        assert begun == {each["after"]["id"] for each in frigate_event(listener, "end")}


def test_another_device_ends_the_objects_under_the_old_name(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    with running(tmp_path, settings(mosquitto.port, YARD)) as daemon:
        wait_new(listener)
        daemon.reload({**settings(mosquitto.port, YARD), "device": "attic"})
        wait_until(
            lambda: [e for e in listener.json("attic/yard/events") if e["type"] == "new"], 30
        )
        old = {e["after"]["id"] for e in object_events(listener) if e["device"] == "porch"}
        ended = [e for e in of_type(listener, "end") if e["after"]["id"] in old]
        assert {e["device"] for e in ended} == {"porch"}
        assert {e["after"]["id"] for e in ended} == old


def test_cameras_that_are_taken_out_and_put_back_leave_no_fault_in_the_log(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    both = settings(mosquitto.port, {**YARD, "gate": {"source": RECORDING, "loop": True}})
    with running(tmp_path, both) as daemon:
        for _ in range(3):
            wait_until(lambda: b'"online"' in (last(listener, "gate/status") or b""), 30)
            seen = len(listener.json("gate/detections"))
            listener.wait_for("gate/detections", seen + 3, 30)
            daemon.reload(settings(mosquitto.port, YARD))
            wait_until(lambda: last(listener, "gate/status") == b"", 30)
            daemon.reload(both)
            wait_until(lambda: last(listener, "gate/status") != b"", 30)
        assert "Traceback" not in daemon.log
