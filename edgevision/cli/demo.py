"""`edgevision demo`: a broker, the daemon and a subscriber, all on this machine."""

from __future__ import annotations

import queue
import tempfile
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError
from rich.live import Live
from rich.table import Table

from edgevision.capture.reader import END_OF_RECORDING, STARTING, STOPPED
from edgevision.cli.broker import DaemonProcess, loopback_broker
from edgevision.cli.console import err, out, print_json, print_lines
from edgevision.cli.watch import View
from edgevision.config.camera import CameraConfig
from edgevision.config.mqtt import MqttConfig
from edgevision.config.settings import DEMO_RECORDING
from edgevision.errors import BackendError, SourceError, UsageError
from edgevision.mqtt.client import MqttClient
from edgevision.mqtt.message import Topics

if TYPE_CHECKING:
    from edgevision.cli.watch import Seen
    from edgevision.mqtt.message import Message

DEVICE = "demo"
CAMERA = "camera"
START_S = 20.0


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """The options of the command; no source means the bundled recording."""

    source: str | None
    loop: bool
    as_json: bool


def demo(options: DemoOptions) -> None:
    """Run the demo until the recording ends or Ctrl-C, then print a summary.

    Raises:
        UsageError: the source is invalid.
        MissingExtraError: the embedded broker is not installed.
        BrokerError: the embedded broker did not start.
        SourceError: the source cannot be read.
        BackendError: the daemon did not start, or failed; the last line of its log says why.
    """
    started_s = time.monotonic()
    options = replace(options, source=_checked(options))
    with loopback_broker("demo") as port:
        seen = _watch_daemon(port, options)
    _summarize(seen, time.monotonic() - started_s, as_json=options.as_json)


def _checked(options: DemoOptions) -> str:
    """Return the source, a file as an absolute path.

    Raises:
        UsageError: it is no valid source, or not with these options.
    """
    try:
        camera = CameraConfig.model_validate(
            {"source": options.source or str(DEMO_RECORDING), "loop": options.loop}
        )
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        msg = f"--source: {fault.get('ctx', {}).get('error', fault['msg'])}"
        raise UsageError(msg) from None
    return camera.source if camera.kind.is_live else str(Path(camera.source).absolute())


def _watch_daemon(port: int, options: DemoOptions) -> Seen:
    topics = Topics(f"edgevision/{DEVICE}")
    arrived: queue.SimpleQueue[Message] = queue.SimpleQueue()
    client = MqttClient(
        MqttConfig(port=port),
        client_id="edgevision-demo-subscriber",
        subscribe=[topics.everything],
        on_message=arrived.put,
    )
    client.start()
    client.wait_connected(START_S)
    view = View(topics)
    with tempfile.TemporaryDirectory(prefix="edgevision-demo-") as folder:
        daemon = DaemonProcess(Path(folder), _config(options, port))
        try:
            _show(view, arrived, daemon, options)
        except KeyboardInterrupt:
            err.print("stopping …")
        finally:
            status = daemon.stop()
            _drain(view, arrived)
            client.stop()
        if status != 0:
            msg = f"the daemon exited with status {status}: {daemon.last_log_line()}"
            raise BackendError(msg)
    return view.seen


def _config(options: DemoOptions, port: int) -> dict[str, object]:
    camera: dict[str, object] = {"source": options.source}
    if options.loop:
        camera["loop"] = True
    return {
        "device": DEVICE,
        "mqtt": {"port": port},
        "metrics": {"interval_s": 1, "window_s": 5},
        "cameras": {CAMERA: camera},
    }


def _show(
    view: View,
    arrived: queue.SimpleQueue[Message],
    daemon: DaemonProcess,
    options: DemoOptions,
) -> None:
    """Show messages until the recording or the daemon ends."""
    deadline_s = time.monotonic() + START_S
    live = Live(view.draw(), console=out, auto_refresh=False, transient=True)
    fancy = out.is_terminal and not options.as_json
    with live if fancy else nullcontext():
        while daemon.running:
            try:
                message = arrived.get(timeout=0.2)
            except queue.Empty:
                if view.seen.service is None and time.monotonic() > deadline_s:
                    return
                continue
            lines = view.take(message.topic, message.payload)
            if fancy:
                live.update(view.draw(), refresh=arrived.empty())
            elif not options.as_json:
                print_lines(lines)
            camera = view.seen.cameras.get(CAMERA)
            if camera is None or camera.status != "offline":
                continue
            if camera.reason == END_OF_RECORDING:
                return
            if camera.reason not in {STARTING, STOPPED}:
                raise SourceError(camera.reason)


def _drain(view: View, arrived: queue.SimpleQueue[Message]) -> None:
    """Take the messages still in flight, up to the daemon's `offline`."""
    deadline_s = time.monotonic() + 1.0
    while time.monotonic() < deadline_s:
        if view.seen.service is not None and view.seen.service.status == "offline":
            return
        try:
            message = arrived.get(timeout=0.1)
        except queue.Empty:
            continue
        view.take(message.topic, message.payload)


def _summarize(seen: Seen, seconds: float, *, as_json: bool) -> None:
    latency = seen.latency_ms
    frames = seen.metrics[CAMERA].frames if CAMERA in seen.metrics else None
    if as_json:
        print_json(
            {
                "messages": dict(seen.messages),
                "frames": None if frames is None else frames.model_dump(),
                "labels": dict(seen.labels),
                "best_score": seen.best_score,
                "fps": round(seen.fps, 2),
                "latency_ms": None
                if latency is None
                else {"p50": latency.p50, "p95": latency.p95, "p99": latency.p99},
                "seconds": round(seconds, 3),
            }
        )
        return
    table = Table(title="What arrived over MQTT", show_header=False)
    table.add_row("messages", ", ".join(f"{n} {kind}" for kind, n in seen.messages.items()))
    if frames is not None:
        kept = f"{frames.captured} captured, {frames.inferred} inferred"
        lost = f"{frames.overwritten} skipped, {frames.unusable} unusable"
        table.add_row("frames", f"{kept}, {lost}")
    table.add_row(
        "labels",
        ", ".join(
            f"{label} {count}x (best {seen.best_score[label]:.2f})"
            for label, count in seen.labels.most_common()
        )
        or "none",
    )
    table.add_row("fps", f"{seen.fps:.1f} frames a second")
    if latency is not None:
        table.add_row(
            "latency", f"p50 {latency.p50:.1f}  p95 {latency.p95:.1f}  p99 {latency.p99:.1f} ms"
        )
    table.add_row("time", f"{seconds:.1f} s")
    out.print(table)
