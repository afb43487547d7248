"""Pictures on their way to the broker: the newest of each topic, sent again when it comes back."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgevision.messaging.message import Message

MAX_BYTES = 16 << 20


class Pictures:
    """Retained pictures in memory. Any thread adds, the main thread sends.

    Attributes:
        dropped: pictures that were never sent, because more than `MAX_BYTES` waited.
    """

    def __init__(self) -> None:
        """Begin without any."""
        self.dropped = 0
        self._lock = threading.Lock()
        self._newest: dict[str, Message] = {}
        self._waiting: set[str] = set()
        self._bytes = 0

    def topics(self) -> frozenset[str]:
        """Return the topics on which there are pictures."""
        with self._lock:
            return frozenset(self._newest)

    def add(self, picture: Message) -> None:
        """Keep a picture in place of the one before it on its topic; the oldest may have to go."""
        with self._lock:
            self._remove(picture.topic)
            self._newest[picture.topic] = picture
            self._waiting.add(picture.topic)
            self._bytes += picture.size_bytes
            while self._bytes > MAX_BYTES:
                oldest = next(iter(self._newest))
                self.dropped += oldest in self._waiting
                self._remove(oldest)

    def again(self) -> None:
        """Send all of them again: the broker may have lost them."""
        with self._lock:
            self._waiting = set(self._newest)

    def send(self, send: Callable[[Message], bool]) -> None:
        """Send what waits, as long as it is taken."""
        with self._lock:
            waiting = [m for topic, m in self._newest.items() if topic in self._waiting]
        for picture in waiting:
            if not send(picture):
                return
            with self._lock:
                if self._newest.get(picture.topic) is picture:
                    self._waiting.discard(picture.topic)

    def keep_only(self, topics: frozenset[str]) -> None:
        """Forget pictures on other topics."""
        with self._lock:
            for topic in self._newest.keys() - topics:
                self._remove(topic)

    def _remove(self, topic: str) -> None:
        old = self._newest.pop(topic, None)
        self._waiting.discard(topic)
        self._bytes -= old.size_bytes if old else 0
