"""A server on loopback that gives every request the same answer, or none."""

from __future__ import annotations

import socket
import threading
from typing import Self


class Answering:
    """Answers each request, HTTP or RTSP, with these bytes until the `with` block ends."""

    def __init__(self, answer: bytes | None, *, hangs: bool = False) -> None:
        """Answer with `answer`; then hang up, or be silent. None: never accept anyone."""
        self._answer = answer
        self._hangs = hangs
        self._server = socket.socket()
        self._server.bind(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._server.listen(0 if answer is None else 16)
        self._kept: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        if self._answer is None:  # a full queue: further connections are not even refused
            for _ in range(4):
                waiting = socket.socket()
                waiting.setblocking(False)  # noqa: FBT003
                waiting.connect_ex(("127.0.0.1", self.port))
                self._kept.append(waiting)
        else:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread.is_alive():
            self._server.shutdown(socket.SHUT_RDWR)
            self._thread.join()
        self._server.close()
        for connection in self._kept:
            connection.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            connection.settimeout(10)
            try:
                self._talk(connection)
            except OSError:
                connection.close()

    def _talk(self, connection: socket.socket) -> None:
        assert self._answer is not None
        asked = b""
        while more := connection.recv(4096):
            asked += more
            if asked.startswith(b"\x16"):  # the beginning of TLS
                connection.sendall(self._answer)
                break
            while b"\r\n\r\n" in asked:
                request, _, asked = asked.partition(b"\r\n\r\n")
                answer = self._answer
                if b" RTSP/" in request:
                    number = request.partition(b"CSeq: ")[2].partition(b"\r\n")[0]
                    if request.startswith(b"OPTIONS"):
                        answer = b"RTSP/1.0 200 OK\r\nPublic: DESCRIBE, SETUP, PLAY\r\n\r\n"
                    answer = answer.replace(b"\r\n", b"\r\nCSeq: " + number + b"\r\n", 1)
                connection.sendall(answer)
                if b" HTTP/" in request:
                    if self._hangs:
                        self._kept.append(connection)
                    else:
                        connection.close()
                    return
        connection.close()


def http(status: str, body: bytes = b"") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def rtsp(status: str) -> bytes:
    return f"RTSP/1.0 {status}\r\n\r\n".encode()
