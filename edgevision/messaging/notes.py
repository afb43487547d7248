"""Notes: small facts by key that are stored together with the messages they belong to, bounded."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger(__name__)

MAX_NOTES = 10_000
MAX_NOTES_BYTES = 16 << 20
MAX_KEY_BYTES = 512
# A note may hold a whole message and its topic.
MAX_NOTE_BYTES = 1 << 19


class Notes:
    """Notes as they are; what is above a bound is refused and counted.

    Attributes:
        values: by key.
        refused: how many were not taken since the start.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self.values: dict[str, bytes] = {}
        self.refused = 0
        self._bytes = 0

    @property
    def problems(self) -> tuple[str, ...]:
        """Return what is wrong, in words."""
        if not self.refused:
            return ()
        bounds = f"at most {MAX_NOTES} of {MAX_NOTES_BYTES} bytes together"
        return (f"outbox: {self.refused} notes were not kept: expected {bounds}",)

    def take(self, changes: Mapping[str, bytes | None]) -> dict[str, bytes | None]:
        """Write notes, delete those that are None, and return the changes that were taken."""
        taken: dict[str, bytes | None] = {}
        for key, value in changes.items():
            if self._set(key, value):
                taken[key] = value
                continue
            if not self.refused:
                log.warning("outbox: the note %.80r does not fit and is not kept", key)
            self.refused += 1
        return taken

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
            and len(value) <= MAX_NOTE_BYTES
            and (old is not None or len(self.values) < MAX_NOTES)
            and self._bytes - freed + added <= MAX_NOTES_BYTES
        )
        if fits:
            self.values[key] = value
            self._bytes += added - freed
        return fits


class NoteChanges(Notes):
    """Changes of notes that are still to be stored: the last one of each key counts."""

    def __init__(self) -> None:
        """Begin with none."""
        super().__init__()
        self._deleted: set[str] = set()

    def __bool__(self) -> bool:
        """Return whether there are any."""
        return bool(self.values or self._deleted)

    def pop(self) -> dict[str, bytes | None]:
        """Return the changes, deletions as None, and begin anew."""
        changes = {**dict.fromkeys(self._deleted), **self.values}
        self.values, self._deleted, self._bytes = {}, set(), 0
        return changes

    def _set(self, key: str, value: bytes | None) -> bool:
        if value is None and len(self._deleted) >= MAX_NOTES:
            return False
        done = super()._set(key, value)
        if value is None:
            self._deleted.add(key)
        elif done:
            self._deleted.discard(key)
        return done
