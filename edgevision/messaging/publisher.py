"""Events and state on their way: recorded by any thread, stored and sent by this one."""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from edgevision.clock import NS_PER_S
from edgevision.messaging.delivery import Delivery
from edgevision.messaging.message import is_topic
from edgevision.messaging.notes import NoteChanges
from edgevision.messaging.outbox import MAX_MESSAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgevision.clock import Clock
    from edgevision.messaging.client import MqttClient
    from edgevision.messaging.message import Message
    from edgevision.messaging.outbox import Outbox

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
