"""Events and state on their way: recorded by any thread, stored and sent by this one."""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from edgevision.clock import NS_PER_S
from edgevision.mqtt.message import Message, is_topic
from edgevision.mqtt.outbox import MAX_MESSAGE_BYTES
from edgevision.mqtt.outbox_file import NoteChanges

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgevision.clock import Clock
    from edgevision.mqtt.client import MqttClient
    from edgevision.mqtt.connection import Answer, Connection
    from edgevision.mqtt.outbox import Outbox
    from edgevision.mqtt.outbox_file import OutboxRow

log = logging.getLogger(__name__)

TICK_S = 0.2

LAST_TICK_S = 0.02  # while it ends

# Messages recorded while the disk is busy; beyond them the oldest are dropped.
MAX_RECORDED = 1000

# Acknowledged rows are deleted together with the next messages, or when so many or so old.
MAX_DONE = 200

DONE_S = 0.5

EXPIRE_S = 60.0

# Longer than any commit on a card that still works.
HANG_S = 30.0

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
class OutboxFigures:
    """How the outbox is.

    Attributes:
        depth: messages that the broker has not acknowledged.
        bytes: of their topics and payloads.
        storage: where they are.
        dropped: since the start, by `rows`, `bytes`, `age`, `oversize` and `overflow`.
        refused: how many times the broker refused a message since the start; none is lost by it.
        problems: what is wrong, in words.
    """

    depth: int = 0
    bytes: int = 0
    storage: Literal["disk", "memory"] = "disk"
    dropped: Mapping[str, int] = field(default_factory=dict)
    refused: int = 0
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Batch:
    """What is to be stored in one transaction; `upto`: what was recorded since the start."""

    messages: list[Message]
    notes: dict[str, bytes | None]
    upto: int


class Publisher:
    """The thread between those who record and the broker; the only user of the outbox.

    Attributes:
        figures: how the outbox is; a new object each time that it changes.
    """

    def __init__(self, outbox: Outbox, *, clock: Clock) -> None:
        """Prepare; `start` begins to store and send."""
        self._outbox = outbox
        self._clock = clock
        self._delivery = Delivery(outbox, clock=clock)
        self._client: MqttClient | None = None
        self._news = threading.Condition()
        self._recorded: deque[Message] = deque()
        self._noted = NoteChanges()
        self._lost: Counter[str] = Counter()
        # Calls of `record`, and those of them whose message is stored or dropped, since the start.
        self._count_recorded = 0
        self._count_settled = 0
        self._woken = False
        self._stop_at_ns: int | None = None
        self._deleted_ns = self._expired_ns = self._turned_ns = clock.monotonic_ns()
        self._idle_since_ns: int | None = None
        self.figures = OutboxFigures()
        self._note_figures()
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)

    def start(self, client: MqttClient) -> None:
        """Begin to store what is recorded and to send it over this client's connections."""
        self._client = client
        self._thread.start()

    def notes(self) -> dict[str, bytes]:
        """Return the notes that are stored; to be asked before `start`.

        Those of a file that another process holds, or that cannot be read, are missing.
        """
        return dict(self._outbox.notes.values)

    def record(
        self, message: Message | None, notes: Mapping[str, bytes | None] | None = None
    ) -> None:
        """Take a message and changes of notes; never blocks on disk or network.

        A retained message is state: it replaces what still waits on its topic. The others are
        events: all are kept, in order. What is larger than `MAX_MESSAGE_BYTES` is dropped and
        counted, and so is the oldest where too many wait for the disk.

        Args:
            message: None: there are notes alone.
            notes: values by key; None deletes. They reach the disk in the same transaction as
                the message, or without it where it is dropped. See `Notes` for the bounds.

        Raises:
            ValueError: nothing can be published on this topic.
        """
        if message is not None and not is_topic(message.topic):
            msg = f"expected an MQTT topic without + # and zero characters, got {message.topic!r}"
            raise ValueError(msg)
        with self._news:
            self._count_recorded += 1
            self._noted.take(notes or {})
            if message is not None:
                self._add(message)
            self._news.notify_all()

    def _add(self, message: Message) -> None:
        if message.size_bytes > MAX_MESSAGE_BYTES:
            self._lost["oversize"] += 1
            log.warning("dropped a message of %d bytes on %s", message.size_bytes, message.topic)
            return
        if len(self._recorded) == MAX_RECORDED:
            self._recorded.popleft()
            self._lost["overflow"] += 1
        self._recorded.append(message)

    def wake(self) -> None:
        """Look at once at what the broker has answered."""
        with self._news:
            self._woken = True
            self._news.notify_all()

    def flush(self, timeout_s: float) -> bool:
        """Wait until all that was recorded so far is on the disk.

        Returns:
            False when it is not: the time was not enough, or the outbox is in memory.
        """
        with self._news:
            upto = self._count_recorded
            stored = self._news.wait_for(lambda: self._count_settled >= upto, timeout_s)
            return stored and self._outbox.storage == "disk"

    def stop(self, timeout_s: float) -> None:
        """Store everything, send what can be sent within the time, and close the outbox."""
        with self._news:
            self._stop_at_ns = self._clock.monotonic_ns() + round(timeout_s * NS_PER_S)
            self._woken = True
            self._news.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout_s + 1.0)

    def healthy(self, now_ns: int) -> bool:
        """Return whether the thread turns and, while the broker is there, something is sent."""
        if now_ns - self._turned_ns > HANG_S * NS_PER_S:
            return False
        idle_ns = self._idle_since_ns
        return idle_ns is None or now_ns - idle_ns <= HANG_S * NS_PER_S

    def turn(self) -> None:
        """Store what was recorded, take what was answered, delete, send."""
        now_ns = self._clock.monotonic_ns()
        batch = self._take()
        connection = self._client.connection if self._client else None
        late = now_ns - self._deleted_ns > DONE_S * NS_PER_S
        if (
            batch.upto > self._count_settled
            or self._delivery.done >= MAX_DONE
            or (self._delivery.done and late)
        ):
            self._commit(batch, now_ns)
        if now_ns - self._expired_ns > EXPIRE_S * NS_PER_S:
            self._outbox.expire()
            self._expired_ns = now_ns
        due = self._outbox.disk_due
        self._delivery.turn(connection, send=not due)
        if due and not self._delivery.in_flight:
            self._commit(self._take(), now_ns)
            self._outbox.try_disk()
            self._delivery.forget_rows()
            self._delivery.turn(connection)
        self._note_figures()
        self._note_progress(now_ns, connected=connection is not None)

    def _take(self) -> _Batch:
        with self._news:
            messages = list(self._recorded)
            self._recorded.clear()
            self._woken = False
            return _Batch(messages, self._noted.pop(), self._count_recorded)

    def _commit(self, batch: _Batch, now_ns: int) -> None:
        self._outbox.commit(batch.messages, self._delivery.take_done(), batch.notes)
        self._deleted_ns = now_ns
        self._note_figures()  # who waits in `flush` may look at them
        with self._news:
            self._count_settled = batch.upto
            self._news.notify_all()

    def _note_figures(self) -> None:
        outbox, delivery = self._outbox, self._delivery
        with self._news:
            lost = self._lost.copy()
            problems = self._noted.problems
        figures = OutboxFigures(
            depth=max(0, outbox.rows - delivery.done),
            bytes=outbox.bytes,
            storage=outbox.storage,
            dropped=dict(outbox.dropped + delivery.dropped + lost),
            refused=delivery.refused,
            problems=(*outbox.problems, *delivery.problems, *problems),
        )
        if figures != self.figures:
            self.figures = figures

    def _note_progress(self, now_ns: int, *, connected: bool) -> None:
        """Note since when messages wait, though nothing holds them back, and none is sent."""
        delivery = self._delivery
        idle = connected and self.figures.depth and not delivery.in_flight and not delivery.problems
        if not idle:
            self._idle_since_ns = None
        elif self._idle_since_ns is None:
            self._idle_since_ns = now_ns
        self._turned_ns = now_ns

    def _run(self) -> None:
        failed = False
        while True:
            with self._news:
                self._news.wait_for(
                    self._called, TICK_S if self._stop_at_ns is None else LAST_TICK_S
                )
                stop_at_ns = self._stop_at_ns
            try:
                self.turn()
                failed = False
            except Exception:  # without turning, `healthy` ends: the watchdog decides
                if not failed:
                    log.exception("the outbox failed")
                failed = True
            if stop_at_ns is not None and self._may_end(stop_at_ns):
                break
        batch = self._take()
        self._delivery.turn(None)  # lets go of the connection, and so of its sockets
        self._client = None
        self._commit(batch, self._clock.monotonic_ns())
        self._outbox.close()

    def _called(self) -> bool:
        return bool(self._recorded or self._noted) or self._woken

    def _may_end(self, stop_at_ns: int) -> bool:
        if self._clock.monotonic_ns() >= stop_at_ns:
            return True
        connected = self._client is not None and self._client.connected
        return (
            not self._recorded and not self._noted and not (connected and self._delivery.in_flight)
        )


