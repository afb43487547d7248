"""The daemon: it owns every part, and its main loop reacts to what other threads report.

Camera threads read and resize; the newest frame of each waits in its slot. The inference
thread takes them in turn and publishes detections. The publisher delivers what must not be
lost. The main thread takes its mail (signals, requests, connections, recorded events) and
publishes camera status, counts and metrics; it feeds the watchdog and puts configurations in
force. It alone records retained messages, so that nothing old can overtake what is newer.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from typing import TYPE_CHECKING

from edgevision.capture.reader import STOPPED
from edgevision.clock import SystemClock
from edgevision.config.loader import load_config, with_places
from edgevision.config.overrides import Overrides
from edgevision.daemon.control import (
    ArrivedRequest,
    Connected,
    ControlHandler,
    Mailbox,
    Reload,
    SceneChanged,
    Stop,
)
from edgevision.daemon.metrics import MetricsPublisher
from edgevision.daemon.retained_state import RetainedState, Subject
from edgevision.daemon.runtime import Runtime, Session, changes_between, make_encoder
from edgevision.daemon.uplink import Uplink, counter_values, counts_in, messages_in
from edgevision.daemon.watchdog import Progress, SystemdNotifier
from edgevision.detection.snapshot import whole_picture
from edgevision.errors import ConfigError, EdgevisionError, RestartError, SourceError
from edgevision.events import DELIVERING, CameraState
from edgevision.files import StateFolder
from edgevision.inference.backend import load_engine
from edgevision.model_card import known_labels
from edgevision.mqtt.client import MqttClient
from edgevision.mqtt.message import Message
from edgevision.pipeline.cameras import CameraSet
from edgevision.pipeline.threads import FrameThreads
from edgevision.sinks.sink import Sinks

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime
    from pathlib import Path

    from edgevision.clock import Clock
    from edgevision.config.settings import Config
    from edgevision.daemon.control import Mail
    from edgevision.events import Event, LineCount
    from edgevision.frames import Frame, FrameResult
    from edgevision.inference.backend import LoadedModel
    from edgevision.pipeline.cameras import Camera

log = logging.getLogger(__name__)

# How long the main loop waits for mail.
TICK_S = 0.25
# A part without progress for this long hangs, where systemd sets no watchdog time.
HANG_S = 30.0
# How long the end may take.
STOP_S = 1.6
# How long a request waits for a camera's next frame.
PICTURE_S = 2.0


class Daemon:
    """The whole service under one configuration, which SIGHUP or a request may change.

    Attributes:
        runtime: what runs under the present configuration.
        file_config: the configuration as in its file, without changes by requests.
        uplink: the MQTT link.
        cameras: those of the configuration.
        restart_reasons: what the file asks for that only a restart can change.
    """

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
        self._file = file
        self._clock = clock or SystemClock()
        self._systemd = SystemdNotifier()
        watchdog_s = self._systemd.watchdog_s
        self._hang_s = watchdog_s / 2 if watchdog_s else HANG_S
        self._metrics = MetricsPublisher(self._clock)
        self._mailbox = Mailbox(self._clock)
        # Whether everything is to be published again; for the main thread alone.
        self._everything_due = False
        self._refused: str | None = None
        self.restart_reasons: tuple[str, ...] = ()
        self.file_config = config
        self._folder = StateFolder(config.state_path)
        self._frames = FrameThreads(
            clock=self._clock, on_result=self._publish_result, on_failed=self.stop
        )
        self._session = Session(self._clock, on_events=self._record_events)
        loaded = load_engine(config)
        self._overrides = Overrides(self._folder.path)
        config = self._overrides.apply(config, known_labels(loaded.model))
        # Events come from any thread, and none may fall between two uplinks.
        self._uplink_lock = threading.Lock()
        self.uplink = self._make_uplink(config, loaded)
        stored = self.uplink.stored_values()
        self._left_open = messages_in(stored)
        self.runtime = Runtime.build(config, loaded, self._session, counts_in(stored))
        self._subject = self._make_subject()
        self._state = RetainedState(stored)
        self._control = ControlHandler(self, self._overrides, send=self._answer, clock=self._clock)
        self._sinks = Sinks.build(config, self._ask)
        self.cameras = CameraSet(
            config, self.runtime.pipelines, deliver=self._take_frame, clock=self._clock
        )

    def run(self) -> None:
        """Run until `stop` or a signal; then publish `offline` and end everything.

        Raises:
            BackendError: the network keeps failing; a restart may help.
        """
        self.uplink.start()
        for key, message in self._left_open.items():  # of objects that the last run did not end
            self.uplink.record(message, {key: None})
        self._sinks.start()
        self.cameras.start()
        self._frames.start()
        self._systemd.ready()
        self._log_cameras()
        try:
            while not self._mailbox.stopping:
                for mail in self._mailbox.incoming(TICK_S):
                    self._handle(mail)
                self._turn()
        finally:
            self._end()
        if self._frames.fault is not None:
            raise self._frames.fault

    def stop(self) -> None:
        """Ask `run` to return; may be called from a signal handler or another thread."""
        self._mailbox.put(Stop())

    def listen_to_signals(self) -> None:
        """Stop on SIGTERM and SIGINT, read the configuration again on SIGHUP."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stop())
        signal.signal(signal.SIGHUP, lambda *_: self.reload_soon())

    def reload_soon(self) -> None:
        """Ask `run` to read the configuration again; may be called from a signal handler."""
        self._mailbox.put(Reload())

    # Made for each configuration.

    def _make_uplink(self, config: Config, loaded: LoadedModel) -> Uplink:
        return Uplink(
            config,
            make_encoder(config, loaded, self._session),
            folder=self._folder.path,
            clock=self._clock,
            on_connected=self._connected,
            on_request=self._requested,
        )

    def _make_subject(self) -> Subject:
        runtime, model = self.runtime, self.runtime.loaded.model
        labels = tuple(known_labels(model))
        return Subject(runtime.config, labels, model.card.name, runtime.trackers)

    # On the network thread.

    def _connected(self) -> None:
        self._mailbox.put(Connected())

    def _requested(self, message: Message) -> None:
        request = self._control.accept(message)
        if request is not None:
            self._mailbox.ask(request)

    # On the threads of sinks.

    def _ask(self, verb: str, payload: bytes) -> None:
        self._requested(Message(f"{self.config.prefix}/request/{verb}", payload, qos=1))

    # On the threads that frames go through.

    def _take_frame(self, camera: Camera, frame: Frame) -> None:
        self._frames.captured(camera, frame)
        self._sinks.lend(frame)

    def _publish_result(self, frame: Frame, result: FrameResult) -> bool:
        """Publish detections and take pictures; the frame's events are recorded already."""
        uplink = self.uplink
        published = result.inferred and uplink.detections(result)
        for event in result.events:
            uplink.take_picture(event, frame)
        if result.events:
            self._mailbox.put(SceneChanged(frame.camera))  # there may be pictures to send
        self._sinks.put_result(result)
        return published

    # On any thread; the tracker lets nothing else happen at its camera meanwhile.

    def _record_events(
        self, camera: str, events: Sequence[Event], line_counts: Sequence[LineCount]
    ) -> None:
        with self._uplink_lock:
            for event in events:
                self.uplink.record_event(event, line_counts)
        self._sinks.put_events(events)
        self._mailbox.put(SceneChanged(camera))

    # On the main thread.

    def _handle(self, mail: Mail) -> None:
        match mail:
            case ArrivedRequest():
                self._control.answer(mail)
            case Reload():
                with contextlib.suppress(EdgevisionError):  # it is one of the problems now
                    self.reload()
            case Connected():
                self._everything_due = True
            case SceneChanged(camera=camera):
                self._state.scene_changed(camera)

    def _turn(self) -> None:
        self._control.answer_refused(self._mailbox.take_overflow())
        self._control.send_unsent()
        progress = self._progress()
        stuck = progress.stuck(self._clock.monotonic_ns(), self._hang_s)
        self._publish_state(stuck)
        self._metrics.publish_due(
            self.uplink,
            self.cameras,
            self._frames.slots,
            interval_s=self.runtime.config.metrics.interval_s,
        )
        if not stuck:
            self._systemd.alive()
        self._systemd.status(progress.text(self._state.problems))

    def _publish_state(self, stuck: tuple[str, ...]) -> None:
        everything, self._everything_due = self._everything_due, False
        refused = (self._refused,) if self._refused else ()
        changes = self._state.turn(
            self.uplink,
            self._subject,
            self.cameras,
            (*stuck, *refused, *self._sinks.problems),
            at_local=self._clock.wall().astimezone(),
            everything=everything,
        )
        for camera, state in changes.items():
            self._sinks.put_state(camera, state)
        self.uplink.send_pictures(again=everything)

    def _answer(self, response: Message) -> bool:
        return self.uplink.answer(response)  # a reload may have replaced it

    def _progress(self) -> Progress:
        now_ns = self._clock.monotonic_ns()
        return Progress(
            inference_ns=self._frames.turned_ns,
            inference_s=self._frames.longest_turn_s,
            publisher_turns=self.uplink.healthy(now_ns),
            broker=self.uplink.broker,
            connected=self.uplink.connected,
            waiting=self.uplink.outbox.depth,
            cameras=self.cameras.progress(),
        )

    def _log_cameras(self) -> None:
        log.info("running: %s", ", ".join(each.source for each in self.cameras))

    def _end(self) -> None:
        self._systemd.stopping()
        until_s = time.monotonic() + STOP_S / 3
        self._frames.stop_soon()
        self.cameras.stop(STOP_S / 3)
        self._frames.stop(max(0.0, until_s - time.monotonic()))
        self._metrics.publish(self.uplink, self.cameras, self._frames.slots)
        for tracker in self.runtime.trackers.values():
            tracker.retire("stopped")
        for camera in self.cameras:
            if camera.enabled:
                self.uplink.camera_event(camera.name, self._stopped(), camera.published_state)
        self._sinks.stop(STOP_S / 8)
        self._state.publish_offline(self.uplink, self._subject, self.cameras, self._stopped())
        self.uplink.stop(str(self._frames.fault or "stopped"), STOP_S / 2)
        self._folder.close()
        log.info("stopped")

    def _stopped(self) -> CameraState:
        return CameraState("offline", STOPPED, self._clock.wall())

    # Another configuration: by SIGHUP or by a request.

    def reload(self) -> None:
        """Read the configuration file again; a bad one changes nothing and is a problem.

        Raises:
            EdgevisionError: it cannot be put in force.
        """
        if self._file is None:
            msg = "expected a configuration file to reload, got none: start the service with one"
            raise ConfigError(msg)
        try:
            config = load_config(self._file, os.environ)
            self.set_config(self._overrides.apply(config, known_labels(self.runtime.loaded.model)))
        except EdgevisionError as error:
            self.restart_reasons = error.faults if isinstance(error, RestartError) else ()
            first, *more = str(error).splitlines()
            rest = f" (and {len(more)} more: edgevision check-config {self._file})" if more else ""
            self._refused = f"configuration not reloaded: {first}{rest}"
            raise
        self.file_config = config
        self._refused = None
        self.restart_reasons = ()
        log.info("configuration reloaded")

    def set_config(self, config: Config) -> None:
        """Put another configuration in force: build it beside what runs, then replace that.

        Raises:
            EdgevisionError: it cannot be; nothing has changed.
        """
        try:
            MqttClient(config.mqtt, client_id="check")  # password and certificates can be read
            changes = changes_between(self.config, config)
            runtime = self.runtime.replaced(config)
        except ConfigError as error:
            raise (with_places(self._file, error) if self._file else error) from None
        if config.prefix != self.config.prefix:
            self._state.publish_offline(self.uplink, self._subject, self.cameras, self._stopped())
        with self._uplink_lock:
            if changes.uplink:
                self.uplink.stop("configuration reloaded", STOP_S / 2)
                pictures = self.uplink.pictures
                self.uplink = self._make_uplink(config, runtime.loaded)
                self.uplink.pictures = pictures  # those of other topics are sorted out later
                self.uplink.start()
            else:
                encoder = make_encoder(config, runtime.loaded, self._session)
                self.uplink.use(config, encoder)
        self.runtime = runtime
        self._subject = self._make_subject()
        self._sinks.stop(STOP_S / 8)
        self._sinks = Sinks.build(config, self._ask)
        self._sinks.start()
        self.cameras.change(
            config,
            runtime.pipelines,
            changes.cameras,
            timeout_s=STOP_S,
            on_end=self._frames.slots.forget,
        )
        logging.getLogger("edgevision").setLevel(config.log_level.upper())
        self._everything_due = True
        self._log_cameras()

    # What requests query and change, besides `reload` and `set_config`.

    @property
    def config(self) -> Config:
        """Return the configuration in force."""
        return self.runtime.config

    @property
    def labels(self) -> Collection[str]:
        """Return the labels of the model in use."""
        return known_labels(self.runtime.loaded.model)

    @property
    def model_name(self) -> str:
        """Return the name of the model in use."""
        return self.runtime.loaded.model.card.name

    @property
    def backend_name(self) -> str:
        """Return the name of the inference engine in use."""
        return self.runtime.loaded.backend.name

    @property
    def started_at(self) -> datetime:
        """Return when the service started."""
        return self._session.started_at

    def snapshot(self, camera: str) -> tuple[str, int]:
        """Publish the next picture of a camera; return its topic and size in bytes.

        Raises:
            SourceError: none comes.
        """
        source = self.cameras[camera]
        state = source.state()
        if state.status not in DELIVERING:
            msg = (
                f"camera: expected one that delivers frames, got {camera}, {state.status}: "
                f"{state.reason}"
            )
            raise SourceError(msg)
        settings = self.config.snapshots
        jpeg = source.look(lambda frame: whole_picture(frame.image, settings), PICTURE_S)
        if jpeg is None:
            msg = f"camera: expected a frame of {camera} within {PICTURE_S:g} s, got none"
            raise SourceError(msg)
        message = self.uplink.encoder.snapshot(camera, None, jpeg)
        self.uplink.pictures.add(message)
        return message.topic, len(jpeg)

    def reset(self, camera: str, line: str | None) -> None:
        """Reset the counters of one line to zero, or those of all lines of a camera."""
        for name in self.config.cameras[camera].lines:
            if line in {None, name}:
                self.runtime.trackers[camera].reset(name, self._keep_count)
        self._state.scene_changed(camera)

    def _keep_count(self, count: LineCount) -> None:
        self.uplink.record(None, counter_values(count))
