"""`edgevision bench`: measure this machine with a model and a recording."""

from __future__ import annotations

import os
import platform
import queue
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psutil
from rich.table import Table

from edgevision import __version__
from edgevision.cli.broker import DaemonProcess, loopback_broker
from edgevision.cli.console import out, print_json, progress_bar
from edgevision.config.camera import CameraConfig
from edgevision.config.mqtt import MqttConfig
from edgevision.config.settings import DEMO_RECORDING, Config, RuntimeConfig
from edgevision.daemon.retained_state import measure_idle_turn
from edgevision.errors import BackendError, SourceError, UsageError
from edgevision.evaluation.bench import (
    ROUNDS,
    WholePath,
    compare_backends,
    measure_tracking,
    measure_worker,
    prepared_inputs,
    run_rate,
)
from edgevision.inference.backend import open_backend
from edgevision.inference.onnxruntime import OnnxRuntimeBackend
from edgevision.model_card import load_model
from edgevision.mqtt.client import MqttClient

if TYPE_CHECKING:
    from edgevision.daemon.retained_state import IdleTurn
    from edgevision.inference.backend import Backend
    from edgevision.model_card import Model
    from edgevision.mqtt.message import Message

CAMERA = "bench"
FLOAT_GRAPH = "float.onnx"
CONNECT_S = 10.0
FIRST_DETECTION_S = 30.0
DAEMON_S = 5.0
STARTS = 3


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """The options of the command; no recording means the bundled one, no threads 1, 2 and all."""

    recording: Path | None
    threads: str
    frames: int
    as_json: bool


@dataclass(frozen=True, slots=True)
class DaemonFigures:
    """A daemon with one camera, seen from outside.

    Attributes:
        first_detection_s: from process start to the first detections message, each start.
        peak_memory_bytes: most resident memory the process ever had.
        memory_bytes: resident memory at the end.
    """

    first_detection_s: list[float]
    peak_memory_bytes: int
    memory_bytes: int


