"""The daemon: threads, the broker's connection, signals, metrics.

Camera threads read and resize; the newest frame of each waits in its slot. The inference
thread takes them in turn and publishes. The main thread looks after camera status, metrics,
the watchdog and signals.
"""

from __future__ import annotations

import logging
import signal
import threading
from typing import TYPE_CHECKING

import numpy as np

from edgevision.capture.reader import END_OF_RECORDING, STARTING, STOPPED, CameraReader, CameraState
from edgevision.capture.slots import FrameSlots
from edgevision.card import load_model
from edgevision.clock import NS_PER_S, SystemClock
from edgevision.errors import BackendError, EdgevisionError
from edgevision.inference.backend import open_backend
from edgevision.messaging.client import MqttClient
from edgevision.messaging.payloads import BoardMetricsMessage
from edgevision.service.board import Board
from edgevision.service.meter import CameraMeter
from edgevision.service.pipeline import Pipeline, PreparedFrame
from edgevision.service.systemd import SystemdNotifier
from edgevision.service.writer import MessageWriter

if TYPE_CHECKING:
    from edgevision.clock import Clock
    from edgevision.config import Config
    from edgevision.records import Frame, FrameResult

log = logging.getLogger(__name__)

TICK_S = 0.25
# An inference thread that has not come round for this long hangs.
HANG_S = 30.0
# Failures of the network in a row after which a restart is the better answer.
MAX_FAILURES = 10
STOP_S = 1.5


