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
        delivering: whether its frames arrive, so that results are due.
        turned_ns: when its reader last came round: a frame, an attempt, a pause.
        allowed_s: how long that may take at most, every known wait included.
        result_ns: when a frame of it was last inferred, or failed and was counted, or when
            its frames began to arrive.
    """

    name: str
    status: str
    delivering: bool
    turned_ns: int
    allowed_s: float
    result_ns: int


@dataclass(frozen=True, slots=True)
class Progress:
    """What every part of the service has done lately.

    Attributes:
        inference_ns: monotonic stamp at which the inference thread last came round.
        publisher_turns: whether the publisher drains, or knows that the broker is away.
        broker: the broker's address.
        connected: whether there is a connection to it.
        waiting: how many messages wait in the outbox.
        cameras: every enabled camera.
    """

    inference_ns: int
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
                Cameras share the network, so each adds a second to what results may take.
        """
        found = []
        if _silent_s(self.inference_ns, now_ns) > hang_s:
            found.append(f"inference has not turned for {hang_s:g} s")
        if not self.publisher_turns:
            found.append("the publisher does not turn")
        result_s = hang_s + len(self.cameras)
        for camera in self.cameras:
            if _silent_s(camera.turned_ns, now_ns) > camera.allowed_s + hang_s:
                found.append(f"the reader of camera {camera.name} hangs")
            elif camera.delivering and _silent_s(camera.result_ns, now_ns) > result_s:
                found.append(f"camera {camera.name} delivers, but has no result for {result_s:g} s")
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