def bench(config: Config, options: BenchOptions) -> None:
    """Measure and print.

    Raises:
        MissingExtraError: the embedded broker is not installed.
        SourceError, ModelError, BackendError: recording or model cannot be used.
    """
    recording = options.recording or DEMO_RECORDING
    source = CameraConfig.model_validate({"source": str(recording.absolute())})
    if source.kind.is_live:
        msg = f"{recording}: expected a recording or image folder, got a camera"
        raise SourceError(msg)
    config = config.model_copy(update={"cameras": {CAMERA: source}})
    model = load_model(config.model)
    threads = _thread_counts(options.threads)
    with progress_bar() as bar, loopback_broker("bench") as port:
        task = bar.add_task("bench", total=ROUNDS + len(threads) + 3)
        inputs = prepared_inputs(model, source, count=16)
        engine = open_backend(model, config.model_copy(update={"runtime": _one_thread(config)}))
        with _Connection(port) as sink:
            path = WholePath(model, engine, config, CAMERA, sink.send)
            figures = path.measure(options.frames, lambda: bar.advance(task))
        tracking = measure_tracking(model, config, source, options.frames)
        float_ratio = _float_ratio(model, config, engine, inputs, options.frames)
        bar.advance(task)
        sweep = {}
        for count in threads:
            runtime = config.runtime.model_copy(update={"threads": count})
            # The threads of NumPy's BLAS are fixed once it is loaded: one thread here.
            if engine.name != "numpy":
                rate = run_rate(OnnxRuntimeBackend(model, runtime), inputs, options.frames // 2)
                sweep[count] = round(rate, 1)
            bar.advance(task)
        worker = measure_worker(source)
        bar.advance(task)
        idle = _measure_idle_turn()
        daemon = _measure_daemon(port, config)
        bar.advance(task)
    report: dict[str, Any] = {
        "machine": _machine(),
        "model": model.card.name,
        "backend": engine.name,
        "recording": str(recording),
        "frames": options.frames,
        "threads": 1,
        "stages_ms": {
            name: {"median": round(t.median_ms, 3), "p95": round(t.p95_ms, 3)}
            for name, t in figures.stages.items()
            if t.values_ms
        },
        "tracking_20_objects_ms": {
            "median": round(tracking.median_ms, 3),
            "p95": round(tracking.p95_ms, 3),
        },
        "whole_path_fps": round(figures.whole.fps, 1),
        "bare_engine_fps": round(figures.bare.fps, 1),
        "whole_path_ratio": round(figures.ratio, 3),
        "int8_to_float_ratio": None if engine.name == "numpy" else float_ratio,
        "numpy_to_float_ratio": float_ratio if engine.name == "numpy" else None,
        "thread_sweep_fps": sweep,
        "first_detection_s": {
            "median": round(
                sorted(daemon.first_detection_s)[len(daemon.first_detection_s) // 2], 2
            ),
            "worst": round(max(daemon.first_detection_s), 2),
        },
        "camera_worker": {
            "first_frame_s": round(statistics.median(worker.first_frame_s), 3),
            "memory_mib": round(worker.memory_bytes / 2**20, 1),
            "handover_ms": round(worker.handover.median_ms, 3),
        },
        "idle_turn_64_cameras": {
            "mean_ms": round(idle.idle_ms, 3),
            "first_ms": round(idle.first_ms, 1),
            "messages": idle.idle_messages,
            "notes": idle.values,
            "refused_notes": idle.refused_values,
        },
        "memory_mib": round(daemon.memory_bytes / 2**20, 1),
        "peak_memory_mib": round(daemon.peak_memory_bytes / 2**20, 1),
    }
    if options.as_json:
        print_json(report)
    else:
        _print(report)


def _thread_counts(text: str) -> list[int]:
    cores = os.cpu_count() or 1
    if not text:
        return sorted({1, 2, cores} & set(range(1, cores + 1)))
    try:
        counts = [RuntimeConfig(threads=int(part)).thread_count for part in text.split(",")]
    except ValueError:
        msg = f"--threads: expected counts from 1 to 64 such as 1,2,4, got {text!r}"
        raise UsageError(msg) from None
    return counts


def _one_thread(config: Config) -> RuntimeConfig:
    return config.runtime.model_copy(update={"threads": 1})


def _float_ratio(
    model: Model, config: Config, engine: Backend, inputs: list[Any], frames: int
) -> float | None:
    """Return the engine's speed relative to ONNX Runtime's with the float graph, if there is one.

    A model built on this machine has the graph beside it; both run with one thread, taking turns.
    """
    path = model.folder / FLOAT_GRAPH
    if not path.exists() or not OnnxRuntimeBackend.is_installed():
        return None
    float_engine = OnnxRuntimeBackend(model, _one_thread(config), graph=path.read_bytes())
    own, float32 = compare_backends(engine, float_engine, inputs, frames // 2)
    pairs = zip(own.rounds_fps, float32.rounds_fps, strict=True)
    return round(statistics.median(mine / theirs for mine, theirs in pairs), 3)


def _measure_daemon(port: int, config: Config) -> DaemonFigures:
    """Start the daemon several times; let the last one run for `DAEMON_S`."""
    starts = []
    for _ in range(STARTS):
        with (
            tempfile.TemporaryDirectory(prefix="edgevision-bench-") as folder,
            _Connection(port, f"edgevision/{CAMERA}/{CAMERA}/detections") as sink,
        ):
            begin_s = time.monotonic()
            daemon = DaemonProcess(Path(folder), _daemon_config(port, config))
            try:
                try:
                    sink.arrived.get(timeout=FIRST_DETECTION_S)
                except queue.Empty:
                    msg = f"the daemon published nothing: {daemon.last_log_line()}"
                    raise BackendError(msg) from None
                starts.append(time.monotonic() - begin_s)
                if len(starts) == STARTS:
                    time.sleep(DAEMON_S)
                memory = psutil.Process(daemon.pid).memory_info().rss
                peak = _peak_memory_bytes(daemon.pid)
            finally:
                daemon.stop()
    return DaemonFigures(starts, peak or memory, memory)


def _daemon_config(port: int, config: Config) -> dict[str, Any]:
    return {
        "device": CAMERA,
        "backend": config.backend,
        "model": str(config.model.absolute()),
        "runtime": _one_thread(config).model_dump(mode="json"),
        "mqtt": {"port": port},
        "cameras": {CAMERA: {"source": config.cameras[CAMERA].source, "loop": True}},
    }


def _peak_memory_bytes(pid: int) -> int:
    """Return VmHWM of proc(5), in bytes; 0 where there is no /proc."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


class _Connection:
    """A connection to the loopback broker that can also wait for a topic."""

    def __init__(self, port: int, topic: str | None = None) -> None:
        self.arrived: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._client = MqttClient(
            MqttConfig(port=port),
            client_id=f"bench-{topic is None}",
            subscribe=[topic] if topic else [],
            on_message=lambda message: self.arrived.put(message.payload),
        )

    def __enter__(self) -> Self:
        self._client.start()
        self._client.wait_connected(CONNECT_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.stop()

    def send(self, message: Message) -> bool:
        return self._client.send(message)


def _machine() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    cpu = names[0] if names else platform.machine()
    return f"{cpu}, {os.cpu_count()} cores, {platform.machine()}, edgevision {__version__}"


def _measure_idle_turn() -> IdleTurn:
    """Measure the retained state of 64 idle cameras: 8 zones each, 80 labels named."""
    zone = {"polygon": [[0, 0], [1, 0], [1, 1]]}
    zones = {f"zone{number}": zone for number in range(8)}
    cameras = {
        f"camera{number}": {"source": f"rtsp://127.0.0.1/{number}", "zones": zones}
        for number in range(64)
    }
    labels = [f"label {number}" for number in range(80)]
    config = Config.model_validate({"cameras": cameras, "detection": {"labels": labels}})
    with tempfile.TemporaryDirectory(prefix="edgevision-bench-") as folder:
        return measure_idle_turn(Path(folder), config, labels)


def _print(report: dict[str, Any]) -> None:
    stages = Table(
        "stage", "median ms", "p95 ms", title=f"{report['model']}, {report['backend']}, one thread"
    )
    for name, values in report["stages_ms"].items():
        stages.add_row(name, f"{values['median']:.2f}", f"{values['p95']:.2f}")
    out.print(stages)
    table = Table(title=report["machine"], show_header=False)
    tracking = report["tracking_20_objects_ms"]
    table.add_row("tracking 20 objects", f"{tracking['median']:.2f} ms (p95 {tracking['p95']:.2f})")
    table.add_row("whole path, file to broker", f"{report['whole_path_fps']} fps")
    table.add_row("bare engine", f"{report['bare_engine_fps']} fps")
    table.add_row("whole path / bare engine", f"{report['whole_path_ratio']:.2f}")
    ratio = report["int8_to_float_ratio"] or report["numpy_to_float_ratio"]
    missing = "no float.onnx beside the model (edgevision model build), or no ONNX Runtime"
    table.add_row("speed / ONNX Runtime float's", missing if ratio is None else f"{ratio:.2f}")
    if ratio is not None and report["backend"] == "numpy":
        table.add_row("time / ONNX Runtime float's", f"{1 / ratio:.2f}")
    for count, fps in report["thread_sweep_fps"].items():
        table.add_row(f"bare engine, {count} threads", f"{fps} fps")
    start = report["first_detection_s"]
    table.add_row("first detection after start", f"{start['median']} s (worst {start['worst']})")
    worker = report["camera_worker"]
    table.add_row("network camera's first frame", f"{worker['first_frame_s']} s after its process")
    table.add_row("frame from camera to daemon", f"{worker['handover_ms']:.2f} ms")
    table.add_row("memory for each live camera", f"{worker['memory_mib']} MiB")
    idle = report["idle_turn_64_cameras"]
    table.add_row(
        "idle turn, 64 cameras, 8 zones, 80 labels",
        f"{idle['mean_ms']:.2f} ms, {idle['messages']} messages, {idle['notes']} values stored "
        f"({idle['refused_notes']} refused)",
    )
    table.add_row("daemon's memory, one camera", f"{report['memory_mib']} MiB")
    table.add_row("daemon's peak memory", f"{report['peak_memory_mib']} MiB")
    out.print(table)
