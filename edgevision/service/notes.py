"""Messages kept as notes of the outbox: what the next start sends, should this run break off."""

from __future__ import annotations

import json
import logging
import zlib
from typing import TYPE_CHECKING

from edgevision.messaging.message import Message, is_topic

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger(__name__)

# Before the id of an object that has begun: its `end`, as it is to be sent if nobody else sends it.
OPEN = "open/"
_LONGEST_HEAD = 1 << 18


def note_of(message: Message) -> bytes:
    """Return a message as a note: CRC-32, topic, QoS and retain as a line of JSON, the payload."""
    head = [_checksum(message), message.topic, message.qos, message.retain]
    return json.dumps(head, separators=(",", ":")).encode() + b"\n" + message.payload


def message_of(value: bytes) -> Message:
    """Return the message that `note_of` was given.

    Raises:
        ValueError: the note is damaged, or was never a message.
    """
    head, _, payload = value.partition(b"\n")
    try:
        checksum, topic, qos, retain = json.loads(head[:_LONGEST_HEAD])
        message = Message(topic, payload, qos, retain)
        if is_topic(topic) and checksum == _checksum(message):
            return message
    except (ValueError, TypeError, AttributeError, RecursionError):
        pass
    msg = f"expected a message, got {len(value)} damaged bytes"
    raise ValueError(msg)


def messages_in(notes: Mapping[str, bytes], prefix: str = OPEN) -> dict[str, Message]:
    """Return the messages among notes by key; what is damaged is logged and left out."""
    found: dict[str, Message] = {}
    for key, value in notes.items():
        if key.startswith(prefix):
            try:
                found[key] = message_of(value)
            except ValueError as error:
                log.warning("note %s: %s; ignored", key, error)
    return found


def _checksum(message: Message) -> int:
    head = f"{message.topic}\n{message.qos}\n{message.retain}\n"
    return zlib.crc32(message.payload, zlib.crc32(head.encode()))
