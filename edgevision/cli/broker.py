"""An MQTT broker on loopback and a daemon process, for the demo and the benchmark."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from edgevision.errors import BrokerError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator

STOP_S = 5.0

# rumqttd, the broker inside iotcore, takes its listeners from a file; without one it would
# listen on all addresses.
_SETTINGS = """
id = 0
[router]
id = 0
max_connections = 16
max_outgoing_packet_count = 200
max_segment_size = 1048576
max_segment_count = 10
[v5.1]
name = "loopback"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1
[v5.1.connections]
connection_timeout_ms = 5000
max_payload_size = 1048576
max_inflight_count = 100
dynamic_filters = true
"""


@contextmanager
def loopback_broker(command: str) -> Iterator[int]:
    """Run a broker on 127.0.0.1 while the context lasts; yield its port.

    Raises:
        MissingExtraError: the broker is not installed; names the command that needs it.
        BrokerError: it did not start.
    """
    if find_spec("iotcore") is None:
        raise MissingExtraError(command=command, extra="demo", missing="iotcore")
    from iotcore.broker import Broker  # noqa: PLC0415 - only there with the extra

    with tempfile.TemporaryDirectory(prefix="edgevision-broker-") as folder:
        port = _free_port()
        settings = Path(folder) / "broker.toml"
        settings.write_text(_SETTINGS.format(port=port), encoding="utf-8")
        try:
            broker = Broker(config_path=str(settings)).start()
        except (OSError, RuntimeError) as error:
            msg = f"the embedded broker did not start on 127.0.0.1:{port}: {error}"
            raise BrokerError(msg) from error
        try:
            yield port
        finally:
            broker.stop()


class DaemonProcess:
    """`edgevision run` as a separate process, with a configuration made for it."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        """Write the configuration into `folder` and start the daemon; the log goes there too.

        It does not inherit settings from the environment: they are meant for the real service.
        """
        path = folder / "config.yaml"
        config = {**config, "state_folder": str(folder / "state")}
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        self._log = folder / "daemon.log"
        environment = {k: v for k, v in os.environ.items() if not k.startswith("EDGEVISION_")}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "edgevision", "run", "--config", str(path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
            )

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Return whether the process has not ended."""
        return self._process.poll() is None

    def stop(self) -> int:
        """Terminate the process, kill it after `STOP_S`, and return its exit status."""
        if self.running:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait(STOP_S)

    def last_log_line(self) -> str:
        """Return the last line of the log."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "nothing was logged"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
