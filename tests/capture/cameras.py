"""A network camera on loopback: Motion JPEG over HTTP, as most cameras send it."""

from __future__ import annotations

import threading
from base64 import b64encode
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self

import cv2
import numpy as np

if TYPE_CHECKING:
    from edgevision.frames import U8

BOUNDARY = "frame"


@dataclass(frozen=True)
class Behaviour:
    """What a camera does.

    Attributes:
        frames: how many it sends; then it closes the connection or, with `hangs`, is silent.
        hangs: be silent after the last frame and keep the connection.
        width, height: size of its pictures.
        noisy: pictures that hardly compress.
        login: user:password that it asks for.
        period_s: time between two pictures.
        corrupt: numbers of the pictures that it sends as something that is no JPEG.
        grows_at: from this picture on they are twice as wide and high.
    """

    frames: int = 10_000
    hangs: bool = False
    width: int = 64
    height: int = 48
    noisy: bool = False
    login: str | None = None
    period_s: float = 0.005
    corrupt: range = range(0)
    grows_at: int | None = None


class MjpegCamera:
    """Serves /video.mjpg until the `with` block ends; any other path is not found.

    Another `behaviour` takes effect immediately.
    """

    def __init__(self, behaviour: Behaviour | None = None) -> None:
        self.behaviour = behaviour or Behaviour()
        self.requests = 0
        self._closing = threading.Event()
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                camera._serve(self)

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def address(self) -> str:
        """Return host and port."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        """Return the address of the pictures."""
        return f"http://{self.address}/video.mjpg"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _serve(self, request: BaseHTTPRequestHandler) -> None:
        self.requests += 1
        if request.path != "/video.mjpg":
            request.send_error(404)
            return
        if self.behaviour.login is not None:
            expected = f"Basic {b64encode(self.behaviour.login.encode()).decode()}"
            if request.headers["Authorization"] != expected:
                request.send_response(401)
                request.send_header("WWW-Authenticate", 'Basic realm="camera"')
                request.end_headers()
                return
        if self.behaviour.hangs and self.behaviour.frames == 0:
            self._hang()
            return
        request.send_response(200)
        request.send_header("Content-Type", f"multipart/x-mixed-replace;boundary={BOUNDARY}")
        request.end_headers()
        try:
            index = 0
            while index < self.behaviour.frames:
                image = picture(index, self.behaviour)
                request.wfile.write(part(image, spoilt=index in self.behaviour.corrupt))
                if self._closing.wait(self.behaviour.period_s):
                    return
                index += 1
            self._hang()
        except ConnectionError:  # the client has disconnected
            return

    def _hang(self) -> None:
        while self.behaviour.hangs and not self._closing.wait(0.1):
            pass


def picture(index: int, behaviour: Behaviour) -> U8:
    """Return a picture whose grey says its number, uint8 [h, w, 3]."""
    scale = 2 if behaviour.grows_at is not None and index >= behaviour.grows_at else 1
    shape = (behaviour.height * scale, behaviour.width * scale, 3)
    if behaviour.noisy:
        return np.random.default_rng(index).integers(0, 256, shape, np.uint8)
    return np.full(shape, 20 + index % 200, np.uint8)


def part(image: U8, *, spoilt: bool = False) -> bytes:
    """Return one JPEG with its header, as a part of the endless response."""
    done, encoded = cv2.imencode(".jpg", image)
    assert done
    jpeg = encoded.tobytes()
    if spoilt:
        jpeg = jpeg[:2] + bytes(len(jpeg) - 4) + jpeg[-2:]
    head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
    return head.encode() + jpeg + b"\r\n"