# FOLDED:
# Which messages of the outbox go out over a connection, and which must wait.
#
# Sent in order, a window at a time; deleted once acknowledged. Three things hold messages back,
# and none of them loses one: a topic that the broker refuses is tried again later, so is a single
# message that it refuses, and a message that seems to make the broker hang up goes alone.


@dataclass(frozen=True, slots=True)
class _Flight:
    row: OutboxRow
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
        self._suspect: OutboxRow | None = None
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

    def _refuse(self, row: OutboxRow, answer: Answer, now_ns: int) -> None:
        self.refused += 1
        words = f"the broker refuses messages on {row.topic}: {answer.text}"
        hold = _Hold(now_ns + round(REFUSED_PAUSE_S * NS_PER_S), words)
        if words not in self.problems:
            log.warning("%s; they are kept and tried again", words)
        if answer.code in {NOT_AUTHORIZED, TOPIC_NAME_INVALID, QUOTA_EXCEEDED}:
            self._refused_topics[row.topic] = hold
        else:
            self._held[row.id] = hold

    def _drop(self, row: OutboxRow) -> None:
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

    def _next_rows(self, room: int, now_ns: int) -> list[OutboxRow]:
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

    def _acquit(self, row: OutboxRow, now_ns: int) -> None:
        """Judge the suspect when a message got through: itself, or another one."""
        if self._suspect is None:
            return
        if self._suspect.id == row.id:
            self._suspect = None
        elif self._strikes >= STRIKES:
            self._hold_back(self._suspect, HANG_UP_PAUSE_S, now_ns)
            self._suspect = None

    def _hold_back(self, row: OutboxRow, pause_s: float, now_ns: int) -> None:
        words = f"the broker hangs up on a message of {len(row.payload)} bytes on {row.topic}"
        if row.id not in self._held:
            log.warning("%s; it is kept and tried again now and then", words)
        self._held[row.id] = _Hold(now_ns + round(pause_s * NS_PER_S), words, pause_s)
