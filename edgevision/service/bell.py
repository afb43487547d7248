"""What wakes the main thread."""

from __future__ import annotations

import contextlib
import select
import socket


class Bell:
    """Rung by any thread, and by signal handlers, which must not touch a lock."""

    def __init__(self) -> None:
        """Begin silent."""
        self._heard, self._rung = socket.socketpair()
        self._heard.settimeout(0)
        self._rung.settimeout(0)

    def ring(self) -> None:
        """End the present `wait`, or the next one."""
        with contextlib.suppress(OSError):  # rung often enough, or closed
            self._rung.send(b"\0")

    def wait(self, timeout_s: float) -> None:
        """Wait until it is rung, at most this long."""
        select.select([self._heard], [], [], timeout_s)
        with contextlib.suppress(BlockingIOError):
            self._heard.recv(65536)

    def close(self) -> None:
        """Give the sockets back; nobody may ring any more."""
        self._heard.close()
        self._rung.close()
