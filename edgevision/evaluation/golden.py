"""Comparing the events of a recording with those of an earlier run: added, missing or moved."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from edgevision.errors import OutputError, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

MAX_BYTES = 256 << 20

# Two events of one kind that are further apart are taken for different ones.
SAME_WITHIN_MS = 5000.0


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """The part of an event that two runs have in common; ids and boxes are left out.

    Attributes:
        what: kind, place and label, as in `zone enter drive Person`.
        at: time of day in the recording, UTC.
    """

    what: str
    at: datetime

    def __str__(self) -> str:
        """Return time and kind as one line."""
        return f"{self.at:%H:%M:%S}.{self.at.microsecond // 1000:03d}  {self.what}"


@dataclass(frozen=True, slots=True)
class Difference:
    """One event that the two runs do not share.

    Attributes:
        sign: + added, - missing, ~ moved.
        event: the new one; for - the old one.
        moved_ms: how much later it occurred.
    """

    sign: Literal["+", "-", "~"]
    event: RecordedEvent
    moved_ms: float = 0.0

    def __str__(self) -> str:
        """Return it as one line."""
        moved = f"  {self.moved_ms:+.0f} ms" if self.sign == "~" else ""
        return f"{self.sign} {self.event}{moved}"


def read_event(line: bytes) -> RecordedEvent:
    """Return the event of a message on `<camera>/events`.

    Raises:
        ValueError: it is not such a message.
    """
    message = json.loads(line)
    try:
        kind = [message["type"], *_place(message)]
        label = (message.get("after") or message["object"])["label"]
        return RecordedEvent(" ".join([*kind, label]), _moment(message["occurred_at"]))
    except (KeyError, TypeError, AttributeError):
        msg = "expected an event of `replay --events`"
        raise ValueError(msg) from None


def read_golden(path: Path) -> list[RecordedEvent]:
    """Read a file written by `write_golden`.

    Raises:
        SourceError: it cannot be read, is too large, or has a line that is not an event.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        msg = f"{path}: cannot be read ({error.strerror}); write it with --update-golden"
        raise SourceError(msg) from None
    if len(content) > MAX_BYTES:
        msg = f"{path}: expected at most {MAX_BYTES >> 20} MiB of events, got more"
        raise SourceError(msg)
    events = []
    for number, line in enumerate(content.splitlines(), 1):
        try:
            events.append(read_event(line))
        except (ValueError, RecursionError):
            msg = f"{path}:{number}: expected an event from `replay --events`, got another line"
            raise SourceError(msg) from None
    return events


def write_golden(path: Path, lines: Iterable[bytes]) -> None:
    """Store the events of a run, one message per line.

    Raises:
        OutputError: the file cannot be written.
    """
    try:
        path.write_bytes(b"".join(line + b"\n" for line in lines))
    except OSError as error:
        msg = f"{path}: cannot be written ({error.strerror})"
        raise OutputError(msg) from None


def differences(
    old: Sequence[RecordedEvent], new: Sequence[RecordedEvent], *, tolerance_ms: float
) -> list[Difference]:
    """Return events that were added, are missing or moved by more than the tolerance, by time.

    Events of one kind are paired in order, as long as they are within `SAME_WITHIN_MS`.
    """
    found: list[Difference] = []
    before, after = _by_kind(old), _by_kind(new)
    for what in sorted(before.keys() | after.keys()):
        found += _of_one_kind(before[what], after[what], tolerance_ms)
    return sorted(found, key=lambda each: (each.event.at, each.event.what, each.sign))


def _place(message: dict[str, Any]) -> Iterator[str]:
    if message["type"] == "update":
        yield message["reason"]
    for key in ("action", "zone", "line"):
        if key in message:
            yield message[key]
    if message["type"] == "line":
        yield f"{message['from']} to {message['to']}"


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        msg = f"expected a time with its offset from UTC, got {text}"
        raise ValueError(msg)
    return moment


def _by_kind(events: Sequence[RecordedEvent]) -> defaultdict[str, list[RecordedEvent]]:
    kinds: defaultdict[str, list[RecordedEvent]] = defaultdict(list)
    for event in sorted(events, key=lambda each: each.at):
        kinds[event.what].append(event)
    return kinds


def _of_one_kind(
    old: Sequence[RecordedEvent], new: Sequence[RecordedEvent], tolerance_ms: float
) -> Iterator[Difference]:
    within_ms = max(SAME_WITHIN_MS, tolerance_ms)
    i = j = 0
    while i < len(old) and j < len(new):
        moved_ms = (new[j].at - old[i].at).total_seconds() * 1000
        if abs(moved_ms) <= within_ms:
            if abs(moved_ms) > tolerance_ms:
                yield Difference("~", new[j], moved_ms)
            i, j = i + 1, j + 1
        elif moved_ms > 0:
            yield Difference("-", old[i])
            i += 1
        else:
            yield Difference("+", new[j])
            j += 1
    yield from (Difference("-", event) for event in old[i:])
    yield from (Difference("+", event) for event in new[j:])
