"""Whether every part of the service makes progress, and reporting it to systemd.

A process that is alive proves nothing: systemd's watchdog is reset only while every part has
made progress lately, or is known to be unable to and keeps trying.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgevision.clock import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgevision.pipeline.cameras import CameraProgress


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of every part of the service. Nothing here waits or acts.

    Attributes:
        inference_ns: monotonic stamp at which the inference thread last completed a turn.
        inference_s: how long the longest of its recent turns took, in seconds.
        publisher_turns: whether the publisher sends, or knows that the broker is away.
        broker: the broker's address.
        connected: whether there is a connection to it.
        waiting: how many messages wait in the outbox.
        cameras: every enabled camera.
    """

    inference_ns: int
    inference_s: float
    publisher_turns: bool
    broker: str
    connected: bool
    waiting: int
    cameras: Sequence[CameraProgress]

    def stuck(self, now_ns: int, hang_s: float) -> tuple[str, ...]:
        """Return what has made no progress for too long, as text; empty if nothing.

        Args:
            now_ns: monotonic time.
            hang_s: how long a turn of inference or a camera's result may take, in seconds.
                Cameras take turns at the network, so each adds one to what results may take.
        """
        found = []
        if _silent_s(self.inference_ns, now_ns) > hang_s:
            found.append(f"inference has made no progress for {hang_s:g} s")
        if not self.publisher_turns:
            found.append("the publisher makes no progress")
        result_s = hang_s + len(self.cameras) * max(1.0, self.inference_s)
        for camera in self.cameras:
            if _silent_s(camera.turned_ns, now_ns) > camera.allowed_s + hang_s:
                found.append(f"the reader of camera {camera.name} hangs")
            elif camera.waiting_ns is not None and _silent_s(camera.waiting_ns, now_ns) > result_s:
                found.append(
                    f"a frame of camera {camera.name} has had no result for {result_s:.0f} s"
                )
        return tuple(found)

    def text(self, problems: Sequence[str]) -> str:
        """Return one line for `systemctl status`: problems first, then cameras and broker."""
        online = sum(camera.status == "online" for camera in self.cameras)
        others = [f"{each.name} {each.status}" for each in self.cameras if each.status != "online"]
        cameras = f"{online} of {len(self.cameras)} cameras online"
        if others:
            cameras += f" ({', '.join(others)})"
        broker = f"{'connected to' if self.connected else 'trying to reach'} {self.broker}"
        waiting = [f"{self.waiting} messages waiting"] if self.waiting else []
        return "; ".join([*problems, ", ".join([cameras, broker, *waiting])])


def _silent_s(stamp_ns: int, now_ns: int) -> float:
    return (now_ns - stamp_ns) / NS_PER_S


class SystemdNotifier:
    """Sends the service's state to systemd (sd_notify(3)); without systemd it does nothing.

    Attributes:
        watchdog_s: how long systemd waits for `alive`, in seconds; None without a watchdog.
    """

    def __init__(self) -> None:
        """Read the socket's address and the watchdog's time from the environment."""
        self._address = os.environ.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):  # abstract socket namespace
            self._address = "\0" + self._address[1:]
        pid = os.environ.get("WATCHDOG_PID", str(os.getpid()))
        usec = os.environ.get("WATCHDOG_USEC", "") if pid == str(os.getpid()) else ""
        self.watchdog_s: float | None = int(usec) / 1e6 if usec.isdigit() else None

    def ready(self) -> None:
        """Report that start-up is finished."""
        self._send("READY=1")

    def stopping(self) -> None:
        """Report that the service is ending."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Reset the watchdog."""
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """Set the line that `systemctl status` shows."""
        self._send(f"STATUS={text}")

    def _send(self, state: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify:
            try:
                notify.sendto(state.encode(), self._address)
            except OSError:  # systemd restarts, or is gone: its watchdog acts
                return
