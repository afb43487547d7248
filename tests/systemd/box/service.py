"""The installed service in a box, with a broker."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import yaml
from brokers import Listener, wait_until

from edgevision.config.settings import DEMO_RECORDING

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from systemd.box.machine import Box

CONFIG = "/etc/edgevision/config.yaml"
PASSWORD_FILE = "/etc/edgevision/mqtt_password"
DROP_IN = "/run/systemd/system/edgevision.service.d/test.conf"
CHECKOUT = "/srv/edgevision"
WHEELS = "/srv/wheels"
RECORDING = "/srv/still-life.avi"
PROGRAM = "/opt/edgevision/venv/bin/python"
USER, PASSWORD, PORT = "edgevision", "correct-horse-battery", 1883
# No network is there, and the settings of this machine's pip are not the box's.
OFFLINE = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": WHEELS, "PIP_CONFIG_FILE": "/dev/null"}
INSTALL_S = 300

BROKER_UNIT = """
[Service]
Type=notify
ExecStart=/usr/sbin/mosquitto -c /srv/broker/mosquitto.conf
"""
BROKER_CONFIG = f"""
listener {PORT} 127.0.0.1
persistence false
allow_anonymous false
password_file /srv/broker/passwords
user root
"""


class Service:
    """What the tests do to the service, in systemd's terms."""

    def __init__(self, box: Box) -> None:
        """Look at a box; nothing is installed yet."""
        self.box = box
        self._since = ""

    @property
    def installed(self) -> bool:
        return self.box.run("test", "-e", PROGRAM, check=False).returncode == 0

    def install(
        self, *arguments: str, checkout: str = CHECKOUT, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        script = f"{checkout}/systemd/install.sh"
        settings = OFFLINE | environment
        return self.box.run(script, *arguments, check=False, seconds=INSTALL_S, **settings)

    def set_up(self) -> None:
        """Start clean: an empty broker, one camera, no settings of an earlier test."""
        self.systemctl("stop", "edgevision")
        self.drop_in("")
        self.start_broker()
        self.box.write(PASSWORD_FILE, PASSWORD + "\n", mode=0o600)
        self.configure()
        self.systemctl("reset-failed", check=False)
        self._since = self.box.run("journalctl", "--lines=0", "--show-cursor").stdout.split()[-1]

    def start_broker(self) -> None:
        box = self.box
        box.write("/run/systemd/system/broker.service", BROKER_UNIT)
        box.write("/srv/broker/mosquitto.conf", BROKER_CONFIG)
        box.run("mosquitto_passwd", "-b", "-c", "/srv/broker/passwords", USER, PASSWORD)
        self.systemctl("daemon-reload")
        self.systemctl("restart", "broker")

    def listen(self) -> Listener:
        """Return a second client of the broker."""
        with self.box.network():
            return Listener(PORT, username=USER, password=PASSWORD)

    def configure(self, **changes: Any) -> None:
        """Write a configuration; the service does not notice it by itself."""
        config: dict[str, Any] = {
            "device": "porch",
            "mqtt": {"username": USER, "reconnect_max_s": 1},
            "metrics": {"interval_s": 0.5, "window_s": 5},
            "runtime": {"threads": 1},
            "cameras": {"yard": {"source": RECORDING, "loop": True}},
        }
        self.box.write(CONFIG, yaml.safe_dump(config | changes))

    def drop_in(self, text: str) -> None:
        """Change settings of the unit, as `systemctl edit --runtime` does."""
        self.box.write(DROP_IN, f"[Service]\n{text}\n")
        self.systemctl("daemon-reload")

    def systemctl(self, *arguments: str, check: bool = True) -> int:
        return self.box.run("systemctl", *arguments, check=check, seconds=120).returncode

    def show(self, name: str) -> str:
        """Return a property of the unit."""
        return self.box.run("systemctl", "show", "--value", "-p", name, "edgevision").stdout.strip()

    @property
    def pid(self) -> int:
        """The service's process id inside the box."""
        return int(self.show("MainPID"))

    @property
    def restarts(self) -> int:
        """How often systemd has restarted it since it was started."""
        return int(self.show("NRestarts"))

    def journal(self) -> str:
        """Return its log and systemd's about it, since the test started."""
        self.box.run("journalctl", "--sync")
        command = [
            "journalctl",
            "--unit=edgevision",
            "--output=cat",
            f"--after-cursor={self._since}",
        ]
        return self.box.run(*command).stdout

    def wait_for_restart(self, before: int, seconds: float = 60) -> None:
        """Wait until systemd has restarted it and it is ready."""
        wait_until(lambda: self.restarts > before, seconds)
        wait_until(lambda: self.show("ActiveState") == "active", seconds)


class Probe:
    """A program that replaces the service, under all its restrictions."""

    RESULT = "/var/lib/edgevision/result.json"

    def __init__(self, service: Service) -> None:
        """Take the place of an installed service."""
        self._service = service

    def start(self, program: str, *, settings: str = "") -> None:
        """Run a Python program in place of the service, until it ends."""
        self._service.box.write("/opt/probe.py", program)
        self._service.drop_in(
            "ExecStart=\nExecStart=/usr/bin/python3 /opt/probe.py\n"
            f"Type=exec\nRestart=no\n{settings}"
        )
        self._service.systemctl("start", "edgevision")
        deadline_s = time.monotonic() + 60
        while self._service.show("ActiveState") in {"active", "activating", "deactivating"}:
            assert time.monotonic() < deadline_s, "the probe does not end"
            time.sleep(0.1)

    def run(self, program: str, *, settings: str = "") -> dict[str, Any]:
        """Run a program; return what it has written to `RESULT`."""
        self.start(program, settings=settings)
        assert self._service.show("Result") == "success", self._service.journal()
        result: dict[str, Any] = json.loads(self._service.box.run("cat", self.RESULT).stdout)
        return result


def put_files(box: Box, repository: Path, wheels: Path) -> None:
    """Put into a box what `git clone` and `pip` would: a checkout, packages; and a recording."""
    put_checkout(box, repository, CHECKOUT)
    box.copy(wheels, WHEELS)
    box.copy(DEMO_RECORDING, RECORDING)


def put_checkout(box: Box, repository: Path, path: str) -> None:
    for name in ("edgevision", "models", "systemd"):
        box.copy(repository / name, f"{path}/{name}")
    for name in ("config.yaml", "constraints.txt", "pyproject.toml", "README.md", "LICENSE"):
        box.copy(repository / name, f"{path}/{name}")
