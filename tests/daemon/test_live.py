"""The daemon with live cameras, from the worker process to the broker."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
from brokers import Listener, Mosquitto, wait_until
from capture.cameras import MjpegCamera
from daemons import running, settings


def workers(daemon: int) -> list[psutil.Process]:
    return psutil.Process(daemon).children()


def test_a_live_camera_is_published_with_its_size_and_a_dead_one_with_its_fault(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    with MjpegCamera() as camera:
        cameras = {"yard": {"source": camera.url}, "door": {"source": "rtsp://127.0.0.1:1/x"}}
        with running(tmp_path, settings(mosquitto.port, cameras)) as daemon:
            online = listener.wait_status("yard/status", "online")
            wait_until(lambda: "nothing listens on this port" in daemon.log)
            assert online["frame_size"] == [64, 48]
            wait_until(
                lambda: any(m.get("fault") == "port_closed" for m in listener.json("status"))
            )
            wait_until(lambda: any(m["capture_fps"] > 1 for m in listener.json("yard/metrics")))
            dead = listener.json("door/metrics")
            assert dead
            assert {m["capture_fps"] for m in dead} == {0.0}
            assert daemon.terminate() == 0
        last = listener.json("yard/metrics")[-1]["frames"]
        counted = last["inferred"] + last["overwritten"] + last["unusable"]
        assert last["captured"] == counted


def test_a_daemon_that_is_killed_leaves_no_capture_process(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    with MjpegCamera() as camera:
        cameras = {"yard": {"source": camera.url}}
        with running(tmp_path, settings(mosquitto.port, cameras)) as daemon:
            listener.wait_status("yard/status", "online")
            (worker,) = workers(daemon.process.pid)
            os.kill(daemon.process.pid, signal.SIGKILL)
            daemon.process.wait(10)
            wait_until(lambda: not worker.is_running() or worker.status() == "zombie", 30)
