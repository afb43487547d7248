"""What a capture worker costs: measured on a recording that is served as a network camera."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from edgevision.cameraconfig import CameraConfig
from edgevision.capture.remote import CameraWorker, open_request
from edgevision.capture.source import open_source
from edgevision.clock import NS_PER_S, SystemClock, elapsed_ms
from edgevision.service.bench import Timings

if TYPE_CHECKING:
    from collections.abc import Iterator

STARTS = 5
FRAMES = 100
PICTURES = 16
PERIOD_S = 0.02


@dataclass
class WorkerFigures:
    """One capture worker, seen from the daemon.

    Attributes:
        first_frame_s: from the start of the process to its first frame, each start.
        memory_bytes: proportional set size: what the worker shares with others is divided.
        handover: from a frame's arrival in the worker to its arrival in the daemon: conversion
            to BGR and one message.
    """

    first_frame_s: list[float] = field(default_factory=list)
    memory_bytes: int = 0
    handover: Timings = field(default_factory=Timings)


def measure_worker(source: CameraConfig) -> WorkerFigures:
    """Serve the first pictures of a recording at 50 frames a second and read them.

    Raises:
        SourceError: the recording or the camera made of it cannot be read.
    """
    figures, clock = WorkerFigures(), SystemClock()
    with _camera(_pictures(source)) as url:
        request = open_request(CameraConfig(source=url))
        for number in range(STARTS):
            begin_ns = clock.monotonic_ns()
            worker = CameraWorker(request)
            try:
                worker.grab()
                figures.first_frame_s.append((clock.monotonic_ns() - begin_ns) / NS_PER_S)
                if number < STARTS - 1:
                    continue
                for _ in range(FRAMES):
                    worker.grab()
                    now_ns = clock.monotonic_ns()
                    if worker.arrival is not None:
                        spent_ms = elapsed_ms(worker.arrival.captured_ns, now_ns)
                        figures.handover.values_ms.append(spent_ms)
                figures.memory_bytes = _proportional_bytes(worker.pid)
            finally:
                worker.close()
    return figures


def _pictures(source: CameraConfig) -> list[bytes]:
    opened = open_source(source)
    try:
        pictures: list[bytes] = []
        while len(pictures) < PICTURES and opened.grab():
            pictures.append(cv2.imencode(".jpg", opened.retrieve())[1].tobytes())
        return pictures
    finally:
        opened.close()


def _proportional_bytes(pid: int) -> int:
    """Return Pss of proc(5), in bytes; 0 where there is none."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


@contextmanager
def _camera(pictures: list[bytes]) -> Iterator[str]:
    """Serve Motion JPEG on loopback while the context lasts; yield its address."""
    closing = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Send pictures until whoever asked has gone."""
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace;boundary=picture")
            self.end_headers()
            head = "--picture\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n"
            try:
                for picture in islice(cycle(pictures), 100 * FRAMES):
                    content = head.format(len(picture)).encode() + picture + b"\r\n"
                    self.wfile.write(content)
                    if closing.wait(PERIOD_S):
                        return
            except ConnectionError:
                return

        def log_message(self, *_: object) -> None:
            """Be silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
