"""What this machine can do, measured. Ratios come from interleaved rounds of one run."""

from __future__ import annotations

import contextlib
import queue
import statistics
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgevision.capture.reader import CameraReader
from edgevision.capture.source import open_source
from edgevision.clock import NS_PER_S, SystemClock, elapsed_ms, percentiles
from edgevision.errors import SourceError
from edgevision.inference.preprocess import Preprocessor
from edgevision.service.following import FollowThread
from edgevision.service.pipeline import Pipeline
from edgevision.service.writer import MessageWriter

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgevision.cameraconfig import CameraConfig
    from edgevision.card import Model
    from edgevision.config import Config
    from edgevision.inference.backend import Backend
    from edgevision.messaging.client import Message
    from edgevision.records import U8, Frame, FrameResult
    from edgevision.service.pipeline import DetectedFrame, PreparedFrame

ROUNDS = 5
WARM_UP = 5
AHEAD = 2
START_S = 10.0


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
        self._writer = MessageWriter(
            config,
            model_name=model.card.name,
            backend_name=backend.name,
            started_at=self._clock.wall(),
        )
        self._pipeline = Pipeline(
            model=model, backend=backend, config=config, clock=self._clock, publish=self._publish
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
        following = FollowThread(self._follow)
        reader.start()
        following.start()
        try:
            first = ready.get(timeout=START_S)
            begin_ns = self._clock.monotonic_ns()
            for index in range(count):
                item = first if index == 0 else ready.get(timeout=START_S)
                following.put(self._pipeline.detect(item))
            following.stop(START_S)
            return count * NS_PER_S / (self._clock.monotonic_ns() - begin_ns)
        except queue.Empty:
            raise SourceError(reader.state().reason) from None
        finally:
            done.set()
            reader.stop(timeout_s=START_S)
            following.stop(START_S)

    def _follow(self, detected: DetectedFrame) -> None:
        latency, stages = self._pipeline.follow(detected).latency_ms, self._figures.stages
        stages["preprocess"].values_ms.append(latency.preprocess)
        stages["inference"].values_ms.append(latency.inference)
        stages["decode boxes"].values_ms.append(latency.decode)
        stages["tracking"].values_ms.append(latency.tracking)

    def _publish(self, result: FrameResult) -> None:
        begin_ns = self._clock.monotonic_ns()
        message = self._writer.detections(result)
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


def compare(
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
    opened = open_source(source)
    try:
        inputs: list[U8] = []
        while len(inputs) < count and opened.grab():
            inputs.append(preprocessor.prepare(opened.retrieve()).image)
        return inputs
    finally:
        opened.close()
