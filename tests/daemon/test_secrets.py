"""Passwords in a real run: in no log, no message, no printed configuration, no process list."""

from __future__ import annotations

import contextlib
import json
import re
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import yaml
from brokers import Listener, Mosquitto, wait_until
from capture.cameras import Behaviour, MjpegCamera
from certificates import Authority
from daemons import RunningDaemon, run_command, running, settings

if TYPE_CHECKING:
    from pathlib import Path

BROKER, CAMERA, TOKEN = "zq-broker-secret", "zq/camera@secret", "zq-token-secret"
# As they stand, and as they stand in a URL.
SECRETS = (BROKER, CAMERA, "zq%2Fcamera%40secret", TOKEN, "zq")


def url(camera: MjpegCamera, *, path: str = "video.mjpg") -> str:
    return f"http://admin:zq%2Fcamera%40secret@{camera.address}/{path}"


def command_lines(daemon: RunningDaemon) -> str:
    """Return the command lines of the daemon and of all processes below it."""
    found = []
    process = psutil.Process(daemon.process.pid)
    for each in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            found += each.cmdline()
    return "\n".join(found)


def refused(daemon: RunningDaemon, camera: str) -> bool:
    return re.search(rf"camera {camera}: offline: (?!starting)", daemon.log) is not None


def assert_clean(*texts: str) -> None:
    for text in texts:
        assert text
        for secret in SECRETS:
            assert secret not in text


def test_no_password_shows_while_everything_works(mosquitto: Mosquitto, tmp_path: Path) -> None:
    mosquitto.stop()
    mosquitto.require_password("board", BROKER)
    mosquitto.start()
    (tmp_path / "password").write_text(BROKER, encoding="utf-8")
    listener = Listener(mosquitto.port, username="board", password=BROKER)
    login = Behaviour(login=f"admin:{CAMERA}")
    with MjpegCamera(login) as camera:
        config = settings(
            mosquitto.port,
            {"yard": {"source": url(camera)}},
            mqtt={"username": "board", "password_file": "password"},
            log_level="debug",
        )
        with running(tmp_path, config) as daemon:
            listener.wait_status("yard/status", "online", 30)
            listener.wait_for("yard/detections", 2, 30)
            listener.wait_for("yard/metrics")
            processes = command_lines(daemon)
            assert daemon.terminate() == 0
    listener.wait_status("porch/status", "offline")
    listener.close()
    messages = "\n".join(f"{topic} {payload!r}" for topic, payload in listener.messages())
    assert f"http://***@{camera.address}/video.mjpg" in messages
    assert_clean(daemon.log, messages, processes)


@pytest.mark.parametrize("given", ["config", "environment", "credential"])
def test_no_password_shows_while_broker_and_cameras_refuse(
    mosquitto: Mosquitto, tmp_path: Path, given: str
) -> None:
    mosquitto.stop()
    mosquitto.require_password("board", "another")
    mosquitto.start()
    listener = Listener(mosquitto.port, username="board", password="another")
    (tmp_path / "mqtt_password").write_text(BROKER, encoding="utf-8")
    environment = {
        "config": {},
        "environment": {"EDGEVISION_MQTT__PASSWORD": BROKER},
        "credential": {"CREDENTIALS_DIRECTORY": str(tmp_path)},
    }[given]
    own: dict[str, Any] = {"password": BROKER} if given == "config" else {}
    with MjpegCamera(Behaviour(login="admin:another")) as camera:
        cameras = {
            "login": {"source": url(camera)},
            "path": {"source": url(camera, path=f"absent?token={TOKEN}")},
            "nobody": {"source": f"rtsp://admin:zq%2Fcamera%40secret@127.0.0.1:1/a?key={TOKEN}"},
            "odd": {"source": f"rtsp://127.0.0.1:1/user=admin&password={TOKEN}&channel=1"},
        }
        mqtt = {"username": "board", **own}
        config = settings(mosquitto.port, cameras, mqtt=mqtt, log_level="debug")
        with running(tmp_path, config, **environment) as daemon:
            wait_until(lambda: "check mqtt.username and the password" in daemon.log, 30)
            wait_until(lambda: all(refused(daemon, name) for name in cameras), 60)
            processes = command_lines(daemon)
            mosquitto.stop()
            mosquitto.settings = ["allow_anonymous true"]  # now all is told
            mosquitto.start()
            listener.wait_status("odd/status", "offline", 30)
            assert daemon.terminate() == 0
    listener.close()
    messages = "\n".join(f"{topic} {payload!r}" for topic, payload in listener.messages())
    assert_clean(daemon.log, messages, processes)


def test_no_password_shows_in_what_check_config_prints(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    own = authority.issue("board", "board.lan")
    tls = {"ca_file": "ca.pem", "cert_file": "board.pem", "key_file": "board.key"}
    source = f"rtsp://admin:zq%2Fcamera%40secret@camera.lan/a?token={TOKEN}"
    config = settings(1, {"yard": {"source": source}})
    config["mqtt"] = {"host": "b.lan", "username": "u", "password": BROKER, "tls": tls}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    key = own.key.read_text(encoding="ascii").splitlines()[1]
    for arguments in (["check-config", str(path)], ["check-config", str(path), "--json"]):
        done = run_command(*arguments)
        assert done.returncode == 0
        assert_clean(done.stdout)
        assert key not in done.stdout + done.stderr
    assert json.loads(done.stdout)["config"]["mqtt"]["password"] == "**********"


@pytest.mark.parametrize(
    "spoilt",
    [
        {"mqtt": {"password": [BROKER]}},
        {"mqtt": {"password": BROKER, "port": "x"}},
        {"mqtt": {"host": f"mqtt://u:{BROKER}@b"}},
        {"cameras": {"yard": {"source": f"rtps://u:{CAMERA}@camera/{TOKEN}", "fps": "x"}}},
        {"cameras": {"yard": f"rtsp://u:{CAMERA}@camera/?a={TOKEN}"}},
        {"cameras": {"yard": {"source": f"rtsp://u:{CAMERA}@camera/", "width": 5}}},
    ],
)
def test_no_password_shows_in_a_fault_of_the_configuration(
    tmp_path: Path, spoilt: dict[str, Any]
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(settings(1) | spoilt), encoding="utf-8")
    for arguments in (
        ["check-config", str(path)],
        ["check-config", str(path), "--json"],
        ["run", "--config", str(path)],
        ["watch", "--config", str(path), "--seconds", "1"],
    ):
        done = run_command(*arguments)
        assert done.returncode == 78
        assert_clean(done.stdout + done.stderr)


def test_no_password_shows_in_a_schema() -> None:
    done = run_command("schema", "config", EDGEVISION_MQTT__PASSWORD=BROKER)
    assert done.returncode == 0
    assert_clean(done.stdout)
