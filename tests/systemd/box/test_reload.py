"""`systemctl reload edgevision`, and a second daemon."""

from __future__ import annotations

from brokers import Listener, wait_until
from systemd.box.service import CONFIG, RECORDING, Service

YARD = {"source": RECORDING, "loop": True}


def test_reload_starts_a_new_camera_and_keeps_process_and_connection(
    service: Service, listener: Listener
) -> None:
    service.systemctl("start", "edgevision")
    listener.wait_status("porch/status", "online")
    listener.wait_for("yard/detections")
    pid = service.pid
    service.configure(cameras={"yard": YARD, "door": YARD}, detection={"min_score": 0.5})
    service.systemctl("reload", "edgevision")
    listener.wait_status("door/status", "online", 30)
    listener.wait_for("door/detections", seconds=30)
    assert (service.pid, service.restarts) == (pid, 0)
    assert "offline" not in {each["status"] for each in listener.json("porch/status")}
    scores = [
        found["score"]
        for message in listener.json("door/detections")
        for found in message["detections"]
    ]
    assert all(score >= 0.5 for score in scores)


def test_reload_of_a_bad_configuration_keeps_the_old_one_and_says_so(
    service: Service, listener: Listener
) -> None:
    service.systemctl("start", "edgevision")
    listener.wait_status("porch/status", "online")
    listener.wait_for("yard/detections")
    pid = service.pid
    service.box.write(CONFIG, "cameras: {yard: {source: 0, colour: true}}\n")
    service.systemctl("reload", "edgevision")
    wait_until(lambda: "colour" in service.journal(), 30)
    assert (service.show("ActiveState"), service.pid, service.restarts) == ("active", pid, 0)
    wait_until(lambda: "colour" in str(listener.json("porch/status")[-1].get("problems")), 30)
    sent = len(listener.messages("yard/detections"))
    wait_until(lambda: len(listener.messages("yard/detections")) > sent, 30)
    # And when it is mended, the problem goes.
    service.configure()
    service.systemctl("reload", "edgevision")
    wait_until(lambda: not listener.json("porch/status")[-1].get("problems"), 30)
    assert service.pid == pid


def test_a_second_daemon_on_the_same_state_folder_is_refused_in_one_line(
    service: Service, listener: Listener
) -> None:
    service.systemctl("start", "edgevision")
    listener.wait_status("porch/status", "online")
    listener.wait_for("yard/detections")
    command = ["timeout", "15", "edgevision", "run", "--config", CONFIG]
    done = service.box.run(*command, check=False, STATE_DIRECTORY="/var/lib/edgevision")
    assert done.returncode == 75, done.stderr
    assert done.stderr.startswith("edgevision: ")
    assert done.stderr.count("\n") == 1
    assert service.show("ActiveState") == "active"