class Daemon:
    """The whole service under one configuration."""

    def __init__(self, config: Config, *, clock: Clock | None = None) -> None:
        """Load the model, run it once and wire everything; nothing runs yet.

        The first inference allocates memory and proves that this CPU can run the network,
        so it comes before the service calls itself ready.

        Raises:
            ConfigError: labels that the model lacks; unreadable certificate or password.
            ModelError: the model cannot be used.
            BackendError: the engine cannot run it.
        """
        self._config = config
        self._clock = clock or SystemClock()
        self._started_ns = self._clock.monotonic_ns()
        model = load_model(config.model)
        backend = open_backend(model, config)
        size = model.card.input
        backend.run(np.zeros((1, size.height, size.width, 3), np.uint8))
        self._systemd = SystemdNotifier()
        self._board = Board()
        self._slots: FrameSlots[PreparedFrame] = FrameSlots()
        self._meters = {name: CameraMeter(config.metrics.window_s) for name in config.cameras}
        self._pipeline = Pipeline(
            model=model, backend=backend, config=config, clock=self._clock, publish=self._publish
        )
        self._writer = MessageWriter(
            config,
            model_name=model.card.name,
            backend_name=backend.name,
            started_at=self._clock.wall(),
        )
        self._state_due = threading.Event()
        self._client = MqttClient(
            config.mqtt,
            client_id=config.mqtt.client_id or f"edgevision-{config.device}",
            will=self._writer.offline("connection lost"),
            on_connected=self._state_due.set,
        )
        self._readers = {
            name: CameraReader(name, camera, deliver=self._captured, clock=self._clock)
            for name, camera in config.cameras.items()
            if camera.enabled
        }
        self._disabled = CameraState(
            "disabled", "disabled in the configuration", self._clock.wall()
        )
        self._shown: dict[str, CameraState] = {}
        self._telemetry_lost = 0
        self._turned_ns = self._started_ns
        self._fault: EdgevisionError | None = None
        self._stopping = threading.Event()
        self._inference = threading.Thread(target=self._infer, name="inference", daemon=True)

    def run(self) -> None:
        """Run until `stop` or a signal; then publish `offline` and end everything.

        Raises:
            BackendError: the network keeps failing; a restart may help.
        """
        self._client.start()
        for reader in self._readers.values():
            reader.start()
        self._inference.start()
        self._systemd.ready()
        log.info(
            "running: %s", ", ".join(f"{n} ({r.shown_source})" for n, r in self._readers.items())
        )
        try:
            self._loop()
        finally:
            self._end()
        if self._fault is not None:
            raise self._fault

    def stop(self) -> None:
        """Ask `run` to return; may be called from a signal handler or another thread."""
        self._stopping.set()

    def stop_on_signals(self) -> None:
        """Stop on SIGTERM and SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stop())

    def _loop(self) -> None:
        interval_ns = round(self._config.metrics.interval_s * NS_PER_S)
        metrics_due_ns = self._clock.monotonic_ns() + interval_ns
        while not self._stopping.wait(TICK_S):
            now_ns = self._clock.monotonic_ns()
            self._publish_state()
            self._publish_changes()
            if now_ns >= metrics_due_ns:
                self._publish_metrics(now_ns)
                metrics_due_ns = max(metrics_due_ns + interval_ns, now_ns)
            self._report_to_systemd(now_ns)

    def _end(self) -> None:
        self._systemd.stopping()
        self._stopping.set()
        for reader in self._readers.values():
            reader.stop(timeout_s=0.0)
        for reader in self._readers.values():
            reader.stop(timeout_s=STOP_S / 3 / len(self._readers))
        self._inference.join(STOP_S / 3)
        self._slots.drop_waiting()  # so that every frame is accounted for
        self._publish_metrics(self._clock.monotonic_ns())
        reason = str(self._fault) if self._fault else "stopped"
        stopped = CameraState("offline", STOPPED, self._clock.wall())
        for name in self._readers:
            self._client.send(self._writer.camera_status(name, stopped))
        self._client.stop(last=self._writer.offline(reason), timeout_s=STOP_S / 3)
        log.info("stopped")

    # On the camera threads.

    def _captured(self, frame: Frame) -> None:
        self._meters[frame.camera].captured(frame.captured_ns, frame.sequence)
        try:
            ready = self._pipeline.prepare(frame)
        except Exception:
            self._meters[frame.camera].failed()
            log.exception("camera %s: frame %s cannot be prepared", frame.camera, frame.sequence)
            return
        self._slots.put(ready)

    # On the inference thread.

    def _infer(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            self._turned_ns = self._clock.monotonic_ns()
            ready = self._slots.take(timeout_s=TICK_S)
            if ready is None:
                continue
            try:
                self._pipeline.infer(ready)
                failures = 0
            except Exception as error:
                failures += 1
                self._meters[ready.camera].failed()
                if failures == 1:
                    log.exception("camera %s: frame %s failed", ready.camera, ready.frame.sequence)
                if failures >= MAX_FAILURES:
                    msg = f"{failures} frames failed in a row, the last one: {error}"
                    self._fault = BackendError(msg)
                    self.stop()

    def _publish(self, result: FrameResult) -> None:
        published = self._client.send(self._writer.detections(result))
        now_ns = self._clock.monotonic_ns()
        self._meters[result.camera].inferred(result, now_ns, published=published)

    # On the main thread, the only one that sends what is retained, so that nothing old can
    # overtake what is new.

    def _publish_state(self) -> None:
        """After each connection send everything that is retained: the broker may have lost it."""
        if self._state_due.is_set():
            self._state_due.clear()
            self._client.send(self._writer.online())
            for name in self._config.cameras:
                self._client.send(self._writer.camera_status(name, self._state(name)))

    def _state(self, name: str) -> CameraState:
        return self._readers[name].state() if name in self._readers else self._disabled

    def _publish_changes(self) -> None:
        for name in self._readers:
            state = self._state(name)
            if state != self._shown.get(name):
                self._shown[name] = state
                expected = state.status == "online" or state.reason in {STARTING, END_OF_RECORDING}
                level = logging.INFO if expected else logging.WARNING
                log.log(level, "camera %s: %s: %s", name, state.status, state.reason)
                self._client.send(self._writer.camera_status(name, state))

    def _publish_metrics(self, now_ns: int) -> None:
        at = self._clock.wall()
        messages = [
            self._writer.camera_metrics(
                self._meters[name].message(
                    reader,
                    device=self._writer.device,
                    overwritten=self._slots.overwritten(name),
                    at=at,
                    now_ns=now_ns,
                )
            )
            for name, reader in self._readers.items()
        ]
        reading = self._board.read()
        board = BoardMetricsMessage(
            device=self._writer.device,
            measured_at=at,
            uptime_s=round((now_ns - self._started_ns) / NS_PER_S, 3),
            cpu_percent=reading.cpu_percent,
            process_cpu_percent=reading.process_cpu_percent,
            memory_percent=reading.memory_percent,
            process_memory_bytes=reading.process_memory_bytes,
            soc_temperature_c=reading.soc_temperature_c,
            throttled=reading.throttled,
            outbox_depth=self._client.unacknowledged,
            unpublished=self._telemetry_lost + sum(m.unpublished for m in self._meters.values()),
            mqtt_reconnects=self._client.reconnects,
        )
        for message in (*messages, self._writer.board_metrics(board)):
            if not self._client.send(message):
                self._telemetry_lost += 1

    def _report_to_systemd(self, now_ns: int) -> None:
        """Reset the watchdog while the inference thread turns, and say how things are."""
        turning = (now_ns - self._turned_ns) / NS_PER_S < HANG_S
        if turning:
            self._systemd.alive()
        states = [self._state(name).status for name in self._readers]
        broker = "connected to" if self._client.connected else "trying to reach"
        self._systemd.status(
            f"{states.count('online')} of {len(states)} cameras online, "
            f"{broker} {self._client.address}"
        )
