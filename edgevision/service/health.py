"""Whether the service makes progress, and how it is in words. Nothing here waits or acts.

A process that is alive proves nothing: systemd's watchdog is reset only while every part has
done something lately, or is known to be unable to and is being tried again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgevision.clock import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class CameraProgress:
    """What one camera has done lately. All stamps are monotonic.

    Attributes:
        name: the camera's name.
        status: as published.
        turned_ns: when its reader last came round: a frame, an attempt, a pause.
        allowed_s: how long that may take at most, every known wait included.
        waiting_ns: since when a frame waits for a result; None: none does.
    """

    name: str
    status: str
    turned_ns: int
    allowed_s: float
    waiting_ns: int | None


@dataclass(frozen=True, slots=True)
class Progress:
    """What every part of the service has done lately.

    Attributes:
        inference_ns: monotonic stamp at which the inference thread last came round.
        inference_s: how long the longest of its recent turns took, in seconds.
        publisher_turns: whether the publisher drains, or knows that the broker is away.
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
        """Return what has made no progress for too long, in words; empty when all is well.

        Args:
            now_ns: monotonic time.
            hang_s: how long a turn of inference or a camera's result may take, in seconds.
                Cameras take turns at the network, so each adds one to what results may take.
        """
        found = []
        if _silent_s(self.inference_ns, now_ns) > hang_s:
            found.append(f"inference has not turned for {hang_s:g} s")
        if not self.publisher_turns:
            found.append("the publisher does not turn")
        result_s = hang_s + len(self.cameras) * max(1.0, self.inference_s)
        for camera in self.cameras:
            if _silent_s(camera.turned_ns, now_ns) > camera.allowed_s + hang_s:
                found.append(f"the reader of camera {camera.name} hangs")
            elif camera.waiting_ns is not None and _silent_s(camera.waiting_ns, now_ns) > result_s:
                found.append(f"a frame of camera {camera.name} has no result for {result_s:.0f} s")
        return tuple(found)

    def words(self, problems: Sequence[str]) -> str:
        """Return one line for `systemctl status`: faults first, then how things are."""
        online = sum(camera.status == "online" for camera in self.cameras)
        others = [f"{each.name} {each.status}" for each in self.cameras if each.status != "online"]
        cameras = f"{online} of {len(self.cameras)} cameras online"
        if others:
            cameras += f" ({', '.join(others)})"
        broker = f"{'connected to' if self.connected else 'trying to reach'} {self.broker}"
        waiting = [f"{self.waiting} messages wait"] if self.waiting else []
        return "; ".join([*problems, ", ".join([cameras, broker, *waiting])])


def _silent_s(stamp_ns: int, now_ns: int) -> float:
    return (now_ns - stamp_ns) / NS_PER_S
