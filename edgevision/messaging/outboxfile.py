"""The outbox's SQLite file: opened, created, read when damaged, kept aside when unusable."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
from pathlib import Path

from edgevision.messaging.outboxtables import (
    NOTE_TABLE,
    SCHEMA,
    Content,
    is_sound,
    notes_in,
    rows_in,
)

VERSION = 1
APPLICATION_ID = 0x45566F78  # "EVox"
BUSY_S = 1.0
# Unusable files kept of each kind; then the oldest makes room.
MAX_ASIDE = 3
# A file larger than this is not read through at the start; damage shows when it is met.
MAX_CHECKED_BYTES = 1 << 28
# Files that belong together (https://www.sqlite.org/wal.html, sections 2 and 4).
PARTS = ("", "-wal", "-shm")

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class UnusableFileError(Exception):
    """A file that is not an outbox that this version can read; `kind` is for its new name."""

    kind = "unusable"


class DamagedFileError(UnusableFileError):
    """The file is damaged, or no outbox at all."""

    kind = "corrupt"


class NewerFileError(UnusableFileError):
    """A newer version of edgevision wrote the file."""

    kind = "newer"


def is_damage(error: Exception) -> bool:
    """Return whether this error says that the file itself is damaged."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED  # extended codes: upper bits


def is_locked(error: Exception) -> bool:
    """Return whether another process uses the file."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def open_memory() -> sqlite3.Connection:
    """Return an empty outbox in memory."""
    db = sqlite3.connect(":memory:", check_same_thread=False)
    db.executescript(SCHEMA + NOTE_TABLE)
    return db


def open_file(path: Path) -> sqlite3.Connection:
    """Open an outbox, or create it with mode 0600 in a folder with mode 0700.

    One process only: the lock is held until the connection is closed. A commit is on the disk
    when it returns (https://www.sqlite.org/pragma.html#pragma_synchronous, FULL).

    Raises:
        DamagedFileError: it is damaged, or no outbox.
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
    """Return what can be read of a file that cannot be opened, from a copy; nothing if nothing."""
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
            found.notes.update(notes_in(db))
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
        msg = "the file system does not take a write-ahead log"
        raise sqlite3.OperationalError(msg)
    db.execute("PRAGMA synchronous = FULL")
    db.execute(f"PRAGMA journal_size_limit = {1 << 20}")
    if not tables:
        marks = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION};"
        db.executescript(f"BEGIN IMMEDIATE; {SCHEMA} {NOTE_TABLE} {marks} COMMIT;")
        return
    if path.stat().st_size <= MAX_CHECKED_BYTES:
        found = _pragma(db, "quick_check(1)")
        if found != "ok":
            raise DamagedFileError(str(found))
    # The lock is taken by the first write, and what cannot be written shows here.
    with db:
        db.execute("UPDATE uptime SET seconds = seconds")
        db.execute(NOTE_TABLE)


def _pragma(db: sqlite3.Connection, text: str) -> object:
    row = db.execute(f"PRAGMA {text}").fetchone()
    return None if row is None else row[0]


def _part(path: Path, part: str) -> Path:
    return path.with_name(path.name + part)
