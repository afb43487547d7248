"""A TCP proxy before a broker that records each message for which the broker sent a PUBACK.

It can cut every connection, hold the traffic, and turn new connections away. It reads packets
(MQTT 5, 2.1) only to record them; what passes is passed byte by byte, so that a cut may come in the
middle of a packet.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from typing import Self

CONNECT, PUBLISH, PUBACK = 1, 3, 4
PIECE_BYTES = 1000


@dataclass(frozen=True, slots=True)
class Taken:
    """A message that the broker acknowledged, at a monotonic second."""

    topic: str
    payload: bytes
    at_s: float


@dataclass
class _Conversation:
    near: socket.socket
    far: socket.socket
    version: int = 4
    sent: dict[int, tuple[str, bytes]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


class LedgerProxy:
    def __init__(self, behind: int) -> None:
        self.taken: list[Taken] = []
        self.open = True
        self._behind = behind
        self._flowing = threading.Event()
        self._flowing.set()
        self._lock = threading.Lock()
        self._conversations: list[_Conversation] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.open = False
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._accepting.join(5)
        self.cut()

    def cut(self) -> None:
        """Reset every connection, on both sides at once."""
        with self._lock:
            conversations, self._conversations = self._conversations, []
        for each in conversations:
            for sock in (each.near, each.far):
                with contextlib.suppress(OSError):
                    linger = struct.pack("ii", 1, 0)  # on close: RST, nothing more is sent
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
                sock.close()
        self._flowing.set()

    def hold(self) -> None:
        """Pass nothing more until the next cut: packets vanish without an error."""
        self._flowing.clear()

    def _accept(self) -> None:
        while True:
            try:
                near, _address = self._server.accept()
            except OSError:
                return
            if not self.open:
                near.close()
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self._behind))
            except OSError:
                near.close()
                continue
            for sock in (near, far):  # else pieces of a packet wait for each other
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            conversation = _Conversation(near, far)
            with self._lock:
                self._conversations.append(conversation)
            for source, target in ((near, far), (far, near)):
                threading.Thread(
                    target=self._pump, args=(conversation, source, target), daemon=True
                ).start()

    def _pump(
        self, conversation: _Conversation, source: socket.socket, target: socket.socket
    ) -> None:
        buffer = bytearray()
        with contextlib.suppress(OSError):
            while data := source.recv(PIECE_BYTES):
                self._flowing.wait(10)
                buffer += data
                # Noted first: the PUBACK may be here before this thread runs again.
                self._note(conversation, buffer)
                target.sendall(data)
        for sock in (source, target):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _note(self, conversation: _Conversation, buffer: bytearray) -> None:
        while (packet := _take_packet(buffer)) is not None:
            kind, flags, body = packet
            if kind == CONNECT:
                conversation.version = body[6]
            elif kind == PUBLISH and flags & 0b110:
                topic, body = _text(body)
                mid, body = int.from_bytes(body[:2]), body[2:]
                if conversation.version == 5:
                    length, size = _length(body, 0) or (0, 0)
                    body = body[size + length :]
                with conversation.lock:
                    conversation.sent[mid] = (topic, bytes(body))
            elif kind == PUBACK and (len(body) < 3 or body[2] < 0x80):
                with conversation.lock:
                    found = conversation.sent.pop(int.from_bytes(body[:2]), None)
                if found is not None:
                    self.taken.append(Taken(*found, time.monotonic()))


def _take_packet(buffer: bytearray) -> tuple[int, int, bytes] | None:
    """Take the first packet, if it is complete: type, flags, what follows the fixed header."""
    found = _length(buffer, 1)
    if found is None:
        return None
    length, size = found
    begin = 1 + size
    if len(buffer) < begin + length:
        return None
    packet = buffer[0] >> 4, buffer[0] & 15, bytes(buffer[begin : begin + length])
    del buffer[: begin + length]
    return packet


def _length(data: bytes | bytearray, at: int) -> tuple[int, int] | None:
    """Return a variable byte integer (MQTT 5, 1.5.5) and its size in bytes."""
    value = 0
    for size in range(1, 5):
        if at + size > len(data):
            return None
        byte = data[at + size - 1]
        value |= (byte & 127) << 7 * (size - 1)
        if byte < 128:
            return value, size
    return None


def _text(body: bytes) -> tuple[str, bytes]:
    length = int.from_bytes(body[:2])
    return body[2 : 2 + length].decode(), body[2 + length :]
