"""Which messages of the outbox go out over a connection, and which must wait.

Sent in order, a window at a time; deleted once acknowledged. Three things hold messages back,
and none of them loses one: a topic that the broker refuses is tried again later, so is a single
message that it refuses, and a message that seems to make the broker hang up goes alone.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgevision.clock import NS_PER_S
from edgevision.messaging.message import Message

if TYPE_CHECKING:
    from edgevision.clock import Clock
    from edgevision.messaging.connection import Answer, Connection
    from edgevision.messaging.outbox import Outbox
    from edgevision.messaging.outboxtables import Row

log = logging.getLogger(__name__)

# A broker that acknowledges nothing for this long is given up, and another connection made.
STALL_S = 60.0
# What the broker refused is tried again after this, and with each new connection.
REFUSED_PAUSE_S = 60.0
# A message may be what the broker hangs up on if the connection ended this soon after it was
# sent alone, and that STRIKES times in a row.
SOON_S = 2.0
STRIKES = 5
HANG_UP_PAUSE_S = 60.0
LONGEST_PAUSE_S = 3600.0
# MQTT 5 reason codes of a PUBACK (3.4.2.1) that are about the topic or the client, so that the
# next message would fare no better.
NOT_AUTHORIZED, TOPIC_NAME_INVALID, QUOTA_EXCEEDED = 0x87, 0x90, 0x97


@dataclass(frozen=True, slots=True)
class _Flight:
    row: Row
    sent_ns: int
    alone: bool


@dataclass(frozen=True, slots=True)
class _Hold:
    until_ns: int
    words: str
    pause_s: float = 0.0


class Delivery:
    """Sends what waits in the outbox. Not thread-safe: `turn` and all else on one thread.

    Attributes:
        refused: how many times the broker refused a message since the start; it stays.
        dropped: messages that the broker never takes, by `oversize`.
    """

    def __init__(self, outbox: Outbox, *, clock: Clock) -> None:
        """Send from this outbox."""
        self.refused = 0
        self.dropped: Counter[str] = Counter()
        self._outbox = outbox
        self._clock = clock
        self._connection: Connection | None = None
        self._opened_s = 0.0
        self._flights: dict[int, _Flight] = {}
        self._done: list[int] = []
        self._moved_ns = 0
        self._refused_topics: dict[str, _Hold] = {}
        self._held: dict[int, _Hold] = {}
        self._oversize = ""
        # How many messages are still to be sent one at a time after a connection broke.
        self._singly = 0
        self._suspect: Row | None = None
        self._strikes = 0

    @property
    def done(self) -> int:
        """Return how many rows were acknowledged and are still to be deleted."""
        return len(self._done)

    @property
    def in_flight(self) -> int:
        """Return how many messages wait for their PUBACK."""
        return len(self._flights)

    @property
    def problems(self) -> tuple[str, ...]:
        """Return what is held back, in words."""
        held = {hold.words for hold in (*self._refused_topics.values(), *self._held.values())}
        return (*sorted(held), *((self._oversize,) if self._oversize else ()))

    def take_done(self) -> list[int]:
        """Return `done` and forget it: the caller deletes these rows."""
        done, self._done = self._done, []
        return done

    def forget_rows(self) -> None:
        """Forget what is known about single rows: their ids have changed. Nothing is in flight."""
        self._held.clear()
        self._suspect = None

    def turn(self, connection: Connection | None, *, send: bool = True) -> None:
        """Take the broker's answers and, if told to, send what the window has room for."""
        now_ns = self._clock.monotonic_ns()
        if connection is not self._connection:
            if self._connection is not None:
                self._take_answers(self._connection, now_ns)
                self._ended(now_ns)
            self._connection = connection
            self._opened_s = self._outbox.uptime_s
            self._moved_ns = now_ns
            self._refused_topics.clear()
            self._oversize = ""
        if connection is None:
            return
        self._take_answers(connection, now_ns)
        if self._flights and now_ns - self._moved_ns > STALL_S * NS_PER_S:
            connection.abandon(f"the broker acknowledged nothing for {STALL_S:g} s")
            self._moved_ns = now_ns
        elif send:
            self._send(connection, now_ns)

    def _take_answers(self, connection: Connection, now_ns: int) -> None:
        for answer in connection.answers():
            flight = self._flights.pop(answer.row)
            self._moved_ns = now_ns
            self._singly = max(0, self._singly - 1)
            if answer.refused:
                self._refuse(flight.row, answer, now_ns)
            else:
                self._done.append(answer.row)
                self._held.pop(answer.row, None)
                self._refused_topics.pop(flight.row.topic, None)
            self._acquit(flight.row, now_ns)

    def _refuse(self, row: Row, answer: Answer, now_ns: int) -> None:
        self.refused += 1
        words = f"the broker refuses messages on {row.topic}: {answer.words}"
        hold = _Hold(now_ns + round(REFUSED_PAUSE_S * NS_PER_S), words)
        if words not in self.problems:
            log.warning("%s; they are kept and tried again", words)
        if answer.code in {NOT_AUTHORIZED, TOPIC_NAME_INVALID, QUOTA_EXCEEDED}:
            self._refused_topics[row.topic] = hold
        else:
            self._held[row.id] = hold

    def _drop(self, row: Row) -> None:
        self.dropped["oversize"] += 1
        self._done.append(row.id)
        self._oversize = (
            f"dropped a message of {len(row.payload)} bytes on {row.topic}: larger than the "
            "broker takes"
        )
        log.warning("%s", self._oversize)

    def _send(self, connection: Connection, now_ns: int) -> None:
        if self._suspect is not None and not self._outbox.has(self._suspect.id):
            self._suspect = None  # replaced by newer state, or dropped
        careful = self._singly or self._suspect is not None
        room = (1 if careful else connection.window) - len(self._flights)
        if room <= 0 or any(self._hangs_up(number) for number in self._flights):
            return
        for row in self._next_rows(room, now_ns):
            alone = self._hangs_up(row.id)
            if alone and self._flights:
                return
            message = Message(row.topic, row.payload, 1, row.retain)
            if row.recorded_s < self._opened_s:
                message = message.delayed()
            if not connection.takes(message):
                self._drop(row)
                continue
            if not self._flights:
                self._moved_ns = now_ns
            if not connection.publish(row.id, message):
                return
            self._flights[row.id] = _Flight(row, now_ns, alone=not self._flights)
            if alone:
                return

    def _next_rows(self, room: int, now_ns: int) -> list[Row]:
        held = {number for number, hold in self._held.items() if hold.until_ns > now_ns}
        topics = [t for t, hold in self._refused_topics.items() if hold.until_ns > now_ns]
        skip = {*held, *self._flights, *self._done}
        suspect = {self._suspect.id} if self._suspect and self._strikes >= STRIKES else set()
        rows = self._outbox.oldest(room, skip_ids=skip | suspect, skip_topics=topics)
        if not rows and suspect:  # nothing else waits that could tell
            rows = self._outbox.oldest(room, skip_ids=skip, skip_topics=topics)
        if len(rows) < room:  # what was held and is not among all that can be sent has gone
            for number in self._held.keys() - held - {row.id for row in rows} - skip:
                del self._held[number]
        return rows

    def _hangs_up(self, number: int) -> bool:
        hold = self._held.get(number)
        return hold is not None and hold.pause_s > 0

    # A broker of MQTT 3.1.1 has no other way to refuse a message than to hang up. A network that
    # fails looks the same, so a message is held back only when others get through.

    def _ended(self, now_ns: int) -> None:
        unanswered = list(self._flights.values())
        self._flights.clear()
        self._singly = max(self._singly, len(unanswered))
        if len(unanswered) != 1 or not unanswered[0].alone:
            return
        flight = unanswered[0]
        if now_ns - flight.sent_ns > SOON_S * NS_PER_S:
            return
        if self._hangs_up(flight.row.id):
            pause_s = 2 * self._held[flight.row.id].pause_s
            self._hold_back(flight.row, min(pause_s, LONGEST_PAUSE_S), now_ns)
        elif self._suspect is not None and self._suspect.id == flight.row.id:
            self._strikes += 1
        else:  # another one: if there was a suspect, it was not to blame
            self._suspect = flight.row
            self._strikes = 1

    def _acquit(self, row: Row, now_ns: int) -> None:
        """Judge the suspect when a message got through: itself, or another one."""
        if self._suspect is None:
            return
        if self._suspect.id == row.id:
            self._suspect = None
        elif self._strikes >= STRIKES:
            self._hold_back(self._suspect, HANG_UP_PAUSE_S, now_ns)
            self._suspect = None

    def _hold_back(self, row: Row, pause_s: float, now_ns: int) -> None:
        words = f"the broker hangs up on a message of {len(row.payload)} bytes on {row.topic}"
        if row.id not in self._held:
            log.warning("%s; it is kept and tried again now and then", words)
        self._held[row.id] = _Hold(now_ns + round(pause_s * NS_PER_S), words, pause_s)
