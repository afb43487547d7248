"""What this machine can do, measured: the whole path, the tracker, a capture worker.

Ratios come from interleaved rounds of one run, since machines are noisy. The capture worker is
measured on a recording that is served as a network camera on loopback.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import statistics
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edgevision.capture.reader import CameraReader
from edgevision.capture.source import open_source
from edgevision.capture.worker_client import CameraWorker, open_request
from edgevision.clock import NS_PER_S, SystemClock, elapsed_ms, percentiles
from edgevision.config.camera import CameraConfig, LineConfig, ZoneConfig
from edgevision.errors import SourceError
from edgevision.frames import DetectedObject, Frame
from edgevision.inference.backend import LoadedModel
from edgevision.inference.preprocess import Preprocessor
from edgevision.model_card import known_labels
from edgevision.mqtt.encoder import Encoder
from edgevision.pipeline.camera_pipeline import CameraPipeline
from edgevision.pipeline.camera_tracker import CameraTracker
from edgevision.pipeline.threads import PostprocessThread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edgevision.config.settings import Config
    from edgevision.frames import U8, FrameResult
    from edgevision.inference.backend import Backend
    from edgevision.model_card import Model
    from edgevision.mqtt.message import Message
    from edgevision.pipeline.camera_pipeline import DetectedFrame, PreparedFrame

ROUNDS = 5
WARM_UP = 5
AHEAD = 2
START_S = 10.0
OBJECTS = 20
FPS = 10
TRACKING_WARM_UP = 20

# Objects wander; each box is off by this share of its size, and one in ten is not found.
JITTER = 0.03
MISSED = 0.1
_ZONE = ZoneConfig(polygon=((0.3, 0.3), (0.7, 0.3), (0.7, 0.7), (0.3, 0.7)))
_LINE = LineConfig.model_validate({"points": ((0.5, 0.0), (0.5, 1.0))})
STARTS = 5
FRAMES = 100
PICTURES = 16
PERIOD_S = 0.02


@dataclass
class Timings:
    """Durations of one stage, in milliseconds."""

    values_ms: list[float] = field(default_factory=list)

    @property
    def median_ms(self) -> float:
        """Return the median."""
        return statistics.median(self.values_ms)

    @property
    def p95_ms(self) -> float:
        """Return the 95th percentile, nearest rank."""
        found = percentiles(self.values_ms)
        return found.p95 if found else 0.0


@dataclass
class Throughput:
    """Frame rates of the rounds of one loop."""

    rounds_fps: list[float] = field(default_factory=list)

    @property
    def fps(self) -> float:
        """Return the median round's frame rate."""
        return statistics.median(self.rounds_fps)


@dataclass
class PathFigures:
    """The whole path against the bare engine, in alternating rounds.

    Attributes:
        stages: decode video, preprocess, inference, decode boxes, publish; each frame's.
        whole: frames a second from the file to the broker.
        bare: frames a second of the engine alone, on prepared input.
        unsent: messages that the connection did not take at once and that were sent again.
    """

    stages: dict[str, Timings]
    whole: Throughput = field(default_factory=Throughput)
    bare: Throughput = field(default_factory=Throughput)
    unsent: int = 0

    @property
    def ratio(self) -> float:
        """Return whole / bare, the median over pairs of rounds."""
        pairs = zip(self.whole.rounds_fps, self.bare.rounds_fps, strict=True)
        return statistics.median(whole / bare for whole, bare in pairs)


