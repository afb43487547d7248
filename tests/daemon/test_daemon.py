from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

import jsonschema
import pytest
from brokers import Listener, Mosquitto, wait_until
from daemons import RECORDING, running, settings

from edgevision.config.settings import DEFAULT_MODEL, bundled
from edgevision.mqtt.contract import schema

if TYPE_CHECKING:
    from pathlib import Path


def _wait_for_end(listener: Listener) -> None:
    """Wait until the camera has played its recording; `offline` alone is also its beginning."""
    wait_until(
        lambda: any(m["reason"] == "end of recording" for m in listener.json("yard/status")), 60
    )


def types(listener: Listener, camera: str) -> set[str]:
    return {message["type"] for message in listener.json(f"{camera}/events")}


def test_every_message_of_a_run_is_valid_under_the_contract(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    scene = {
        "zones": {"all": {"polygon": [[0, 0], [1, 0], [1, 1], [0, 1]], "loiter_after_s": 1}},
        "lines": {"middle": {"points": [[0.5, 0], [0.5, 1]]}},
    }
    cameras = {
        "yard": {"source": RECORDING, "loop": True, **scene},
        "gone": {"source": "/dev/video99"},
    }
    with running(tmp_path, settings(mosquitto.port, cameras)) as daemon:
        wait_until(lambda: {"new", "loitering"} <= types(listener, "yard"), 60)
        listener.wait_for("porch/metrics", 2)
        listener.wait_for("yard/metrics", 2)
        assert daemon.terminate() == 0
        listener.wait_status("porch/status", "offline")
    document = schema()
    kinds = {
        "edgevision/porch/status": "StatusMessage",
        "edgevision/porch/metrics": "BoardMetricsMessage",
        "/detections": "DetectionsMessage",
        "/status": "CameraStatusMessage",
        "/metrics": "CameraMetricsMessage",
        "/lines/middle/count": "LineCountMessage",
    }
    events = {
        "status": "CameraEventMessage",
        "new": "ObjectEventMessage",
        "update": "ObjectEventMessage",
        "end": "ObjectEventMessage",
        "zone": "ZoneEventMessage",
        "loitering": "LoiteringEventMessage",
        "line": "LineEventMessage",
    }
    seen = set()
    for topic, payload in listener.messages():
        if topic.endswith("/snapshot"):
            assert payload.startswith(b"\xff\xd8")
            seen.add("snapshot")
        elif topic.endswith("/count") and "/lines/" not in topic:
            assert int(payload) >= 0
            seen.add("count")
        elif topic.endswith("/config"):
            assert json.loads(payload)["cmps"]
            seen.add("config")
        else:
            message = json.loads(payload)
            of_type = events.get(message.get("type", ""), "") if topic.endswith("/events") else ""
            name = of_type or next(kind for end, kind in kinds.items() if topic.endswith(end))
            jsonschema.validate(message, document | {"$ref": f"#/$defs/{name}"})
            seen.add(message["type"] if of_type else name)
    everything = {*kinds.values(), "status", "new", "end", "zone", "loitering", "config"}
    assert seen >= everything | {"count", "snapshot"}


def test_the_recording_gives_the_objects_that_are_in_it(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    cameras = {"yard": {"source": RECORDING, "fps": 50}}
    with running(tmp_path, settings(mosquitto.port, cameras)):
        _wait_for_end(listener)
    labels = [found["label"] for m in listener.json("yard/detections") for found in m["detections"]]
    assert {"Cat", "Person", "Coffee cup"} <= set(labels)


def test_a_daemon_on_numpy_says_so_in_its_status_and_in_every_message(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    with running(tmp_path, settings(mosquitto.port, backend="numpy")) as daemon:
        messages = listener.wait_for("yard/detections", 3)
        assert daemon.terminate() == 0
    assert {message["backend"] for message in messages} == {"numpy"}
    assert listener.json("porch/status")[0]["backend"] == "numpy"


def test_frames_skipped_or_not_all_are_accounted_for(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    cameras = {"yard": {"source": RECORDING, "fps": 500}}
    with running(tmp_path, settings(mosquitto.port, cameras)):
        _wait_for_end(listener)
        count = len(listener.json("yard/metrics"))
        frames = listener.wait_for("yard/metrics", count + 3)[-1]["frames"]
    assert frames["captured"] == 160
    assert frames["inferred"] + frames["overwritten"] == 160
    assert frames["published"] == len(listener.json("yard/detections")) == frames["inferred"]
    numbers = [message["frame"] for message in listener.json("yard/detections")]
    assert numbers == sorted(set(numbers))


def test_status_is_retained_at_qos_1_and_detections_are_neither(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    with running(tmp_path, settings(mosquitto.port)):
        listener.wait_status("yard/status", "online")
        listener.wait_for("yard/detections")
        late = Listener(mosquitto.port)
        wait_until(lambda: late.messages("porch/status") and late.messages("yard/status"))
        assert late.flags("porch/status") == [(True, 1)]
        assert late.flags("yard/status")[0] == (True, 1)
        late.close()
    assert set(listener.flags("yard/detections")) == {(False, 0)}


def test_sigterm_publishes_offline_and_ends_with_status_0(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    with running(tmp_path, settings(mosquitto.port)) as daemon:
        listener.wait_for("yard/detections")
        assert daemon.terminate(2.0) == 0
        assert listener.wait_status("porch/status", "offline")["reason"] == "stopped"
    assert listener.json("yard/status")[-1]["status"] == "offline"


def test_sigkill_lets_the_broker_publish_the_last_will(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    with running(tmp_path, settings(mosquitto.port)) as daemon:
        listener.wait_for("yard/detections")
        daemon.process.kill()
        last = listener.wait_status("porch/status", "offline")
    assert last["reason"] == "connection lost"


def test_a_broker_that_is_down_at_the_start_is_waited_for(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    mosquitto.stop()
    with running(tmp_path, settings(mosquitto.port)) as daemon:
        wait_until(lambda: "cannot be reached" in daemon.log, 15)
        mosquitto.start()
        late = Listener(mosquitto.port)
        late.wait_status("porch/status", "online")
        late.wait_for("yard/detections")
        late.close()


def test_after_a_broker_restart_all_states_are_there_again(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    with running(tmp_path, settings(mosquitto.port)):
        listener.wait_for("yard/detections")
        mosquitto.stop()
        mosquitto.start()  # without persistence: what was retained is gone
        late = Listener(mosquitto.port)
        late.wait_status("porch/status", "online", 20)
        late.wait_status("yard/status", "online")
        metrics = late.wait_for("porch/metrics")[-1]
        assert metrics["mqtt_reconnects"] == 1
        late.wait_for("yard/detections")
        late.close()


def test_a_refused_password_is_logged_without_it_and_the_service_goes_on(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    mosquitto.stop()
    mosquitto.require_password("board", "right")
    mosquitto.start()
    config = settings(mosquitto.port, mqtt={"username": "board"})
    with running(tmp_path, config, EDGEVISION_MQTT__PASSWORD="wr0ng-word") as daemon:
        wait_until(lambda: "check mqtt.username and the password" in daemon.log, 15)
        assert daemon.process.poll() is None
        assert "wr0ng-word" not in daemon.log
        assert daemon.terminate() == 0


def test_what_a_camera_did_while_the_broker_was_away_is_told_afterwards_in_order(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    mosquitto.stop()
    cameras = {"yard": {"source": "later.avi"}}
    with running(tmp_path, settings(mosquitto.port, cameras)) as daemon:
        wait_until(lambda: re.search("camera yard: .*cannot be", daemon.log), 20)
        shutil.copy(RECORDING, tmp_path / "later.avi")
        wait_until(lambda: "camera yard: online" in daemon.log, 20)
        daemon.terminate()
    mosquitto.start()
    late = Listener(mosquitto.port)
    with running(
        tmp_path, settings(mosquitto.port, {"yard": {**cameras["yard"], "enabled": False}})
    ):
        events = late.wait_for("yard/events", 3)
    late.close()
    assert [event["status"] for event in events] == ["offline", "online", "offline"]
    assert [event.get("previous_status") for event in events] == [None, "offline", "online"]
    assert "cannot be" in events[0]["reason"] or events[0]["reason"] == "starting"
    assert all(event["delayed"] for event in events)
    assert [event["id"] for event in events] == sorted({event["id"] for event in events})


def test_events_that_sigkill_left_in_the_outbox_come_with_the_next_run(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    cameras = {"yard": {"source": RECORDING, "loop": True}}
    with running(tmp_path, settings(1, cameras)) as daemon:  # nobody listens there
        wait_until(lambda: "camera yard: online" in daemon.log, 20)
        time.sleep(0.5)
        daemon.process.kill()
        daemon.process.wait(10)
    with running(tmp_path, settings(mosquitto.port, cameras)):
        wait_until(
            lambda: [e["status"] for e in listener.json("yard/events")].count("online") == 2, 20
        )
    events = listener.json("yard/events")
    ids = [event["id"] for event in events]
    assert ids == sorted(set(ids))
    first_run = [event for event in events if event["id"].split("-")[0] == ids[0].split("-")[0]]
    assert first_run[-1]["status"] == "online"
    assert all(event["delayed"] for event in first_run)
    assert len(first_run) < len(events)


def test_sigterm_leaves_everything_in_the_outbox_when_there_is_no_broker(tmp_path: Path) -> None:
    with running(tmp_path, settings(1)) as daemon:
        wait_until(lambda: "camera yard: online" in daemon.log, 20)
        assert daemon.terminate(3.0) == 0
    with closing(sqlite3.connect(tmp_path / "state" / "outbox.sqlite")) as db:
        rows = db.execute("SELECT topic, payload FROM message ORDER BY id").fetchall()
    events = [json.loads(body) for topic, body in rows if topic.endswith("/events")]
    assert [event["status"] for event in events][-2:] == ["online", "offline"]


def test_sigterm_ends_the_daemon_while_the_broker_stalls_and_loses_no_event(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    config = settings(mosquitto.port)
    with running(tmp_path, config) as daemon:
        listener.wait_for("yard/events")
        listener.wait_for("yard/detections")
        mosquitto.process.send_signal(signal.SIGSTOP)
        try:
            assert daemon.terminate(3.0) == 0
        finally:
            mosquitto.process.send_signal(signal.SIGCONT)
    with running(tmp_path, config):
        wait_until(lambda: "offline" in [e["status"] for e in listener.json("yard/events")])


def test_an_outbox_in_memory_is_a_problem_in_the_status_and_in_the_metrics(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with running(tmp_path, settings(mosquitto.port, state_folder=str(tmp_path / "file" / "x"))):
        status = listener.wait_for("porch/status")[-1]
        metrics = listener.wait_for("porch/metrics")[-1]
        listener.wait_for("yard/events")
    assert "outbox is kept in memory" in status["problems"][0]
    assert metrics["outbox_storage"] == "memory"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.avi", b"", "expected a video file, got an empty file"),
        ("text.mp4", b"no video" * 99, "expected a video that FFmpeg can read"),
        ("absent.mp4", None, "cannot be read (No such file or directory)"),
    ],
)
def test_a_source_that_cannot_be_read_is_published_with_the_reason(
    mosquitto: Mosquitto,
    listener: Listener,
    tmp_path: Path,
    name: str,
    content: bytes | None,
    reason: str,
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with running(tmp_path, settings(mosquitto.port, {"yard": {"source": name}})) as daemon:
        wait_until(lambda: any(reason in m["reason"] for m in listener.json("yard/status")))
        assert listener.json("yard/status")[-1]["status"] == "offline"
        assert daemon.process.poll() is None


def test_a_camera_that_appears_later_goes_online(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    cameras = {"yard": {"source": "later.avi", "loop": True}}
    with running(tmp_path, settings(mosquitto.port, cameras)):
        listener.wait_status("yard/status", "offline")
        shutil.copy(RECORDING, tmp_path / "later.avi")
        listener.wait_status("yard/status", "online")
        listener.wait_for("yard/detections")
        assert listener.wait_for("yard/metrics", 3)[-1]["reconnects"] >= 1


def test_a_disabled_camera_says_so_and_the_other_one_works(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    cameras = {
        "yard": {"source": RECORDING, "loop": True},
        "door": {"source": RECORDING, "enabled": False},
    }
    with running(tmp_path, settings(mosquitto.port, cameras)):
        listener.wait_for("yard/detections")
        assert listener.wait_for("door/status")[-1]["status"] == "disabled"


def test_two_cameras_are_served_in_turn(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    cameras = {name: {"source": RECORDING, "fps": 1000, "loop": True} for name in ("yard", "door")}
    with running(tmp_path, settings(mosquitto.port, cameras)):
        listener.wait_for("yard/detections", 40)
        listener.wait_for("door/detections", 40)
    counts = [len(listener.messages(f"{name}/detections")) for name in ("yard", "door")]
    assert 0.5 < counts[0] / counts[1] < 2


def test_the_password_in_a_stream_address_is_neither_published_nor_logged(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    cameras = {"yard": {"source": "rtsp://me:s3cr3t-word@127.0.0.1:9/x"}}
    with running(tmp_path, settings(mosquitto.port, cameras)) as daemon:
        status = listener.wait_status("yard/status", "offline", 30)
        wait_until(lambda: "nothing listens on this port" in daemon.log, 30)
        daemon.terminate()
    assert status["source"] == "rtsp://***@127.0.0.1:9/x"
    assert "s3cr3t-word" not in daemon.log + str(listener.messages())


def test_a_bad_configuration_ends_with_78_and_one_line_a_fault(tmp_path: Path) -> None:
    with running(tmp_path, {"device": "Big", "cameras": {}, "colour": 1}) as daemon:
        assert daemon.process.wait(20) == 78
    assert "Traceback" not in daemon.log
    assert len(daemon.log.splitlines()) == 3


def test_an_unknown_label_is_a_configuration_fault(tmp_path: Path) -> None:
    with running(tmp_path, settings(1, detection={"labels": ["Dragon"]})) as daemon:
        assert daemon.process.wait(20) == 78
    assert "expected labels of ssd_mobilenet_v2_oid" in daemon.log


def test_a_tampered_model_ends_with_65_and_says_which_file(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(bundled(DEFAULT_MODEL), folder)
    graph = folder / "int8.onnx"
    content = bytearray(graph.read_bytes())
    content[len(content) // 2] ^= 1
    graph.write_bytes(content)
    with running(tmp_path, settings(1, model=str(folder))) as daemon:
        assert daemon.process.wait(20) == 65
    assert "int8.onnx: expected" in daemon.log
    assert "Traceback" not in daemon.log


def test_systemd_is_told_ready_after_the_first_inference_and_stopping_at_the_end(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "notify"))
        server.settimeout(20)
        config = settings(mosquitto.port)
        with running(tmp_path, config, NOTIFY_SOCKET=str(tmp_path / "notify")) as daemon:
            assert server.recv(1024) == b"READY=1"
            received = [server.recv(1024) for _ in range(8)]
            assert b"WATCHDOG=1" in received
            assert any(state.startswith(b"STATUS=1 of 1 cameras online") for state in received)
            daemon.terminate()
            while server.recv(1024) != b"STOPPING=1":
                pass
