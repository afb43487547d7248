"""Delivery of events and state: recorded by any thread, stored and sent by this module's thread.

`Publisher` is that thread; `Delivery` decides what goes out over a connection and what must wait.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from edgevision.clock import NS_PER_S
from edgevision.mqtt.message import Message, is_topic
from edgevision.mqtt.outbox import MAX_MESSAGE_BYTES
from edgevision.mqtt.outbox_file import KeyValueChanges

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgevision.clock import Clock
    from edgevision.mqtt.client import MqttClient
    from edgevision.mqtt.connection import Answer, Connection
    from edgevision.mqtt.outbox import Outbox
    from edgevision.mqtt.outbox_file import OutboxRow

log = logging.getLogger(__name__)

TICK_S = 0.2
LAST_TICK_S = 0.02  # while it stops

# Events recorded while the disk is busy; beyond them the oldest are dropped. Of state the newest
# of each topic waits besides, and displaces none.
MAX_RECORDED = 1000

# Acknowledged rows are deleted with the next commit, or once there are this many or this old.
MAX_DONE = 200
DONE_S = 0.5
EXPIRE_S = 60.0

# Longer than any commit on a memory card that still works.
HANG_S = 30.0

# After this long without an acknowledgement the connection is closed and made again.
STALL_S = 60.0

# A refused message is sent again after this, and on each new connection.
REFUSED_PAUSE_S = 60.0

# A message is suspected to make the broker hang up if the connection ended this soon after it was
# sent alone, STRIKES times in a row.
SOON_S = 2.0
STRIKES = 5
HANG_UP_PAUSE_S = 60.0
LONGEST_PAUSE_S = 3600.0

# MQTT 5 reason codes of a PUBACK (3.4.2.1) that concern the topic or the client, so that the next
# message would be refused as well.
NOT_AUTHORIZED, TOPIC_NAME_INVALID, QUOTA_EXCEEDED = 0x87, 0x90, 0x97


@dataclass(frozen=True, slots=True)
class OutboxFigures:
    """The state of the outbox, as published.

    Attributes:
        depth: messages that the broker has not acknowledged.
        bytes: size of their topics and payloads.
        storage: where they are.
        dropped: since the start, by `rows`, `bytes`, `age`, `oversize` and `overflow`.
        refused: how many times the broker refused a message since the start; none is lost by that.
        problems: what is wrong, as text.
    """

    depth: int = 0
    bytes: int = 0
    storage: Literal["disk", "memory"] = "disk"
    dropped: Mapping[str, int] = field(default_factory=dict)
    refused: int = 0
    problems: tuple[str, ...] = ()


class Publisher:
    """The thread that stores and sends what others record; the only user of the outbox.

    Attributes:
        figures: the state of the outbox; a new object whenever it changes.
    """

    def __init__(self, outbox: Outbox, *, clock: Clock) -> None:
        """Prepare; `start` starts the thread."""
        self._outbox = outbox
        self._clock = clock
        self._delivery = Delivery(outbox, clock=clock)
        self._client: MqttClient | None = None
        self._news = threading.Condition()
        self._recorded: deque[Message] = deque()
        self._states: dict[str, Message] = {}
        self._changes = KeyValueChanges()
        self._lost: Counter[str] = Counter()
        # Calls of `record`, and those of them whose message is stored or dropped, since the start.
        self._count_recorded = 0
        self._count_settled = 0
        self._woken = False
        self._stop_at_ns: int | None = None
        self._deleted_ns = self._expired_ns = self._turned_ns = clock.monotonic_ns()
        self._idle_since_ns: int | None = None
        self.figures = OutboxFigures()
        self._update_figures()
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)

    def start(self, client: MqttClient) -> None:
        """Start to store what is recorded and to send it over this client's connections."""
        self._client = client
        self._thread.start()

    def stored_values(self) -> dict[str, bytes]:
        """Return the stored key-values; call it before `start`.

        Those of a file that another process holds, or that cannot be read, are missing.
        """
        return dict(self._outbox.key_values.values)

    def record(
        self, message: Message | None, values: Mapping[str, bytes | None] | None = None
    ) -> None:
        """Record a message and changes of key-values; never blocks on disk or network.

        A retained message is state: it replaces an unsent one on its topic. All others are events:
        every one is kept, in order. A message larger than `MAX_MESSAGE_BYTES` is dropped and
        counted, and so is the oldest where too many wait for the disk.

        Args:
            message: None: only key-values change.
            values: by key; None deletes. They reach the disk in the same transaction as the
                message, or without it if it is dropped. See `KeyValues` for the bounds.

        Raises:
            ValueError: this is not a topic that can be published on.
        """
        if message is not None and not is_topic(message.topic):
            msg = f"expected an MQTT topic without +, # or NUL characters, got {message.topic!r}"
            raise ValueError(msg)
        with self._news:
            self._count_recorded += 1
            self._changes.take(values or {})
            if message is not None:
                self._add(message)
            self._news.notify_all()

    def _add(self, message: Message) -> None:
        if message.size_bytes > MAX_MESSAGE_BYTES:
            self._lost["oversize"] += 1
            log.warning("dropped a message of %d bytes on %s", message.size_bytes, message.topic)
            return
        if message.retain:
            self._states.pop(message.topic, None)  # the newest goes last
            self._states[message.topic] = message
            return
        if len(self._recorded) == MAX_RECORDED:
            self._recorded.popleft()
            self._lost["overflow"] += 1
        self._recorded.append(message)

    def wake(self) -> None:
        """Handle the broker's answers now."""
        with self._news:
            self._woken = True
            self._news.notify_all()

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything recorded so far is on the disk.

        Returns:
            False when it is not: the timeout has passed, or the outbox is in memory.
        """
        with self._news:
            upto = self._count_recorded
            stored = self._news.wait_for(lambda: self._count_settled >= upto, timeout_s)
            return stored and self._outbox.storage == "disk"

    def stop(self, timeout_s: float) -> None:
        """Store everything, send what can be sent within the timeout, and close the outbox."""
        with self._news:
            self._stop_at_ns = self._clock.monotonic_ns() + round(timeout_s * NS_PER_S)
            self._woken = True
            self._news.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout_s + 1.0)

    def healthy(self, now_ns: int) -> bool:
        """Return whether the thread runs and, while connected, messages are sent."""
        if now_ns - self._turned_ns > HANG_S * NS_PER_S:
            return False
        idle_ns = self._idle_since_ns
        return idle_ns is None or now_ns - idle_ns <= HANG_S * NS_PER_S

    def turn(self) -> None:
        """Store what was recorded, handle answers, delete what was acknowledged, send."""
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
        self._update_figures()
        self._update_progress(now_ns, connected=connection is not None)

    def _take(self) -> _Batch:
        with self._news:
            messages = [*self._recorded, *self._states.values()]
            self._recorded.clear()
            self._states.clear()
            self._woken = False
            return _Batch(messages, self._changes.pop(), self._count_recorded)

    def _commit(self, batch: _Batch, now_ns: int) -> None:
        self._outbox.commit(batch.messages, self._delivery.take_done(), batch.values)
        self._deleted_ns = now_ns
        self._update_figures()  # up to date for a caller of `flush`
        with self._news:
            self._count_settled = batch.upto
            self._news.notify_all()

    def _update_figures(self) -> None:
        outbox, delivery = self._outbox, self._delivery
        with self._news:
            lost = self._lost.copy()
            problems = self._changes.problems
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

    def _update_progress(self, now_ns: int, *, connected: bool) -> None:
        """Keep since when messages wait although nothing holds them back."""
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
                    self._has_work, TICK_S if self._stop_at_ns is None else LAST_TICK_S
                )
                stop_at_ns = self._stop_at_ns
            try:
                self.turn()
                failed = False
            except Exception:  # then `healthy` returns False and the watchdog decides
                if not failed:
                    log.exception("the outbox failed")
                failed = True
            if stop_at_ns is not None and self._may_stop(stop_at_ns):
                break
        batch = self._take()
        self._delivery.turn(None)  # releases the connection, which closes its sockets
        self._client = None
        self._commit(batch, self._clock.monotonic_ns())
        self._outbox.close()

    def _has_work(self) -> bool:
        return bool(self._recorded or self._states or self._changes) or self._woken

    def _may_stop(self, stop_at_ns: int) -> bool:
        if self._clock.monotonic_ns() >= stop_at_ns:
            return True
        connected = self._client is not None and self._client.connected
        waiting = self._recorded or self._states or self._changes
        return not waiting and not (connected and self._delivery.in_flight)


class Delivery:
    """Decides which messages of the outbox go out over a connection, and which must wait.

    They are sent in order, a window at a time, and deleted once acknowledged. Three things hold
    messages back, and none of them loses one: a topic that the broker refuses is tried again later,
    so is a single message that it refuses, and a message that seems to make the broker hang up is
    sent alone. Not thread-safe: all calls on one thread.

    Attributes:
        refused: how many times the broker refused a message since the start; they are kept.
        dropped: messages that the broker never accepts, by `oversize`.
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
        # How many messages to send one at a time after a connection broke.
        self._singly = 0
        self._suspect: OutboxRow | None = None
        self._strikes = 0

    @property
    def done(self) -> int:
        """Return how many acknowledged rows are still to be deleted."""
        return len(self._done)

    @property
    def in_flight(self) -> int:
        """Return how many messages wait for their PUBACK."""
        return len(self._flights)

    @property
    def problems(self) -> tuple[str, ...]:
        """Return what is held back, as text."""
        held = {hold.text for hold in (*self._refused_topics.values(), *self._held.values())}
        return (*sorted(held), *((self._oversize,) if self._oversize else ()))

    def take_done(self) -> list[int]:
        """Return the acknowledged rows once: the caller deletes them."""
        done, self._done = self._done, []
        return done

    def forget_rows(self) -> None:
        """Forget what is known of single rows: their ids have changed. Nothing is in flight."""
        self._held.clear()
        self._suspect = None

    def turn(self, connection: Connection | None, *, send: bool = True) -> None:
        """Handle the broker's answers and, with `send`, send what the window has room for."""
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
            self._judge_suspect(flight.row, now_ns)

    def _refuse(self, row: OutboxRow, answer: Answer, now_ns: int) -> None:
        self.refused += 1
        text = f"the broker refuses messages on {row.topic}: {answer.text}"
        hold = _Hold(now_ns + round(REFUSED_PAUSE_S * NS_PER_S), text)
        if text not in self.problems:
            log.warning("%s; they are kept and sent again later", text)
        if answer.code in {NOT_AUTHORIZED, TOPIC_NAME_INVALID, QUOTA_EXCEEDED}:
            self._refused_topics[row.topic] = hold
        else:
            self._held[row.id] = hold

    def _drop(self, row: OutboxRow) -> None:
        self.dropped["oversize"] += 1
        self._done.append(row.id)
        self._oversize = (
            f"dropped a message of {len(row.payload)} bytes on {row.topic}: larger than the "
            "broker accepts"
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
        if not rows and suspect:  # no other message is left to test the broker with
            rows = self._outbox.oldest(room, skip_ids=skip, skip_topics=topics)
        if len(rows) < room:  # a held row that is not among all that can be sent no longer exists
            for number in self._held.keys() - held - {row.id for row in rows} - skip:
                del self._held[number]
        return rows

    def _hangs_up(self, number: int) -> bool:
        hold = self._held.get(number)
        return hold is not None and hold.pause_s > 0

    # With MQTT 3.1.1 a broker can only refuse a message by hanging up. A failing network looks the
    # same, so a message is held back only when others get through.

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
        else:  # another message: an earlier suspect was not the cause
            self._suspect = flight.row
            self._strikes = 1

    def _judge_suspect(self, row: OutboxRow, now_ns: int) -> None:
        """Clear the suspect when it got through; hold it back when another message did."""
        if self._suspect is None:
            return
        if self._suspect.id == row.id:
            self._suspect = None
        elif self._strikes >= STRIKES:
            self._hold_back(self._suspect, HANG_UP_PAUSE_S, now_ns)
            self._suspect = None

    def _hold_back(self, row: OutboxRow, pause_s: float, now_ns: int) -> None:
        text = f"the broker disconnects on a message of {len(row.payload)} bytes on {row.topic}"
        if row.id not in self._held:
            log.warning("%s; it is kept and retried at growing intervals", text)
        self._held[row.id] = _Hold(now_ns + round(pause_s * NS_PER_S), text, pause_s)


@dataclass(frozen=True, slots=True)
class _Batch:
    """What to store in one transaction; `upto`: calls of `record` so far."""

    messages: list[Message]
    values: dict[str, bytes | None]
    upto: int


@dataclass(frozen=True, slots=True)
class _Flight:
    row: OutboxRow
    sent_ns: int
    alone: bool


@dataclass(frozen=True, slots=True)
class _Hold:
    until_ns: int
    text: str
    pause_s: float = 0.0
