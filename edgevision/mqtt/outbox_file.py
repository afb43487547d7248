"""The outbox's SQLite file and its tables: messages to send, and key-values stored with them.

The file is opened or created, read as far as possible when damaged, kept aside when unusable.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import sqlite3
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edgevision.mqtt.message import is_topic

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from edgevision.config.settings import OutboxConfig

log = logging.getLogger(__name__)

VERSION = 1
APPLICATION_ID = 0x45566F78  # "EVox"
BUSY_S = 1.0

# Unusable files kept of each kind; beyond them the oldest is replaced.
MAX_ASIDE = 3

# A larger file is not checked at the start; damage shows once it is read.
MAX_CHECKED_BYTES = 1 << 28

# The files of one database (https://www.sqlite.org/wal.html, sections 2 and 4).
PARTS = ("", "-wal", "-shm")
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

# 64 cameras with 8 zones and counts of 80 labels retain 46,000 topics, each with a key.
MAX_KEYS = 1 << 16
MAX_VALUES_BYTES = 16 << 20
MAX_KEY_BYTES = 512
# A value may hold a whole message and its topic, or the names of all Home Assistant entities.
MAX_VALUE_BYTES = 1 << 21

# State has bounds of its own, so that it never displaces an event: one message a topic.
MAX_STATE_ROWS = 1 << 16
MAX_STATE_BYTES = 32 << 20

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

# The key-values. Files of earlier versions lack this table; those versions ignore it.
VALUE_TABLE = """
CREATE TABLE IF NOT EXISTS note (
    key TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
"""

_COLUMNS = "SELECT id, retain, topic, payload, recorded_s FROM message "


class UnusableFileError(Exception):
    """A file that this version cannot read as an outbox; `kind` goes into its new name."""

    kind = "unusable"


class DamagedFileError(UnusableFileError):
    """The file is damaged, or is not an outbox."""

    kind = "corrupt"


class NewerFileError(UnusableFileError):
    """A newer version of edgevision wrote the file."""

    kind = "newer"


def is_damage(error: Exception) -> bool:
    """Return whether this error means that the file itself is damaged."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED  # extended codes: upper bits


def is_locked(error: Exception) -> bool:
    """Return whether this error means that another process uses the file."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def open_memory() -> sqlite3.Connection:
    """Return an empty outbox in memory."""
    db = sqlite3.connect(":memory:", check_same_thread=False)
    db.executescript(SCHEMA + VALUE_TABLE)
    return db


def open_file(path: Path) -> sqlite3.Connection:
    """Open an outbox, or create it with mode 0600 in a folder with mode 0700.

    One process only: the lock is held until the connection is closed. A commit is on the disk
    when it returns (https://www.sqlite.org/pragma.html#pragma_synchronous, FULL).

    Raises:
        DamagedFileError: it is damaged, or is not an outbox.
        NewerFileError: a newer version wrote it.
        sqlite3.Error, OSError: it cannot be opened or written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.is_dir():
        msg = "expected a file, got a folder"
        raise DamagedFileError(msg)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    path.chmod(0o600)
    db = sqlite3.connect(path, timeout=BUSY_S, check_same_thread=False)
    try:
        _prepare(db, path)
    except BaseException as error:
        with contextlib.suppress(sqlite3.Error):
            db.close()
        if isinstance(error, sqlite3.Error) and is_damage(error):
            raise DamagedFileError(str(error)) from error
        raise
    return db


def rescue(path: Path) -> Content:
    """Return what can be read, from a copy, of a file that cannot be opened."""
    found = Content([], {})
    with (
        contextlib.suppress(sqlite3.Error, OSError),
        tempfile.TemporaryDirectory(prefix="edgevision-outbox-") as folder,
    ):
        copy = Path(folder) / path.name
        for part in PARTS[:2]:
            if _part(path, part).is_file():
                shutil.copyfile(_part(path, part), _part(copy, part))
        with contextlib.closing(sqlite3.connect(copy)) as db:
            found.rows.extend(row for row in rows_in(db) if is_sound(row))
            found.values.update(values_in(db))
    return found


def keep_aside(path: Path, kind: str) -> Path:
    """Rename an unusable file to `<name>.<kind>-<number>`, at most `MAX_ASIDE` of them.

    Returns:
        Its new path.

    Raises:
        OSError: it cannot be renamed.
    """
    names = [path.with_name(f"{path.name}.{kind}-{number}") for number in range(1, MAX_ASIDE + 1)]
    free = [name for name in names if not name.exists()]
    target = free[0] if free else min(names, key=lambda name: name.stat().st_mtime)
    for part in PARTS:
        old = _part(target, part)
        if old.is_dir():
            shutil.rmtree(old)
        else:
            old.unlink(missing_ok=True)
    for part in PARTS:
        if _part(path, part).exists():
            _part(path, part).rename(_part(target, part))
    os.utime(target)
    return target


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A stored message.

    Attributes:
        id: ascending in the order of recording.
        retain: whether it is state, of which only the newest of a topic is kept.
        topic: MQTT topic.
        payload: what was recorded.
        recorded_s: when, in seconds of the service's uptime over all its runs.
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
    """Everything in an outbox.

    Attributes:
        rows: messages, in the order of recording.
        values: by key.
    """

    rows: list[OutboxRow]
    values: dict[str, bytes]


@dataclass
class Change:
    """What a transaction changes in the figures; valid once it is committed."""

    rows: int = 0
    bytes: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    def less(self, found: Iterable[tuple[int]], why: str | None = None) -> None:
        """Subtract deleted rows, given their sizes; `why` if they were dropped."""
        for (size_bytes,) in found:
            self.rows -= 1
            self.bytes -= size_bytes
            if why is not None:
                self.dropped[why] += 1


def rows_in(db: sqlite3.Connection) -> Iterator[OutboxRow]:
    """Yield every row in order; of a damaged file, what can be read from both ends."""
    last = 0
    try:
        for row in _select(db, _COLUMNS + "ORDER BY id"):
            yield row
            last = row.id
    except sqlite3.Error:
        after: list[OutboxRow] = []
        with contextlib.suppress(sqlite3.Error):
            query = _COLUMNS + "WHERE id > ? ORDER BY id DESC"
            for row in _select(db, query, last):
                after.append(row)  # noqa: PERF402 - rows before an error count
        yield from reversed(after)


def values_in(db: sqlite3.Connection) -> dict[str, bytes]:
    """Return every value by key; of a damaged file, what can be read from both ends."""
    found: dict[str, bytes] = {}
    ascending = "SELECT key, value FROM note ORDER BY key LIMIT ?"
    for query in (ascending, "SELECT key, value FROM note ORDER BY key DESC LIMIT ?"):
        try:
            for key, value in db.execute(query, (MAX_KEYS,)):
                if isinstance(key, str) and isinstance(value, bytes):
                    found.setdefault(key, value)
        except sqlite3.Error:
            continue
        break
    return found


def write(db: sqlite3.Connection, content: Content) -> None:
    """Add rows and values, in the caller's transaction."""
    for row in content.rows:
        insert(db, row)
    write_values(db, content.values)


def insert(db: sqlite3.Connection, row: OutboxRow) -> None:
    """Add a row, in the caller's transaction."""
    values = (row.id, row.retain, row.topic, row.payload, row.recorded_s, row.size_bytes)
    db.execute("INSERT OR REPLACE INTO message VALUES (?, ?, ?, ?, ?, ?)", values)


def write_values(db: sqlite3.Connection, changes: Mapping[str, bytes | None]) -> None:
    """Write values, or delete those that are None, in the caller's transaction."""
    for key, value in changes.items():
        if value is None:
            db.execute("DELETE FROM note WHERE key = ?", (key,))
        else:
            db.execute("INSERT OR REPLACE INTO note VALUES (?, ?)", (key, value))


def is_sound(row: OutboxRow) -> bool:
    """Return whether a row is intact: SQLite has no checksums."""
    try:
        if row.payload or not row.retain:  # an empty one clears what is retained
            json.loads(row.payload)
        return is_topic(row.topic)
    except (ValueError, TypeError, AttributeError):
        return False


def drop_oldest(
    db: sqlite3.Connection, made: Change, rows: int, size_bytes: int, bounds: OutboxConfig
) -> None:
    """Delete the oldest events above the bounds, in the caller's transaction.

    State is not counted with the events and displaces none; it has `MAX_STATE_ROWS` and
    `MAX_STATE_BYTES`.

    Args:
        db: the outbox.
        made: the changes so far; the deletions are added.
        rows: how many messages there are now.
        size_bytes: of their topics and payloads.
        bounds: what is kept of events.
    """
    if rows <= bounds.max_rows and size_bytes <= bounds.max_bytes:
        return
    events, event_bytes = events_in(db)
    excess = _excess(db, (events, event_bytes), (bounds.max_rows, bounds.max_bytes), retain=False)
    state = (rows - events, size_bytes - event_bytes)
    excess += _excess(db, state, (MAX_STATE_ROWS, MAX_STATE_BYTES), retain=True)
    for number, why, size in excess:
        db.execute("DELETE FROM message WHERE id = ?", (number,))
        made.less([(size,)], why)


def events_in(db: sqlite3.Connection) -> tuple[int, int]:
    """Return how many events there are, without state, and the bytes of topics and payloads."""
    query = "SELECT count(*), total(size_bytes) FROM message WHERE retain = 0"
    rows, size_bytes = db.execute(query).fetchone()
    return rows, int(size_bytes)


def _excess(
    db: sqlite3.Connection, found: tuple[int, int], bounds: tuple[int, int], *, retain: bool
) -> list[tuple[int, str, int]]:
    """Return id, exceeded bound and size of the oldest rows of a kind that are above its bounds.

    Args:
        db: the outbox.
        found: how many rows of this kind there are, and their bytes.
        bounds: how many rows and bytes are kept.
        retain: whether it is state, else events.
    """
    (rows, size_bytes), (max_rows, max_bytes) = found, bounds
    excess: list[tuple[int, str, int]] = []
    if rows <= max_rows and size_bytes <= max_bytes:
        return excess
    query = "SELECT id, size_bytes FROM message WHERE retain = ? ORDER BY id"
    for number, size in db.execute(query, (retain,)):
        over = rows > max_rows
        if not over and size_bytes <= max_bytes:
            break
        excess.append((number, "rows" if over else "bytes", size))
        rows -= 1
        size_bytes -= size
    return excess


class KeyValues:
    """Small facts by key, stored with the messages they belong to; above a bound they are refused.

    Attributes:
        values: by key.
        refused: how many values were refused since the start.
    """

    def __init__(self) -> None:
        """Start empty."""
        self.values: dict[str, bytes] = {}
        self.refused = 0
        self._bytes = 0

    @property
    def problems(self) -> tuple[str, ...]:
        """Return what is wrong, as text."""
        if not self.refused:
            return ()
        bounds = f"at most {MAX_KEYS} of {MAX_VALUES_BYTES} bytes in total"
        return (f"outbox: {self.refused} values were not stored: expected {bounds}",)

    def take(self, changes: Mapping[str, bytes | None]) -> dict[str, bytes | None]:
        """Write values, delete those that are None, and return the changes that were accepted."""
        accepted: dict[str, bytes | None] = {}
        for key, value in changes.items():
            if self._set(key, value):
                accepted[key] = value
                continue
            if not self.refused:
                log.warning("outbox: the value of %.80r exceeds the limits and is not stored", key)
            self.refused += 1
        return accepted

    def _set(self, key: str, value: bytes | None) -> bool:
        old = self.values.get(key)
        key_bytes = len(key.encode())
        freed = 0 if old is None else key_bytes + len(old)
        if value is None:
            self.values.pop(key, None)
            self._bytes -= freed
            return True
        added = key_bytes + len(value)
        fits = (
            0 < key_bytes <= MAX_KEY_BYTES
            and len(value) <= MAX_VALUE_BYTES
            and (old is not None or len(self.values) < MAX_KEYS)
            and self._bytes - freed + added <= MAX_VALUES_BYTES
        )
        if fits:
            self.values[key] = value
            self._bytes += added - freed
        return fits


class KeyValueChanges(KeyValues):
    """Changes of key-values that are still to be stored: the last one of each key counts."""

    def __init__(self) -> None:
        """Start empty."""
        super().__init__()
        self._deleted: set[str] = set()

    def __bool__(self) -> bool:
        """Return whether there are any."""
        return bool(self.values or self._deleted)

    def pop(self) -> dict[str, bytes | None]:
        """Return the changes, deletions as None, and start empty again."""
        changes = {**dict.fromkeys(self._deleted), **self.values}
        self.values, self._deleted, self._bytes = {}, set(), 0
        return changes

    def _set(self, key: str, value: bytes | None) -> bool:
        if value is None and len(self._deleted) >= MAX_KEYS:
            return False
        done = super()._set(key, value)
        if value is None:
            self._deleted.add(key)
        elif done:
            self._deleted.discard(key)
        return done


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    db.execute("PRAGMA trusted_schema = OFF")
    db.execute("PRAGMA cell_size_check = ON")
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    (tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    version = _pragma(db, "user_version")
    if tables and _pragma(db, "application_id") != APPLICATION_ID:
        msg = "expected an outbox, got another kind of database"
        raise DamagedFileError(msg)
    if tables and version != VERSION:
        msg = f"expected version {VERSION}, got {version}"
        raise NewerFileError(msg)
    if _pragma(db, "journal_mode = WAL") != "wal":
        msg = "the file system does not support a write-ahead log"
        raise sqlite3.OperationalError(msg)
    db.execute("PRAGMA synchronous = FULL")
    db.execute(f"PRAGMA journal_size_limit = {1 << 20}")
    if not tables:
        marks = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION};"
        db.executescript(f"BEGIN IMMEDIATE; {SCHEMA} {VALUE_TABLE} {marks} COMMIT;")
        return
    if path.stat().st_size <= MAX_CHECKED_BYTES:
        found = _pragma(db, "quick_check(1)")
        if found != "ok":
            raise DamagedFileError(str(found))
    # The first write takes the lock, and shows whether the file can be written.
    with db:
        db.execute("UPDATE uptime SET seconds = seconds")
        db.execute(VALUE_TABLE)


def _pragma(db: sqlite3.Connection, text: str) -> object:
    row = db.execute(f"PRAGMA {text}").fetchone()
    return None if row is None else row[0]


def _part(path: Path, part: str) -> Path:
    return path.with_name(path.name + part)


def _select(db: sqlite3.Connection, query: str, *values: object) -> Iterator[OutboxRow]:
    for number, retain, topic, payload, recorded_s in db.execute(query, values):
        yield OutboxRow(number, bool(retain), topic, payload, recorded_s)
