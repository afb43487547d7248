"""The thread behind the network: follows objects while the network is busy with the next frame."""

from __future__ import annotations

import queue
import threading
import time
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class FollowThread(Generic[T]):
    """Takes what the network has found the rest of the way, in order.

    The network needs both ends of a frame's way to be somebody else's work: a millisecond here
    would be a millisecond that it stands still.
    """

    def __init__(self, take: Callable[[T], None]) -> None:
        """Prepare; `start` begins.

        Args:
            take: called with each, on this thread; must not raise.
        """
        self._take = take
        # One may wait: a stuck follower soon holds up the network, whose turns are watched.
        self._waiting: queue.Queue[T | None] = queue.Queue(1)
        self._thread = threading.Thread(target=self._run, name="following", daemon=True)

    def start(self) -> None:
        """Begin to take."""
        self._thread.start()

    def put(self, item: T) -> None:
        """Hand one over; blocks while another one waits."""
        self._waiting.put(item)

    def stop(self, timeout_s: float) -> None:
        """Take what waits, and end; at most this long. Nothing may be put any more."""
        until_s = time.monotonic() + timeout_s
        if not self._thread.is_alive():
            return
        try:
            self._waiting.put(None, timeout=timeout_s)
        except queue.Full:  # it is stuck; the process ends without it
            return
        self._thread.join(max(0.0, until_s - time.monotonic()))

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None:
            self._take(item)
            del item  # its frame may be a slot that a camera is waiting for
