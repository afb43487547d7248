"""What is retained at the broker: the last state of everything, and nothing of what has gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from edgevision.messaging.message import Message

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Notes that a topic has been used; what is no longer wanted is taken back, also after a restart.
NOTE = "topic/"


class Record(Protocol):
    """Where messages go that must not be lost."""

    def __call__(self, message: Message | None, notes: Mapping[str, bytes | None], /) -> None:
        """Store a message, if there is one, together with notes."""
        ...


class Retained:
    """Retained messages by topic: recorded when they change, all of them after a connection."""

    def __init__(self, notes: Mapping[str, bytes]) -> None:
        """Begin with the topics of earlier runs; nothing is wanted yet."""
        self._known = {key.removeprefix(NOTE) for key in notes if key.startswith(NOTE)}
        self._wanted: dict[str, Message] = {}
        self._told: dict[str, bytes] = {}
        self._held: frozenset[str] = frozenset()
        self._used: frozenset[str] = frozenset()

    def want_only(self, messages: Iterable[Message]) -> None:
        """Keep these and nothing else: what is left out is taken back."""
        self._wanted = {message.topic: message for message in messages}

    def hold(self, topics: frozenset[str], used: frozenset[str]) -> None:
        """Leave topics alone that somebody else writes, until they are no longer held.

        Args:
            topics: all that may be written.
            used: those that have been, in this run.
        """
        self._held = topics
        self._used = used

    def tell(self, record: Record, *, everything: bool) -> None:
        """Record what differs from what was told last, or everything; take back the rest."""
        for topic, message in self._wanted.items():
            if everything or self._told.get(topic) != message.payload:
                record(message, {} if topic in self._known else {NOTE + topic: b""})
                self._told[topic] = message.payload
                self._known.add(topic)
        for topic in self._used - self._known:
            record(None, {NOTE + topic: b""})
            self._known.add(topic)
        for topic in sorted(self._known - self._wanted.keys() - self._held):
            record(Message(topic, b"", qos=1, retain=True), {NOTE + topic: None})
            self._known.discard(topic)
            self._told.pop(topic, None)
