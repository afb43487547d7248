"""The outbox: recorded messages that are not acknowledged yet, on the disk and bounded.

No thread and no network. Faults of the disk are never raised: an unusable file is kept aside, a
full or read-only disk is replaced by memory until it can be written again, and `problems` says so.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, TypeVar

from edgevision.clock import NS_PER_S
from edgevision.mqtt.outbox_file import (
    Change,
    Content,
    DamagedFileError,
    KeyValues,
    OutboxRow,
    UnusableFileError,
    drop_oldest,
    events_in,
    insert,
    is_damage,
    is_locked,
    keep_aside,
    open_file,
    open_memory,
    rescue,
    rows_in,
    values_in,
    write,
    write_values,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from edgevision.clock import Clock
    from edgevision.config.settings import OutboxConfig
    from edgevision.mqtt.message import Message

log = logging.getLogger(__name__)

T = TypeVar("T")

# Larger messages are refused: no event is that large, and a row is read as a whole.
MAX_MESSAGE_BYTES = 1 << 18
RETRY_S = 30.0

# Remarks on files that were kept aside; only the newest are shown.
MAX_REMARKS = 3


class Outbox:
    """Messages in the order of recording; of retained ones only the newest of each topic.

    Attributes:
        rows: how many messages there are.
        bytes: of their topics and payloads.
        dropped: how many were dropped since the start by `rows`, `bytes` and `age`.
        storage: where they are.
        key_values: small facts stored with the messages they belong to; changed by `commit`.
    """

    def __init__(
        self, path: Path, bounds: OutboxConfig, *, clock: Clock, retry_s: float = RETRY_S
    ) -> None:
        """Open or create the file; if that fails, start in memory.

        Args:
            path: the SQLite file.
            bounds: rows, bytes and age above which the oldest are dropped.
            clock: only its monotonic time is used.
            retry_s: how long to wait before trying the disk again.
        """
        self.rows = 0
        self.bytes = 0
        self.dropped: Counter[str] = Counter()
        self.storage: Literal["disk", "memory"] = "disk"
        self.key_values = KeyValues()
        self._path = path
        self._bounds = bounds
        self._clock = clock
        self._retry_s = retry_s
        self._retry_at_s = 0.0
        self._remarks: list[str] = []
        self._fault = ""
        self._full = False
        # Rows that are in memory and also, perhaps outdated, on the disk.
        self._copied: set[int] = set()
        # Whether values on the disk but not in `key_values` were deleted, rather than never read.
        self._values_read = True
        self._next_id = 1
        self._started_ns = clock.monotonic_ns()
        self._base_s = 0.0
        try:
            self._db = self._open()
        except (sqlite3.Error, OSError) as error:
            # If another process holds the file, that process delivers what is in it.
            found = Content([], {}) if is_locked(error) else rescue(path)
            self._values_read = bool(found.values)
            self.key_values.take(found.values)
            self._to_memory(error, found.rows)
        else:
            self.key_values.take(values_in(self._db))
            (self._base_s,) = self._db.execute("SELECT seconds FROM uptime").fetchone()
            self._count()

    @property
    def uptime_s(self) -> float:
        """Return seconds of uptime over all runs of the service.

        Ages are measured in it: neither a clock step nor a board that was switched off, or that
        boots in 1970, makes a message old.
        """
        return self._base_s + (self._clock.monotonic_ns() - self._started_ns) / NS_PER_S

    @property
    def problems(self) -> tuple[str, ...]:
        """Return what is wrong, as text."""
        full = ("outbox is full: the oldest messages are dropped",) if self._full else ()
        fault = (self._fault,) if self._fault else ()
        return (*fault, *full, *self.key_values.problems, *self._remarks)

    def commit(
        self,
        messages: Sequence[Message] = (),
        done: Iterable[int] = (),
        values: Mapping[str, bytes | None] | None = None,
    ) -> None:
        """Add messages, delete rows and change key-values, in one transaction.

        All is on the disk on return, unless the outbox is in memory.

        Args:
            messages: at most `MAX_MESSAGE_BYTES` each. A retained one replaces its topic's row.
            done: ids of rows to delete; unknown ones are ignored.
            values: to write by key; None deletes. What does not fit is counted by `KeyValues`.
        """
        done = tuple(done)
        changes = self.key_values.take(values or {})
        first = self._next_id
        self._next_id += len(messages)

        def change(db: sqlite3.Connection) -> Change:
            made = Change()
            for number in done:
                query = "DELETE FROM message WHERE id = ? RETURNING size_bytes"
                made.less(db.execute(query, (number,)))
            for number, message in enumerate(messages, first):
                if message.retain:
                    query = "DELETE FROM message WHERE retain AND topic = ? RETURNING size_bytes"
                    made.less(db.execute(query, (message.topic,)))
                insert(db, OutboxRow(number, message.retain, message.topic, message.payload, now_s))
                made.rows += 1
                made.bytes += message.size_bytes
            rows, size_bytes = self.rows + made.rows, self.bytes + made.bytes
            drop_oldest(db, made, rows, size_bytes, self._bounds)
            write_values(db, changes)
            db.execute("UPDATE uptime SET seconds = ?", (now_s,))
            return made

        now_s = self.uptime_s
        self._apply(self._do(change))

    def expire(self) -> None:
        """Drop what is too old, and store the uptime."""
        now_s = self.uptime_s

        def change(db: sqlite3.Connection) -> Change:
            made = Change()
            query = "DELETE FROM message WHERE recorded_s < ? RETURNING size_bytes"
            made.less(db.execute(query, (now_s - self._bounds.max_age_s,)), "age")
            db.execute("UPDATE uptime SET seconds = ?", (now_s,))
            return made

        if self.rows:
            self._apply(self._do(change))

    def oldest(
        self, limit: int, *, skip_ids: Iterable[int] = (), skip_topics: Iterable[str] = ()
    ) -> list[OutboxRow]:
        """Return rows in the order of sending: state first, then by age."""
        query = (
            "SELECT id, retain, topic, payload, recorded_s FROM message"
            " WHERE id NOT IN (SELECT value FROM json_each(?))"
            " AND topic NOT IN (SELECT value FROM json_each(?))"
            " ORDER BY retain DESC, id LIMIT ?"
        )
        arguments = (json.dumps(list(skip_ids)), json.dumps(list(skip_topics)), limit)
        found = self._do(lambda db: db.execute(query, arguments).fetchall())
        return [OutboxRow(number, bool(retain), *rest) for number, retain, *rest in found]

    def has(self, number: int) -> bool:
        """Return whether there is a row with this id."""
        query = "SELECT count(*) FROM message WHERE id = ?"
        (found,) = self._do(lambda db: db.execute(query, (number,)).fetchone())
        return bool(found)

    @property
    def disk_due(self) -> bool:
        """Return whether it is time to try the disk again."""
        return self.storage == "memory" and self.uptime_s >= self._retry_at_s

    def try_disk(self) -> None:
        """Move the outbox from memory to the disk, if it can be written again.

        Ids may change: nothing may be in flight meanwhile.
        """
        if self.storage == "disk":
            return
        try:
            disk = self._open()
        except (sqlite3.Error, OSError) as error:
            self._postpone(error)
            return
        rows = list(rows_in(self._db))
        # On the disk, but never read into memory: older than everything in memory.
        stranded = [
            replace(row, recorded_s=min(row.recorded_s, self._base_s))
            for row in rows_in(disk)
            if row.id not in self._copied
        ]
        if stranded:
            rows = [replace(row, id=n) for n, row in enumerate([*stranded, *rows], 1)]
        if not self._values_read:
            self.key_values.take(
                {k: v for k, v in values_in(disk).items() if k not in self.key_values.values}
            )
        try:
            with disk:
                disk.execute("DELETE FROM message")
                disk.execute("DELETE FROM note")
                write(disk, Content(rows, self.key_values.values))
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):
                disk.close()
            self._postpone(error)
            return
        self._db.close()
        self._db = disk
        self.storage = "disk"
        self._fault = ""
        self._copied = set()
        self._values_read = True
        self._count()
        self.commit()  # both together may exceed the bounds
        log.info("outbox: back on the disk, %d messages to send", self.rows)

    def close(self) -> None:
        """Close the file; what is in memory is lost."""
        with contextlib.suppress(sqlite3.Error):
            self._db.close()
        if self.storage == "memory" and self.rows:
            log.warning("outbox: %d messages in memory are lost", self.rows)

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run it in one transaction; if the disk fails, recover and run it again."""
        try:
            with self._db:
                return work(self._db)
        except sqlite3.Error as error:
            if self.storage == "memory":
                raise
            self._recover(error)
        with self._db:
            return work(self._db)

    def _recover(self, error: sqlite3.Error) -> None:
        rows = list(rows_in(self._db))
        with contextlib.suppress(sqlite3.Error):
            self._db.close()
        if is_damage(error):
            try:
                content = Content(rows, self.key_values.values)
                self._db = self._start_new_file(DamagedFileError.kind, str(error), content)
            except (sqlite3.Error, OSError) as further:
                error = sqlite3.OperationalError(str(further))
            else:
                self._count()
                return
        self._to_memory(error, rows)

    def _open(self) -> sqlite3.Connection:
        try:
            return open_file(self._path)
        except UnusableFileError as error:
            damaged = isinstance(error, DamagedFileError)
            found = rescue(self._path) if damaged else Content([], {})
            return self._start_new_file(error.kind, str(error), found)

    def _start_new_file(self, kind: str, why: str, content: Content) -> sqlite3.Connection:
        aside = keep_aside(self._path, kind)
        was = "damaged" if kind == DamagedFileError.kind else "written by a newer version"
        saved = f"{len(content.rows)} messages recovered from it"
        remark = f"outbox was {was} ({why}): kept as {aside.name}, {saved}"
        self._remarks = [*self._remarks, remark][-MAX_REMARKS:]
        log.warning("%s", remark)
        db = open_file(self._path)
        with db:
            write(db, content)
        return db

    def _to_memory(self, error: Exception, rows: list[OutboxRow]) -> None:
        self.storage = "memory"
        self._db = open_memory()
        with self._db:
            write(self._db, Content(rows, self.key_values.values))
        self._copied = {row.id for row in rows}
        self._count()
        self._postpone(error)

    def _postpone(self, error: Exception) -> None:
        why = "another process uses it" if is_locked(error) else str(error)
        fault = f"outbox is kept in memory: {self._path} cannot be written ({why})"
        if fault != self._fault:
            log.warning("%s", fault)
        self._fault = fault
        self._retry_at_s = self.uptime_s + self._retry_s

    def _apply(self, made: Change) -> None:
        self.rows += made.rows
        self.bytes += made.bytes
        self.dropped += made.dropped
        bounds = self._bounds
        full = bool(made.dropped["rows"] or made.dropped["bytes"])
        if self._full and not full:
            events, event_bytes = self._do(events_in)
            full = events >= bounds.max_rows or event_bytes >= bounds.max_bytes * 0.9
        if full and not self._full:
            log.warning("outbox is full: the oldest messages are dropped from now on")
        self._full = full

    def _count(self) -> None:
        query = "SELECT count(*), total(size_bytes), coalesce(max(id), 0) FROM message"
        self.rows, size_bytes, last = self._db.execute(query).fetchone()
        self.bytes = int(size_bytes)
        self._next_id = max(self._next_id, last + 1)
