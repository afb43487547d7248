"""Telling systemd how the service is (sd_notify(3)); without systemd nothing happens."""

from __future__ import annotations

import os
import socket


class SystemdNotifier:
    """Sends state to the socket that systemd names in the environment."""

    def __init__(self) -> None:
        """Find the socket and the watchdog's time."""
        self._address = os.environ.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):  # abstract socket namespace
            self._address = "\0" + self._address[1:]
        pid = os.environ.get("WATCHDOG_PID", str(os.getpid()))
        usec = os.environ.get("WATCHDOG_USEC", "") if pid == str(os.getpid()) else ""
        self.watchdog_s: float | None = int(usec) / 1e6 if usec.isdigit() else None

    def ready(self) -> None:
        """Say that start-up is finished."""
        self._send("READY=1")

    def stopping(self) -> None:
        """Say that the service is ending."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Reset the watchdog."""
        self._send("WATCHDOG=1")

    def status(self, words: str) -> None:
        """Set the line that `systemctl status` shows."""
        self._send(f"STATUS={words}")

    def _send(self, state: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify:
            try:
                notify.sendto(state.encode(), self._address)
            except OSError:  # systemd is gone or restarting; the watchdog would tell
                return
