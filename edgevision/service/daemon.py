"""The daemon: threads, signals, and what each configuration wants of them.

Camera threads read and resize; the newest frame of each waits in its slot. The inference
thread takes them in turn and publishes detections. The publisher delivers what must not be
lost. The main thread looks after camera status, metrics, the watchdog, signals and changes of
configuration; it alone records what is retained, so that nothing old can overtake what is new.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgevision.capture.reader import STOPPED, CameraState
from edgevision.capture.slots import FrameSlots
from edgevision.clock import SystemClock
from edgevision.configfile import load_config, with_places
from edgevision.errors import ConfigError, EdgevisionError
from edgevision.messaging.client import MqttClient
from edgevision.service.cameras import Camera
from edgevision.service.changes import Changes, compare
from edgevision.service.engine import Engine, load_engine
from edgevision.service.health import Progress
from edgevision.service.inferring import InferenceThread, Job
from edgevision.service.pipeline import Pipeline
from edgevision.service.statefolder import StateFolder
from edgevision.service.systemd import SystemdNotifier
from edgevision.service.telemetry import Telemetry
from edgevision.service.uplink import Uplink
from edgevision.service.writer import EventIds, MessageWriter

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from edgevision.clock import Clock
    from edgevision.config import Config
    from edgevision.records import Frame, FrameResult

log = logging.getLogger(__name__)

TICK_S = 0.25
# What has not come round for this long hangs, where there is no watchdog to go by.
HANG_S = 30.0
STOP_S = 1.6


@dataclass(frozen=True, slots=True)
class _Rebuilt:
    """What another configuration needs, before it takes effect."""

    config: Config
    changes: Changes
    engine: Engine
    pipeline: Pipeline


class Daemon:
    """The whole service under one configuration, which SIGHUP may change."""

    def __init__(
        self, config: Config, *, file: Path | None = None, clock: Clock | None = None
    ) -> None:
        """Lock the state folder, load the model, run it once and wire everything.

        Nothing runs yet. A service that calls itself ready must be able to do its work, so the
        model comes before cameras and broker, which may be away.

        Args:
            config: what to do.
            file: where it came from; read again on SIGHUP.
            clock: where time comes from.

        Raises:
            StateInUseError: another service works with this state folder.
            ConfigError: labels that the model lacks; unreadable certificate or password.
            ModelError: the model cannot be used.
            BackendError: the engine cannot run it.
        """
        self._config = config
        self._file = file
        self._clock = clock or SystemClock()
        self._started_at = self._clock.wall()
        self._event_ids = EventIds(self._started_at)
        self._systemd = SystemdNotifier()
        watchdog_s = self._systemd.watchdog_s
        self._hang_s = watchdog_s / 2 if watchdog_s else HANG_S
        self._telemetry = Telemetry(self._clock)
        self._state_due = threading.Event()
        self._reload_due = threading.Event()
        self._stopping = threading.Event()
        self._refused: str | None = None
        self._problems: tuple[str, ...] = ()
        self._announced: tuple[str, ...] | None = None
        self._folder = StateFolder(config.state_path)
        self._engine = load_engine(config)
        self._pipeline = self._make_pipeline(config, self._engine)
        self._uplink = self._make_uplink(config, self._engine)
        self._slots: FrameSlots[Job] = FrameSlots()
        self._cameras = {name: self._make_camera(config, name) for name in config.cameras}
        self._inference = InferenceThread(self._slots, clock=self._clock, on_ill=self.stop)

    def run(self) -> None:
        """Run until `stop` or a signal; then publish `offline` and end everything.

        Raises:
            BackendError: the network keeps failing; a restart may help.
        """
        self._uplink.start()
        for camera in self._cameras.values():
            camera.start()
        self._inference.start()
        self._systemd.ready()
        self._log_cameras()
        try:
            while not self._stopping.wait(TICK_S):
                self._turn()
        finally:
            self._end()
        if self._inference.fault is not None:
            raise self._inference.fault

    def stop(self) -> None:
        """Ask `run` to return; may be called from a signal handler or another thread."""
        self._stopping.set()

    def listen_to_signals(self) -> None:
        """Stop on SIGTERM and SIGINT, read the configuration again on SIGHUP."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stop())
        signal.signal(signal.SIGHUP, lambda *_: self._reload_due.set())

    # Parts, as a configuration wants them.

    def _make_pipeline(self, config: Config, engine: Engine) -> Pipeline:
        return Pipeline(
            model=engine.model,
            backend=engine.backend,
            config=config,
            clock=self._clock,
            publish=self._publish,
        )

    def _make_writer(self, config: Config, engine: Engine) -> MessageWriter:
        return MessageWriter(
            config,
            model_name=engine.model.card.name,
            backend_name=engine.backend.name,
            started_at=self._started_at,
            event_ids=self._event_ids,
        )

    def _make_uplink(self, config: Config, engine: Engine) -> Uplink:
        return Uplink(
            config,
            self._make_writer(config, engine),
            folder=self._folder.path,
            clock=self._clock,
            on_connected=self._state_due.set,
        )

    def _make_camera(self, config: Config, name: str) -> Camera:
        return Camera(
            name,
            config.cameras[name],
            deliver=self._captured,
            clock=self._clock,
            window_s=config.metrics.window_s,
        )

    # On the camera threads.

    def _captured(self, camera: Camera, frame: Frame) -> None:
        if self._cameras.get(camera.name) is not camera:  # a reload has just taken it out
            return
        pipeline = self._pipeline
        camera.meter.captured(frame.captured_ns, frame.sequence)
        try:
            ready = pipeline.prepare(frame)
        except Exception:
            camera.meter.failed()
            log.exception("camera %s: frame %s cannot be prepared", frame.camera, frame.sequence)
            return
        self._slots.put(Job(camera, pipeline, ready))

    # On the inference thread.

    def _publish(self, result: FrameResult) -> None:
        job = self._inference.job
        if job is None or self._cameras.get(result.camera) is not job.source:
            return
        published = self._uplink.detections(result)
        job.source.meter.inferred(result, self._clock.monotonic_ns(), published=published)

    # On the main thread.

    def _turn(self) -> None:
        if self._reload_due.is_set() and self._file is not None:
            self._reload_due.clear()
            self._reload(self._file)
        progress = self._progress()
        stuck = progress.stuck(self._clock.monotonic_ns(), self._hang_s)
        self._tell(stuck)
        self._telemetry.publish_due(
            self._uplink,
            self._cameras.values(),
            self._slots,
            interval_s=self._config.metrics.interval_s,
        )
        if not stuck:
            self._systemd.alive()
        self._systemd.status(progress.words(self._problems))

    def _tell(self, stuck: tuple[str, ...]) -> None:
        """Say what has changed; after each connection everything, for it may have been lost."""
        everything = self._state_due.is_set()
        if everything:
            self._state_due.clear()
        own = (*stuck, self._refused) if self._refused else stuck
        for problem in own:  # the outbox logs its own
            if problem not in self._problems:
                log.warning("%s", problem)
        problems = self._problems = (*own, *self._uplink.outbox.problems)
        if everything:
            self._announced = None
        if problems != self._announced and self._uplink.announce(problems):
            self._announced = problems
        for name, camera in self._cameras.items():
            last, state = camera.told, camera.tell()
            if state != last and camera.enabled:
                self._uplink.event(name, state, last)
            if state != last or everything:
                self._uplink.state(name, state)

    def _progress(self) -> Progress:
        now_ns = self._clock.monotonic_ns()
        cameras = [camera.progress() for camera in self._cameras.values()]
        return Progress(
            inference_ns=self._inference.turned_ns,
            inference_s=self._inference.longest_turn_s,
            publisher_turns=self._uplink.healthy(now_ns),
            broker=self._uplink.broker,
            connected=self._uplink.connected,
            waiting=self._uplink.outbox.depth,
            cameras=[camera for camera in cameras if camera is not None],
        )

    def _log_cameras(self) -> None:
        cameras = self._cameras.values()
        log.info("running: %s", ", ".join(f"{c.name} ({c.config.shown_source})" for c in cameras))

    def _end(self) -> None:
        self._systemd.stopping()
        until_s = time.monotonic() + STOP_S / 3
        self._inference.stop(0.0)
        stop_cameras(self._cameras.values(), STOP_S / 3)
        self._inference.stop(max(0.0, until_s - time.monotonic()))
        self._slots.drop_waiting()  # they are accounted for, too
        self._telemetry.publish(self._uplink, self._cameras.values(), self._slots)
        for camera in self._cameras.values():
            if camera.enabled:
                self._uplink.event(camera.name, self._stopped(), camera.told)
        self._say_offline()
        self._uplink.stop(str(self._inference.fault or "stopped"), STOP_S / 2)
        self._folder.close()
        log.info("stopped")

    def _say_offline(self) -> None:
        for camera in self._cameras.values():
            if camera.enabled:
                self._uplink.state(camera.name, self._stopped())

    def _stopped(self) -> CameraState:
        return CameraState("offline", STOPPED, self._clock.wall())

    # SIGHUP.

    def _reload(self, file: Path) -> None:
        """Read the configuration again; a bad one changes nothing and is a problem."""
        try:
            new = self._build_anew(file)
        except EdgevisionError as error:
            first, *more = str(error).splitlines()
            rest = f" (and {len(more)} more: edgevision check-config {file})" if more else ""
            self._refused = f"configuration not reloaded: {first}{rest}"
            return
        self._refused = None
        if new.changes.uplink:
            if new.config.prefix != self._config.prefix:
                self._say_offline()
            self._uplink.stop("configuration reloaded", STOP_S / 2)
            self._uplink = self._make_uplink(new.config, new.engine)
            self._uplink.start()
        else:
            self._uplink.writer = self._make_writer(new.config, new.engine)
        self._config, self._engine = new.config, new.engine
        self._change_cameras(new.config, new.pipeline, new.changes.cameras)
        logging.getLogger("edgevision").setLevel(new.config.log_level.upper())
        self._state_due.set()
        log.info("configuration reloaded")
        self._log_cameras()

    def _build_anew(self, file: Path) -> _Rebuilt:
        """Build what another configuration needs, beside what runs."""
        config = load_config(file, os.environ)
        try:
            changes = compare(self._config, config)
            engine = load_engine(config) if changes.engine else self._engine
            pipeline = self._make_pipeline(config, engine)
            MqttClient(config.mqtt, client_id="check")  # password and certificates can be read
        except ConfigError as error:
            raise with_places(file, error) from None
        return _Rebuilt(config, changes, engine, pipeline)

    def _change_cameras(self, config: Config, pipeline: Pipeline, names: Collection[str]) -> None:
        """End cameras that are gone or different, go over to the new pipeline, begin the new."""
        gone = [camera for name, camera in self._cameras.items() if name in names]
        kept = {name: camera for name, camera in self._cameras.items() if name not in names}
        stop_cameras(gone, STOP_S)
        for camera in gone:
            self._slots.forget(camera.name)
            if camera.name not in config.cameras:
                self._uplink.forget(camera.name)
        self._pipeline = pipeline
        self._cameras = {
            name: kept.get(name) or self._make_camera(config, name) for name in config.cameras
        }
        for name, camera in self._cameras.items():
            camera.meter.window_s = config.metrics.window_s
            if name not in kept:
                camera.start()


def stop_cameras(cameras: Collection[Camera], timeout_s: float) -> None:
    """Ask cameras to end, all at once, and wait for them together at most this long."""
    until_s = time.monotonic() + timeout_s
    for camera in cameras:
        camera.stop(timeout_s=0.0)
    for camera in cameras:
        camera.stop(timeout_s=max(0.0, until_s - time.monotonic()))
