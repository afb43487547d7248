"""`edgevision run` as a real process, under a configuration that a test writes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import yaml

from edgevision.config.settings import DEMO_RECORDING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RECORDING = str(DEMO_RECORDING)


def settings(port: int, cameras: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "device": "porch",
        "mqtt": {"port": port, "reconnect_max_s": 1, **more.pop("mqtt", {})},
        "metrics": {"interval_s": 0.5, "window_s": 5},
        "runtime": {"threads": 1},
        "cameras": cameras or {"yard": {"source": RECORDING, "loop": True}},
        **more,
    }


class RunningDaemon:
    def __init__(self, folder: Path, config: dict[str, Any], **environment: str) -> None:
        self.path = folder / "config.yaml"
        self.configure(config)
        self._log = folder / "daemon.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "edgevision", "run", "--config", str(self.path)],
                stdout=log,
                stderr=log,
                env=os.environ | environment,
            )

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def configure(self, config: dict[str, Any]) -> None:
        config = {"state_folder": str(self.path.parent / "state"), **config}
        self.path.write_text(yaml.safe_dump(config), encoding="utf-8")

    def reload(self, config: dict[str, Any]) -> None:
        self.configure(config)
        self.process.send_signal(signal.SIGHUP)

    def terminate(self, seconds: float = 5.0) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)


@contextmanager
def running(folder: Path, config: dict[str, Any], **environment: str) -> Iterator[RunningDaemon]:
    daemon = RunningDaemon(folder, config, **environment)
    try:
        yield daemon
    finally:
        if daemon.process.poll() is None:
            daemon.process.kill()
        daemon.process.wait(10)


def run_command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `edgevision …` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "edgevision", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | environment,
    )
