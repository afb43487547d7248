"""SIGHUP: the configuration is read again while the service runs."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from brokers import Listener, Mosquitto, wait_until
from daemons import RECORDING, running, settings

YARD = {"yard": {"source": RECORDING, "loop": True}}


def came_online_once(listener: Listener) -> bool:
    return {each["status"] for each in listener.json("porch/status")} == {"online"}


def started(listener: Listener) -> None:
    listener.wait_status("porch/status", "online", 30)
    listener.wait_for("yard/detections", seconds=30)


def detections_since(listener: Listener, count: int) -> list[dict[str, Any]]:
    """Return what was detected in 5 frames from now on."""
    return listener.wait_for("yard/detections", count + 5)[count:]


def test_another_score_takes_effect_without_a_new_connection_or_camera(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    with running(tmp_path, settings(mosquitto.port, YARD)) as daemon:
        wait_until(lambda: any(m["detections"] for m in listener.json("yard/detections")), 30)
        daemon.reload(settings(mosquitto.port, YARD, detection={"min_score": 0.99}))
        wait_until(lambda: "configuration reloaded" in daemon.log)
        later = detections_since(listener, len(listener.messages("yard/detections")) + 1)
        assert not [message["detections"] for message in later if message["detections"]]
        frames = [message["frame"] for message in listener.json("yard/detections")]
        assert frames == sorted(frames)  # the camera was not begun again
        assert came_online_once(listener)
        assert daemon.log.count("connected to") == 1


def test_a_new_camera_begins_and_one_that_is_gone_leaves_no_status_behind(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    door = {"door": {"source": RECORDING, "loop": True}}
    with running(tmp_path, settings(mosquitto.port, YARD)) as daemon:
        started(listener)
        daemon.reload(settings(mosquitto.port, YARD | door))
        listener.wait_status("door/status", "online", 30)
        listener.wait_for("door/detections", seconds=30)
        daemon.reload(settings(mosquitto.port, door))
        wait_until(lambda: listener.messages("yard/status")[-1][1] == b"", 30)
        late = Listener(mosquitto.port)
        late.wait_status("door/status", "online")
        assert not late.messages("yard/status")
        late.close()
        assert came_online_once(listener)


def test_a_bad_configuration_changes_nothing_and_its_fault_is_published(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    config = settings(mosquitto.port, YARD)
    with running(tmp_path, config) as daemon:
        started(listener)
        daemon.reload({**config, "detection": {"min_score": 7, "labels": ["Unicorn"]}})
        wait_until(lambda: listener.json("porch/status")[-1]["problems"], 30)
        (problem,) = listener.json("porch/status")[-1]["problems"]
        assert problem.startswith("configuration not reloaded: config.yaml:")
        assert "detection.min_score" in problem
        assert problem in daemon.log
        detections_since(listener, len(listener.messages("yard/detections")))
        daemon.reload(config)
        wait_until(lambda: listener.json("porch/status")[-1]["problems"] == [], 30)
        assert came_online_once(listener)


def test_labels_that_the_model_lacks_are_refused_with_their_line(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    config = settings(mosquitto.port, YARD)
    with running(tmp_path, config) as daemon:
        started(listener)
        daemon.reload({**config, "detection": {"labels": ["Unicorn"]}})
        wait_until(lambda: listener.json("porch/status")[-1]["problems"], 30)
        (problem,) = listener.json("porch/status")[-1]["problems"]
        assert "config.yaml:" in problem
        assert "Unicorn" in problem


def test_another_prefix_says_good_bye_under_the_old_one(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    with running(tmp_path, settings(mosquitto.port, YARD)) as daemon:
        started(listener)
        daemon.reload({**settings(mosquitto.port, YARD), "device": "attic"})
        listener.wait_status("attic/status", "online", 30)
        listener.wait_status("attic/yard/status", "online", 30)
        last = listener.wait_status("porch/status", "offline", 30)
        assert last["reason"] == "configuration reloaded"
        # The connection under the new prefix delivers what the old one had no time for.
        wait_until(lambda: listener.messages("porch/yard/status")[-1][1] == b"", 30)
        *_, (_, last_status), _ = listener.messages("porch/yard/status")
        assert json.loads(last_status)["status"] == "offline"  # and nothing stays there for ever
        listener.wait_for("attic/yard/detections", seconds=30)


def test_another_model_engine_is_loaded_while_the_cameras_go_on(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    with running(tmp_path, settings(mosquitto.port, YARD)) as daemon:
        started(listener)
        daemon.reload({**settings(mosquitto.port, YARD), "backend": "numpy"})
        wait_until(lambda: listener.json("yard/detections")[-1]["backend"] == "numpy", 30)
        assert listener.json("porch/status")[-1]["backend"] == "numpy"
        assert {each["status"] for each in listener.json("yard/status")} <= {"offline", "online"}
        assert came_online_once(listener)


def test_a_second_service_on_a_state_folder_ends_with_75_and_says_what_to_do(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    config = settings(mosquitto.port, YARD) | {"state_folder": str(tmp_path / "state")}
    with running(first, config):
        started(listener)
        with running(second, config | {"device": "attic"}) as other:
            assert other.process.wait(30) == 75
            assert other.log.count("\n") == 1
            assert "another edgevision uses; stop that one, or set state_folder" in other.log
        assert came_online_once(listener)


def test_a_reload_does_not_pile_up_threads_or_files(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    def counts() -> tuple[int, int]:
        process = Path("/proc") / str(daemon.process.pid)
        return len([*(process / "fd").iterdir()]), len([*(process / "task").iterdir()])

    two = YARD | {"door": {"source": RECORDING, "loop": True}}
    with running(tmp_path, settings(mosquitto.port, YARD)) as daemon:
        started(listener)
        for turn in range(16):
            daemon.reload(
                settings(
                    mosquitto.port, two if turn % 2 else YARD, mqtt={"client_id": f"board-{turn}"}
                )
            )
            wait_until(lambda turn=turn: daemon.log.count("configuration reloaded") > turn, 30)
            if turn == 1:
                time.sleep(1)
                before = counts()
        listener.wait_for("yard/detections", len(listener.messages("yard/detections")) + 2)
        # 14 reloads later: one that is left behind at each would be seen.
        wait_until(lambda: all(a <= b + 4 for a, b in zip(counts(), before, strict=True)), 10)


def test_a_camera_that_is_read_differently_counts_from_the_beginning(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    turned = {"yard": {"source": RECORDING, "loop": True, "rotation": 90}}
    with running(tmp_path, settings(mosquitto.port, YARD)) as daemon:
        started(listener)
        daemon.reload(settings(mosquitto.port, turned))
        wait_until(lambda: listener.json("yard/detections")[-1]["frame_size"] == [480, 640], 30)
        daemon.terminate()
    listener.wait_status("porch/status", "offline")
    frames = listener.json("yard/metrics")[-1]["frames"]
    accounted = frames["inferred"] + frames["overwritten"] + frames["unusable"]
    assert frames["captured"] == accounted
    assert frames["captured"] < listener.json("yard/detections")[-1]["frame"] + 3


def test_another_connection_is_no_event_of_a_camera(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    with running(tmp_path, settings(mosquitto.port, YARD)) as daemon:
        started(listener)
        daemon.reload(settings(mosquitto.port, YARD, mqtt={"client_id": "another"}))
        wait_until(lambda: listener.json("porch/status")[-1]["status"] == "online", 30)
        detections_since(listener, len(listener.messages("yard/detections")))
        daemon.terminate()
    listener.wait_status("porch/status", "offline")
    events = [event["status"] for event in listener.json("yard/events")]
    assert events[-2:] == ["online", "offline"]
    assert events.count("offline") - events.count("online") in {0, 1}
