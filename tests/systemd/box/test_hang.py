"""A thread that hangs ends in a restart by systemd."""

from __future__ import annotations

import pytest
from brokers import Listener, wait_until
from systemd.box.service import CONFIG, PROGRAM, Service

# Starts the real program; one method of it hangs for ever once /run/hang names the process.
LAUNCHER = """
import importlib, os, threading
from edgevision.__main__ import main

module, owner, name = os.environ["HANG"].rsplit(".", 2)
kind = getattr(importlib.import_module(module), owner)
original = getattr(kind, name)

def hanging(*arguments, **more):
    try:
        hang = open("/run/hang").read() == str(os.getpid())
    except FileNotFoundError:
        hang = False
    if hang:
        threading.Event().wait()
    return original(*arguments, **more)

setattr(kind, name, hanging)
main()
"""

PIPELINE = "edgevision.pipeline.camera_pipeline.CameraPipeline"


def statuses(listener: Listener) -> list[str]:
    return [each["status"] for each in listener.json("porch/status")]


@pytest.mark.parametrize(
    "method",
    [
        pytest.param(f"{PIPELINE}.detect", id="inference thread"),
        pytest.param(f"{PIPELINE}.follow", id="postprocess thread"),
        pytest.param("edgevision.daemon.watchdog.SystemdNotifier.status", id="main loop"),
        pytest.param("edgevision.mqtt.publisher.Publisher.turn", id="publisher thread"),
    ],
)
def test_a_hung_thread_ends_in_a_restart_by_systemd(
    service: Service, listener: Listener, method: str
) -> None:
    service.box.write("/opt/launch.py", LAUNCHER)
    service.drop_in(
        f"ExecStart=\nExecStart={PROGRAM} /opt/launch.py run --config {CONFIG}\n"
        f"Environment=HANG={method}\nWatchdogSec=6\nRestartSec=1"
    )
    service.systemctl("start", "edgevision")
    listener.wait_status("porch/status", "online")
    listener.wait_for("yard/detections")
    before, pid = len(listener.json("porch/status")), service.pid
    service.box.write("/run/hang", str(pid))
    # The outbox has half a minute for a slow disk before it counts as hung.
    service.wait_for_restart(before=0, seconds=120)
    assert service.restarts == 1
    assert service.pid != pid
    journal = service.journal()
    assert "Watchdog timeout" in journal
    assert "in hanging" in journal  # every thread's stack tells where it hung
    # Unless it is the main loop that hangs, it says so itself first, still online.
    wait_until(lambda: statuses(listener)[before:][-2:] == ["offline", "online"], 30)
    assert statuses(listener)[before:].count("offline") == 1
    sent = len(listener.messages("yard/detections"))
    wait_until(lambda: len(listener.messages("yard/detections")) > sent, 30)
