"""The installed service: readiness, crashes, invalid configuration, password, shutdown."""

from __future__ import annotations

import time

from brokers import Listener, wait_until
from systemd.box.service import CONFIG, PASSWORD, Service

# A watchdog that bites soon, and no long waits before the next attempt.
IMPATIENT = "WatchdogSec=6\nRestartSec=1"


def test_systemctl_start_returns_when_the_service_is_ready(service: Service) -> None:
    service.systemctl("start", "edgevision")
    assert (service.show("ActiveState"), service.show("SubState")) == ("active", "running")


def test_status_says_in_words_how_cameras_and_broker_are(service: Service) -> None:
    service.systemctl("start", "edgevision")
    words = "1 of 1 cameras online, connected to 127.0.0.1:1883"
    wait_until(lambda: service.show("StatusText").startswith(words), 30)
    service.systemctl("stop", "broker")
    words = "1 of 1 cameras online, trying to reach 127.0.0.1:1883"
    wait_until(lambda: service.show("StatusText").startswith(words), 30)


def test_the_password_in_the_credential_opens_the_broker_and_is_seen_nowhere(
    service: Service, listener: Listener
) -> None:
    service.systemctl("start", "edgevision")
    listener.wait_for("yard/detections")
    box = service.box
    shown = box.run("systemctl", "show", "edgevision").stdout + service.journal()
    lines = box.run("sh", "-c", "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ", check=False).stdout
    assert "/opt/edgevision/venv/bin/edgevision" in lines
    assert PASSWORD not in shown + lines
    assert all(PASSWORD not in body.decode() for _, body in listener.messages())


def test_a_killed_service_is_back_after_restartsec(service: Service, listener: Listener) -> None:
    service.systemctl("start", "edgevision")
    listener.wait_status("porch/status", "online")
    service.box.run("kill", "-KILL", str(service.pid))
    service.wait_for_restart(before=0)
    wait_until(lambda: len(listener.json("porch/status")) >= 3, 30)
    said = listener.json("porch/status")
    assert [each["status"] for each in said] == ["online", "offline", "online"]
    assert said[1]["reason"] == "connection lost"
    assert service.restarts == 1


def test_a_service_that_stands_still_is_ended_by_the_watchdog_and_started_again(
    service: Service, listener: Listener
) -> None:
    service.drop_in(IMPATIENT)
    service.systemctl("start", "edgevision")
    listener.wait_status("porch/status", "online")
    service.box.run("kill", "-STOP", str(service.pid))
    service.wait_for_restart(before=0)
    assert "Watchdog timeout" in service.journal()
    wait_until(lambda: len(listener.json("porch/status")) >= 3, 30)
    assert listener.json("porch/status")[-1]["status"] == "online"


def test_bad_configuration_ends_with_status_78_and_is_not_tried_again(service: Service) -> None:
    service.box.write(CONFIG, "cameras: {yard: {source: 0, colour: true}}\n")
    service.drop_in("RestartSec=1")
    service.systemctl("start", "edgevision", check=False)
    wait_until(lambda: service.show("ActiveState") == "failed")
    time.sleep(3)
    assert service.show("ActiveState") == "failed"
    assert (service.show("ExecMainStatus"), service.restarts) == ("78", 0)
    assert "colour" in service.journal()


def test_a_configuration_that_is_not_there_is_not_tried_again_either(service: Service) -> None:
    service.box.run("rm", CONFIG)
    service.drop_in("RestartSec=1")
    service.systemctl("start", "edgevision", check=False)
    wait_until(lambda: service.show("ActiveState") == "failed")
    time.sleep(3)
    assert (service.show("ActiveState"), service.restarts) == ("failed", 0)


def test_a_configuration_that_the_service_may_not_read_is_not_tried_again_either(
    service: Service,
) -> None:
    service.box.run("chmod", "600", CONFIG)
    service.drop_in("RestartSec=1")
    service.systemctl("start", "edgevision", check=False)
    wait_until(lambda: service.show("ActiveState") == "failed")
    time.sleep(3)
    assert (service.show("ExecMainStatus"), service.restarts) == ("78", 0)
    assert "cannot be read (Permission denied)" in service.journal()


def test_a_missing_model_is_tried_again_for_ever(service: Service) -> None:
    service.configure(model="/srv/nothing")
    service.drop_in("RestartSec=1")
    service.systemctl("start", "edgevision", check=False)
    wait_until(lambda: service.restarts >= 6, 60)  # one more than systemd's usual limit
    assert "status=65" in service.journal()


def test_stop_publishes_offline_and_leaves_nothing_behind_within_2_s(
    service: Service, listener: Listener
) -> None:
    service.drop_in("TimeoutStopSec=2")  # later, systemd kills it, and the result is another
    service.systemctl("start", "edgevision")
    listener.wait_for("yard/detections")
    group = service.show("ControlGroup")
    service.systemctl("stop", "edgevision")
    assert (service.show("Result"), service.show("ExecMainStatus")) == ("success", "0")
    assert listener.wait_status("porch/status", "offline")["reason"] == "stopped"
    assert listener.wait_status("yard/status", "offline")
    found = service.box.run("find", "/sys/fs/cgroup", "-path", f"*{group}/cgroup.procs").stdout
    assert found == ""
