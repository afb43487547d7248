"""What reaches the main thread from others: the mailbox, and requests over MQTT.

Threads and signal handlers put records into the `Mailbox` and return; the main loop takes them out
in order and acts. With a request it goes to the `ControlHandler`, which executes it and publishes
the response.
"""

from __future__ import annotations

import difflib
import logging
import queue
import threading
from collections import deque
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from edgevision import __version__
from edgevision.clock import NS_PER_S
from edgevision.config.faults import shown
from edgevision.config.overrides import Setting
from edgevision.config.settings import Config
from edgevision.errors import ConfigError, EdgevisionError
from edgevision.mqtt.message import Message, Topics
from edgevision.mqtt.outbox import MAX_MESSAGE_BYTES
from edgevision.mqtt.requests import (
    MAX_REQUEST_BYTES,
    CameraRequest,
    ChangeData,
    InfoData,
    OneCameraRequest,
    RequestError,
    ResetRequest,
    ResponseMessage,
    SnapshotData,
    ThresholdRequest,
    parse_request,
    verb_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from datetime import datetime

    from edgevision.clock import Clock
    from edgevision.config.overrides import Overrides, Value
    from edgevision.mqtt.requests import Request, Transaction

log = logging.getLogger(__name__)

# Requests that wait for the main thread; further ones are refused, not kept.
MAX_WAITING = 100
# The main thread handles its mail for this long before it does something else.
TURN_NS = NS_PER_S // 10

# Responses that wait for the connection, which a `reload` may have ended, and for how long.
MAX_UNSENT = 16
UNSENT_NS = 10 * NS_PER_S
_MAX_ERROR_CHARACTERS = 2000


@dataclass(frozen=True, slots=True)
class Stop:
    """The service must stop."""


@dataclass(frozen=True, slots=True)
class Reload:
    """The configuration file must be read again."""


@dataclass(frozen=True, slots=True)
class Connected:
    """A connection was made, or Home Assistant has started: all state must be published."""


@dataclass(frozen=True, slots=True)
class SceneChanged:
    """Events of a camera were recorded: its counts may have changed."""

    camera: str


@dataclass(frozen=True, slots=True)
class ArrivedRequest:
    """A request as it came over MQTT, cut to size and not parsed yet.

    Attributes:
        prefix: of the topics it was made under, and is answered under.
        verb: last level of its topic; None if that cannot be a verb.
        payload: at most one byte more than a request may have.
        retained: whether the broker keeps it.
    """

    prefix: str
    verb: str | None
    payload: bytes
    retained: bool


Signal: TypeAlias = Stop | Reload | Connected | SceneChanged
Mail: TypeAlias = Signal | ArrivedRequest


class Mailbox:
    """One queue from every thread and signal handler to the main thread, in order and bounded.

    A signal that already waits is not put again, so it is never refused; requests are counted
    before they are put. `SimpleQueue.put` is reentrant (Python documentation, `queue`): a signal
    handler may call `put` whatever the thread it interrupts is doing. `ask` takes a lock and is
    not for signal handlers.

    Attributes:
        stopping: whether `Stop` was put; set immediately, whatever waits before it.
        refused: how many requests were not taken because too many waited.
    """

    def __init__(self, clock: Clock) -> None:
        """Start empty; only the clock's monotonic time is used."""
        self.stopping = False
        self.refused = 0
        self._clock = clock
        self._queue: queue.SimpleQueue[Mail] = queue.SimpleQueue()
        self._signals: set[Signal] = set()
        self._lock = threading.Lock()
        self._waiting = 0
        self._overflow = 0

    def put(self, signal: Signal) -> None:
        """Put a signal; from any thread or signal handler. Neither blocks nor raises."""
        if isinstance(signal, Stop):
            self.stopping = True
        # Two threads may both find it absent: it waits twice then, which does no harm.
        if signal not in self._signals:
            self._signals.add(signal)
            self._queue.put(signal)

    def ask(self, request: ArrivedRequest) -> None:
        """Put a request, or count it as refused; from any thread."""
        with self._lock:
            if self._waiting >= MAX_WAITING:
                self._overflow += 1
                self.refused += 1
                return
            self._waiting += 1
        self._queue.put(request)

    def get(self, timeout_s: float) -> Mail | None:
        """Return what has waited longest; None if nothing comes within the time."""
        try:
            mail = self._queue.get(timeout=timeout_s) if timeout_s else self._queue.get_nowait()
        except queue.Empty:
            return None
        if isinstance(mail, ArrivedRequest):
            with self._lock:
                self._waiting -= 1
        else:
            # Before it is acted on: whoever puts it from now on may have more to act on.
            self._signals.discard(mail)
        return mail

    def incoming(self, timeout_s: float) -> Iterator[Mail]:
        """Wait for the first at most this long, and yield what waits for about 0.1 s.

        Ends after `MAX_WAITING` and as soon as the service is to stop.
        """
        mail = self.get(timeout_s)
        until_ns = self._clock.monotonic_ns() + TURN_NS
        handled = 0
        while mail is not None and not self.stopping:
            yield mail
            handled += 1
            if handled == MAX_WAITING or self._clock.monotonic_ns() >= until_ns:
                return
            mail = self.get(0.0)

    def take_overflow(self) -> int:
        """Return how many requests were refused since the last call."""
        with self._lock:
            overflow, self._overflow = self._overflow, 0
        return overflow


class Service(Protocol):
    """The service, as requests may query and change it. All but `config`: main thread only."""

    restart_reasons: tuple[str, ...]
    """What the configuration file asks for that only a restart can change."""
    file_config: Config
    """The configuration as in its file, without changes by requests."""

    @property
    def config(self) -> Config:
        """Return the configuration in force; also read on the network thread."""

    @property
    def labels(self) -> Collection[str]:
        """Return the labels of the model in use."""

    @property
    def model_name(self) -> str:
        """Return the name of the model in use."""

    @property
    def backend_name(self) -> str:
        """Return the name of the inference engine in use."""

    @property
    def started_at(self) -> datetime:
        """Return when the service started."""

    def set_config(self, config: Config) -> None:
        """Put another configuration in force.

        Raises:
            EdgevisionError: it cannot be; the old one still is.
        """

    def reload(self) -> None:
        """Read the configuration file again and put it in force.

        Raises:
            EdgevisionError: it cannot be; the old one still is.
        """

    def snapshot(self, camera: str) -> tuple[str, int]:
        """Publish the next picture of a camera; return its topic and size in bytes.

        Raises:
            EdgevisionError: there is no picture.
        """

    def reset(self, camera: str, line: str | None) -> None:
        """Reset the counters of one line to zero, or those of all lines of a camera."""


class ControlHandler:
    """Executes requests and publishes a response to each. Main thread only, except `accept`.

    Attributes:
        unanswered: how many responses the connection did not take in time.
    """

    def __init__(
        self,
        service: Service,
        overrides: Overrides,
        *,
        send: Callable[[Message], bool],
        clock: Clock,
    ) -> None:
        """Prepare.

        Args:
            service: what is queried and changed.
            overrides: where changes of settings are kept.
            send: publishes a response; False if it was not taken.
            clock: only its monotonic time is used.
        """
        self.unanswered = 0
        self._service = service
        self._overrides = overrides
        self._send = send
        self._clock = clock
        self._flooded = False
        self._unsent: deque[tuple[int, Message]] = deque()

    def accept(self, message: Message) -> ArrivedRequest | None:
        """Return a message as a request; None if it is not one. For the network thread.

        A broker may send anything on any topic.
        """
        config = self._service.config
        prefix, separator, verb = message.topic.rpartition("/request/")
        asked = separator and prefix == config.prefix and "/" not in verb
        if not (asked and config.control.enabled):
            return None
        payload = message.payload[: MAX_REQUEST_BYTES + 1]  # enough to see that it is too large
        return ArrivedRequest(prefix, verb_of(message.topic), payload, message.retain)

    def answer(self, arrived: ArrivedRequest) -> None:
        """Execute a request and publish the response."""
        self._publish(arrived.prefix, arrived.verb, self._respond(arrived))

    def answer_refused(self, overflow: int) -> None:
        """Publish one response to this many refused requests; none if it is 0."""
        if overflow and not self._flooded:
            log.warning("control: requests are refused: more than %d are waiting", MAX_WAITING)
        self._flooded = bool(overflow)
        if overflow:
            error = f"expected at most {MAX_WAITING} waiting requests, got {overflow} more: refused"
            self._publish(self._service.config.prefix, None, self._error(None, error))

    def send_unsent(self) -> None:
        """Send the responses that the connection has not taken so far; drop those too old."""
        now_ns = self._clock.monotonic_ns()
        while self._unsent:
            until_ns, message = self._unsent[0]
            if self._send(message):
                self._unsent.popleft()
            elif now_ns > until_ns:
                self._give_up()
            else:
                return

    def _respond(self, arrived: ArrivedRequest) -> ResponseMessage:
        transaction: Transaction = None
        try:
            request = parse_request(arrived.verb, arrived.payload, retained=arrived.retained)
            transaction = request.payload.transaction
            data = self._execute(request)
        except RequestError as error:
            return self._error(arrived.verb, str(error), error.transaction)
        except EdgevisionError as error:
            return self._error(arrived.verb, "; ".join(str(error).splitlines()), transaction)
        except Exception as error:  # a request must not end the service
            log.exception("control: %s failed", arrived.verb)
            fault = f"unexpected fault: {type(error).__name__}; see the log"
            return self._error(arrived.verb, fault, transaction)
        if request.verb not in {"info", "snapshot"}:
            log.info("control: %s done", request.verb)
        return ResponseMessage(
            device=self._service.config.device,
            verb=arrived.verb,
            status="ok",
            transaction=transaction,
            data=data,
        )

    def _error(
        self, verb: str | None, error: str, transaction: Transaction = None
    ) -> ResponseMessage:
        return ResponseMessage(
            device=self._service.config.device,
            verb=verb,
            status="error",
            error=error[:_MAX_ERROR_CHARACTERS],
            transaction=transaction,
        )

    def _publish(self, prefix: str, verb: str | None, response: ResponseMessage) -> None:
        payload = response.encode()
        if len(payload) > MAX_MESSAGE_BYTES:
            error = f"expected a response of at most {MAX_MESSAGE_BYTES} bytes, got {len(payload)}"
            payload = self._error(verb, error, response.transaction).encode()
        message = Message(Topics(prefix).response(verb), payload, qos=1)
        if self._unsent or not self._send(message):
            self._unsent.append((self._clock.monotonic_ns() + UNSENT_NS, message))
            if len(self._unsent) > MAX_UNSENT:
                self._give_up()

    def _give_up(self) -> None:
        _, message = self._unsent.popleft()
        self.unanswered += 1
        log.warning("control: a response on %s could not be sent", message.topic)

    # What each request does.

    def _execute(self, request: Request) -> InfoData | SnapshotData | ChangeData | None:
        """Execute a request with a valid payload, and return the data of its response.

        Raises:
            EdgevisionError: it cannot be done; nothing was.
        """
        match request.payload:
            case CameraRequest(camera=camera, enabled=enabled):
                return self._switch(camera, enabled=enabled)
            case OneCameraRequest(camera=camera) if request.verb == "snapshot":
                topic, size_bytes = self._service.snapshot(self._known(camera))
                return SnapshotData(topic=topic, bytes=size_bytes)
            case OneCameraRequest(camera=camera):
                return self._switch(camera, enabled=request.verb == "enable")
            case ThresholdRequest(camera=camera, label=label, min_score=score):
                return self._set(self._threshold(camera, label), score)
            case ResetRequest(camera=camera, line=line):
                self._service.reset(self._known(camera), self._line(camera, line))
            case _ if request.verb == "reload":
                self._service.reload()
            case _:
                return self._info()
        return None

    def _switch(self, camera: str, *, enabled: bool) -> ChangeData | None:
        return self._set(Setting("enabled", self._known(camera)), enabled)

    def _set(self, setting: Setting, value: Value) -> ChangeData | None:
        service = self._service
        fault = self._overrides.set(
            service.file_config, service.labels, setting, value, service.set_config
        )
        return ChangeData(warning=f"will not survive a restart: {fault}") if fault else None

    def _threshold(self, camera: str | None, label: str | None) -> Setting:
        if camera is not None:
            self._known(camera)
        if label is not None:
            self._check_label(label)
        return Setting("min_score", camera, label)

    def _info(self) -> InfoData:
        service = self._service
        hidden = {"mqtt": {"password"}}
        return InfoData(
            version=__version__,
            model=service.model_name,
            backend=service.backend_name,
            started_at=service.started_at,
            restart_required=bool(service.restart_reasons),
            restart_reasons=service.restart_reasons,
            config=service.config.model_dump(mode="json", by_alias=True, exclude=hidden),
            config_schema=_config_schema(),
        )

    # Names in requests.

    def _known(self, camera: str) -> str:
        cameras = self._service.config.cameras
        if camera not in cameras:
            msg = f"camera: expected one of {', '.join(cameras)}; got {shown(camera)}"
            raise ConfigError(msg)
        return camera

    def _line(self, camera: str, line: str | None) -> str | None:
        lines = self._service.config.cameras[camera].lines
        if not lines:
            msg = f"camera: expected one with lines, got {camera}, which has none"
            raise ConfigError(msg)
        if line is not None and line not in lines:
            msg = f"line: expected one of {', '.join(lines)}; got {shown(line)}"
            raise ConfigError(msg)
        return line

    def _check_label(self, label: str) -> None:
        labels = self._service.labels
        if label not in labels:
            close = difflib.get_close_matches(label[:64], labels, n=1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            msg = f"label: expected a label of the model, got {shown(label)}{hint}"
            raise ConfigError(msg)


@cache
def _config_schema() -> dict[str, Any]:
    return Config.model_json_schema()
