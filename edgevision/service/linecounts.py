"""Counters of lines kept as notes of the outbox, so that they survive a restart."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from edgevision.tracks import LineCount

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger(__name__)

NOTE = "line/"


def count_notes(count: LineCount) -> dict[str, bytes]:
    """Return a counter as a note under its key."""
    value = json.dumps(asdict(count) | {"since": count.since.isoformat()})
    return {f"{NOTE}{count.camera}/{count.line}": value.encode()}


def counts_in(notes: Mapping[str, bytes]) -> list[LineCount]:
    """Return the counters among notes; what is damaged is logged and left out."""
    counts = []
    for key, value in notes.items():
        if key.startswith(NOTE):
            try:
                counts.append(_count(json.loads(value)))
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                log.warning("note %s: damaged; the counter begins again", key)
    return counts


def _count(stored: dict[str, Any]) -> LineCount:
    count = LineCount(**stored | {"since": datetime.fromisoformat(stored["since"])})
    names = (count.camera, count.line, count.from_side, count.to_side)
    numbers = (count.forward, count.backward)
    if (
        not all(isinstance(name, str) for name in names)
        or not all(isinstance(number, int) and number >= 0 for number in numbers)
        or count.since.tzinfo is None
    ):
        msg = f"expected a counter, got {count}"
        raise ValueError(msg)
    return count
