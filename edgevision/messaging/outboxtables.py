"""The tables of the outbox: messages that wait and notes, as SQL."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgevision.messaging.message import is_topic
from edgevision.messaging.notes import MAX_NOTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from edgevision.config import OutboxConfig

SCHEMA = """
CREATE TABLE message (
    id INTEGER PRIMARY KEY,
    retain INTEGER NOT NULL,
    topic TEXT NOT NULL,
    payload BLOB NOT NULL,
    recorded_s REAL NOT NULL,
    size_bytes INTEGER NOT NULL
) STRICT;
CREATE INDEX message_order ON message(retain DESC, id);
CREATE UNIQUE INDEX message_state ON message(topic) WHERE retain;
CREATE TABLE uptime (seconds REAL NOT NULL) STRICT;
INSERT INTO uptime VALUES (0.0);
"""
# Files of earlier versions lack it; those versions pass over it.
NOTE_TABLE = """
CREATE TABLE IF NOT EXISTS note (
    key TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
"""
_COLUMNS = "SELECT id, retain, topic, payload, recorded_s FROM message "


@dataclass(frozen=True, slots=True)
class Row:
    """A message that waits.

    Attributes:
        id: ascending in the order of recording.
        retain: whether it is state, of which only the newest of a topic is kept.
        topic: MQTT topic.
        payload: what was recorded.
        recorded_s: when, in seconds of the service's uptime, all its runs together.
    """

    id: int
    retain: bool
    topic: str
    payload: bytes
    recorded_s: float

    @property
    def size_bytes(self) -> int:
        """Return the bytes of topic and payload, which the outbox's bound counts."""
        return len(self.topic.encode()) + len(self.payload)


@dataclass(frozen=True, slots=True)
class Content:
    """All that an outbox holds.

    Attributes:
        rows: messages, in the order of recording.
        notes: by key.
    """

    rows: list[Row]
    notes: dict[str, bytes]


@dataclass
class Change:
    """What a transaction does to the figures; counts only once it is committed."""

    rows: int = 0
    bytes: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    def less(self, found: Iterable[tuple[int]], why: str | None = None) -> None:
        """Count deleted rows by their sizes; `why` if they were dropped."""
        for (size_bytes,) in found:
            self.rows -= 1
            self.bytes -= size_bytes
            if why is not None:
                self.dropped[why] += 1


def rows_in(db: sqlite3.Connection) -> Iterator[Row]:
    """Yield every row in order; of a damaged file what can be read from both its ends."""
    last = 0
    try:
        for row in _select(db, _COLUMNS + "ORDER BY id"):
            yield row
            last = row.id
    except sqlite3.Error:
        after: list[Row] = []
        with contextlib.suppress(sqlite3.Error):
            query = _COLUMNS + "WHERE id > ? ORDER BY id DESC"
            for row in _select(db, query, last):
                after.append(row)  # noqa: PERF402 - what came before an error counts
        yield from reversed(after)


def notes_in(db: sqlite3.Connection) -> dict[str, bytes]:
    """Return every note by key; of a damaged file what can be read from both its ends."""
    found: dict[str, bytes] = {}
    ascending = "SELECT key, value FROM note ORDER BY key LIMIT ?"
    for query in (ascending, "SELECT key, value FROM note ORDER BY key DESC LIMIT ?"):
        try:
            for key, value in db.execute(query, (MAX_NOTES,)):
                if isinstance(key, str) and isinstance(value, bytes):
                    found.setdefault(key, value)
        except sqlite3.Error:
            continue
        break
    return found


def write(db: sqlite3.Connection, content: Content) -> None:
    """Add rows and notes, in the transaction of the caller."""
    for row in content.rows:
        insert(db, row)
    write_notes(db, content.notes)


def insert(db: sqlite3.Connection, row: Row) -> None:
    """Add a row, in the transaction of the caller."""
    values = (row.id, row.retain, row.topic, row.payload, row.recorded_s, row.size_bytes)
    db.execute("INSERT OR REPLACE INTO message VALUES (?, ?, ?, ?, ?, ?)", values)


def write_notes(db: sqlite3.Connection, changes: Mapping[str, bytes | None]) -> None:
    """Write notes, or delete those that are None, in the transaction of the caller."""
    for key, value in changes.items():
        if value is None:
            db.execute("DELETE FROM note WHERE key = ?", (key,))
        else:
            db.execute("INSERT OR REPLACE INTO note VALUES (?, ?)", (key, value))


def is_sound(row: Row) -> bool:
    """Return whether a row came through the damage: SQLite has no checksums."""
    try:
        if row.payload or not row.retain:  # an empty one takes back what is retained
            json.loads(row.payload)
        return is_topic(row.topic)
    except (ValueError, TypeError, AttributeError):
        return False


def drop_oldest(
    db: sqlite3.Connection, made: Change, rows: int, size_bytes: int, bounds: OutboxConfig
) -> None:
    """Delete what is above the bounds, the oldest events first, in the transaction of the caller.

    Args:
        db: the outbox.
        made: what the transaction has done so far; what is deleted is added.
        rows: how many messages there are now.
        size_bytes: of their topics and payloads.
        bounds: what is kept.
    """
    if rows <= bounds.max_rows and size_bytes <= bounds.max_bytes:
        return
    excess: list[tuple[int, str, int]] = []
    for number, size in db.execute("SELECT id, size_bytes FROM message ORDER BY retain, id"):
        over = rows > bounds.max_rows
        if not over and size_bytes <= bounds.max_bytes:
            break
        excess.append((number, "rows" if over else "bytes", size))
        rows -= 1
        size_bytes -= size
    for number, why, size in excess:
        db.execute("DELETE FROM message WHERE id = ?", (number,))
        made.less([(size,)], why)


def _select(db: sqlite3.Connection, query: str, *values: object) -> Iterator[Row]:
    for number, retain, topic, payload, recorded_s in db.execute(query, values):
        yield Row(number, bool(retain), topic, payload, recorded_s)