class WholePath:
    """Decode video, resize, infer, decode boxes, publish; and the engine alone."""

    def __init__(
        self,
        model: Model,
        backend: Backend,
        config: Config,
        camera: str,
        send: Callable[[Message], bool],
    ) -> None:
        """Wire the pipeline as the daemon does; `send` goes to a broker."""
        self._clock = SystemClock()
        self._backend = backend
        self._camera = camera
        # As fast as it can be decoded, and again from the beginning.
        self._source = config.cameras[camera].model_copy(update={"fps": 1000.0, "loop": True})
        self._send = send
        self._encoder = Encoder(
            config,
            model_name=model.card.name,
            backend_name=backend.name,
            started_at=self._clock.wall(),
        )
        self._pipeline = CameraPipeline(
            camera,
            config,
            LoadedModel(model, backend),
            CameraTracker(
                camera, config, new_id=map(str, itertools.count()).__next__, clock=self._clock
            ),
            clock=self._clock,
        )
        names = ("decode video", "preprocess", "inference", "decode boxes", "tracking", "publish")
        self._figures = PathFigures({name: Timings() for name in names})
        self._prepared = prepared_inputs(model, self._source, count=16)

    def measure(self, frames: int, on_progress: Callable[[], None]) -> PathFigures:
        """Run `ROUNDS` rounds of each loop, in turn, `frames` in all for each loop."""
        each = max(2, frames // ROUNDS)
        self._bare_round(WARM_UP)
        self._whole_round(WARM_UP)
        self._figures = PathFigures({name: Timings() for name in self._figures.stages})
        for _ in range(ROUNDS):
            self._figures.bare.rounds_fps.append(self._bare_round(each))
            self._figures.whole.rounds_fps.append(self._whole_round(each))
            on_progress()
        self._measure_decoding(each)
        return self._figures

    def _bare_round(self, count: int) -> float:
        return run_rate(self._backend, self._prepared, count)

    def _whole_round(self, count: int) -> float:
        """Use the threads of the daemon, but wait instead of overwrite."""
        ready: queue.Queue[PreparedFrame] = queue.Queue(AHEAD)
        done = threading.Event()

        def deliver(frame: Frame) -> None:
            item = self._pipeline.prepare(frame)
            while not done.is_set():
                with contextlib.suppress(queue.Full):
                    ready.put(item, timeout=0.1)
                    return

        reader = CameraReader(self._camera, self._source, deliver=deliver, clock=self._clock)
        postprocess = PostprocessThread(self._follow)
        reader.start()
        postprocess.start()
        try:
            first = ready.get(timeout=START_S)
            begin_ns = self._clock.monotonic_ns()
            for index in range(count):
                item = first if index == 0 else ready.get(timeout=START_S)
                postprocess.put(self._pipeline.detect(item))
            postprocess.stop(START_S)
            return count * NS_PER_S / (self._clock.monotonic_ns() - begin_ns)
        except queue.Empty:
            raise SourceError(reader.state().reason) from None
        finally:
            done.set()
            reader.stop(timeout_s=START_S)
            postprocess.stop(START_S)

    def _follow(self, detected: DetectedFrame) -> None:
        result = self._pipeline.follow(detected)
        self._publish(result)
        latency, stages = result.latency_ms, self._figures.stages
        stages["preprocess"].values_ms.append(latency.preprocess)
        stages["inference"].values_ms.append(latency.inference)
        stages["decode boxes"].values_ms.append(latency.decode)
        stages["tracking"].values_ms.append(latency.tracking)

    def _publish(self, result: FrameResult) -> None:
        begin_ns = self._clock.monotonic_ns()
        message = self._encoder.detections(result)
        while not self._send(message):
            self._figures.unsent += 1
        end_ns = self._clock.monotonic_ns()
        self._figures.stages["publish"].values_ms.append(elapsed_ms(begin_ns, end_ns))

    def _measure_decoding(self, count: int) -> None:
        """Time the decoding alone; in the whole path it runs beside the inference."""
        source = open_source(self._source)
        try:
            for _ in range(count):
                begin_ns = self._clock.monotonic_ns()
                if not source.grab():
                    return
                source.retrieve()
                spent_ms = elapsed_ms(begin_ns, self._clock.monotonic_ns())
                self._figures.stages["decode video"].values_ms.append(spent_ms)
        finally:
            source.close()


def compare_backends(
    first: Backend, second: Backend, inputs: list[U8], frames: int
) -> tuple[Throughput, Throughput]:
    """Run two engines in alternating rounds on the same input."""
    results = Throughput(), Throughput()
    for backend in (first, second):
        run_rate(backend, inputs, WARM_UP)
    for _ in range(ROUNDS):
        for backend, result in zip((first, second), results, strict=True):
            result.rounds_fps.append(run_rate(backend, inputs, max(2, frames // ROUNDS)))
    return results


def run_rate(backend: Backend, inputs: list[U8], count: int) -> float:
    """Return how many times a second the engine runs."""
    clock = SystemClock()
    begin_ns = clock.monotonic_ns()
    for index in range(count):
        backend.run(inputs[index % len(inputs)])
    return count * NS_PER_S / (clock.monotonic_ns() - begin_ns)


def prepared_inputs(model: Model, source: CameraConfig, count: int) -> list[U8]:
    """Return the recording's first frames as the network takes them, uint8 [1, h, w, 3]."""
    preprocessor = Preprocessor(model.card.input)
    return [preprocessor.prepare(image).image for image in _first_images(source, count)]


def measure_tracking(model: Model, config: Config, source: CameraConfig, frames: int) -> Timings:
    """Time all that happens to twenty objects behind the network: tracker, zone, line, events.

    Args:
        model: gives the label.
        config: detection and tracking settings.
        source: a recording whose pictures the objects appear in.
        frames: how many to measure over.
    """
    scene = source.model_copy(update={"zones": {"middle": _ZONE}, "lines": {"middle": _LINE}})
    config = config.model_copy(update={"cameras": {"bench": scene}})
    clock = SystemClock()
    tracker = CameraTracker(
        "bench", config, new_id=map(str, itertools.count()).__next__, clock=clock
    )
    pictures = itertools.cycle(_first_images(source, 16))
    label = known_labels(model)[0]
    score = config.detection.shifted_score_of(label, 0.5)
    timings, at = Timings(), clock.wall()
    for number, boxes in enumerate(itertools.islice(_walks(), TRACKING_WARM_UP + frames)):
        found = tuple(DetectedObject(label, score, box) for box in boxes)
        picture = next(pictures)
        size_px = picture.shape[1], picture.shape[0]
        frame = Frame("bench", number, picture, number * NS_PER_S // FPS, at)
        begun_ns = clock.monotonic_ns()
        tracker.follow(frame, found, size_px)
        if number >= TRACKING_WARM_UP:
            timings.values_ms.append(elapsed_ms(begun_ns, clock.monotonic_ns()))
    return timings


def _first_images(source: CameraConfig, count: int) -> list[U8]:
    opened = open_source(source)
    try:
        images: list[U8] = []
        while len(images) < count and opened.grab():
            images.append(opened.retrieve())
        return images
    finally:
        opened.close()


def _walks() -> Iterator[list[tuple[float, float, float, float]]]:
    """Yield the boxes of each frame: (x, y, w, h) as fractions of the frame."""
    random = np.random.default_rng(1)
    places = random.uniform(0.05, 0.8, (OBJECTS, 2))
    steps = random.uniform(-0.1, 0.1, (OBJECTS, 2)) / FPS
    size = np.array([0.05, 0.15])
    while True:
        places += steps
        steps[(places < 0.02) | (places > 0.83)] *= -1
        places = places.clip(0.0, 0.85)
        seen = random.random(OBJECTS) > MISSED
        shown = places[seen] + random.normal(0, JITTER, (int(seen.sum()), 2)) * size
        yield [(float(x), float(y), 0.05, 0.15) for x, y in shown.clip(0.0, 0.85)]


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
    images = _first_images(source, PICTURES)
    return [cv2.imencode(".jpg", image)[1].tobytes() for image in images]


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
            """Send pictures until the client disconnects."""
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace;boundary=picture")
            self.end_headers()
            head = "--picture\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n"
            try:
                for picture in itertools.islice(itertools.cycle(pictures), 100 * FRAMES):
                    content = head.format(len(picture)).encode() + picture + b"\r\n"
                    self.wfile.write(content)
                    if closing.wait(PERIOD_S):
                        return
            except ConnectionError:
                return

        def log_message(self, *_: object) -> None:
            """Log nothing."""

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
