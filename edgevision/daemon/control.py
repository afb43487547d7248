"""Control: requests over MQTT, executed one after another on the main thread."""

from __future__ import annotations

import difflib
import logging
import threading
from collections import deque
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

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
    from collections.abc import Callable, Collection
    from datetime import datetime

    from edgevision.clock import Clock
    from edgevision.config.overrides import Overrides, Value
    from edgevision.mqtt.requests import Request, Transaction

log = logging.getLogger(__name__)

# Requests that wait for the main thread; what comes beyond them is refused, not kept.
MAX_WAITING = 100

# Requests are executed for this long before the main thread does something else.
TURN_NS = NS_PER_S // 10

# Responses that wait for the connection, which a `reload` may have ended, and how long.
MAX_UNSENT = 16

UNSENT_NS = 10 * NS_PER_S

_MAX_ERROR_CHARACTERS = 2000


@dataclass(frozen=True, slots=True)
class _Arrived:
    prefix: str
    verb: str | None
    payload: bytes
    retained: bool


class Control:
    """Takes requests on the network thread and executes them where `turn` is called.

    Attributes:
        refused: how many requests were not taken, because too many waited.
        unanswered: how many responses the connection did not take in time.
    """

    def __init__(
        self,
        controlled: Controlled,
        overrides: Overrides,
        *,
        send: Callable[[Message], bool],
        clock: Clock,
    ) -> None:
        """Prepare.

        Args:
            controlled: what is changed.
            overrides: where changes of settings are kept.
            send: publishes a response; False if it was not taken.
            clock: only its monotonic time is used.
        """
        self.refused = 0
        self.unanswered = 0
        self._controlled = controlled
        self._execution = Execution(controlled, overrides)
        self._send = send
        self._clock = clock
        self._lock = threading.Lock()
        self._arrived: deque[_Arrived] = deque()
        self._overflow = 0
        self._flooded = False
        self._unsent: deque[tuple[int, Message]] = deque()

    def take(self, message: Message) -> None:
        """Keep a request until the next `turn`. Neither blocks nor raises; for the network thread.

        A broker may send anything on any topic: what is no request is passed over.
        """
        config = self._controlled.config
        prefix, separator, verb = message.topic.rpartition("/request/")
        asked = separator and prefix == config.prefix and "/" not in verb
        if not (asked and config.control.enabled):
            return
        payload = message.payload[: MAX_REQUEST_BYTES + 1]  # enough to see that it is too large
        arrived = _Arrived(prefix, verb_of(message.topic), payload, message.retain)
        with self._lock:
            if len(self._arrived) < MAX_WAITING:
                self._arrived.append(arrived)
            else:
                self._overflow += 1
                self.refused += 1

    def turn(self) -> None:
        """Execute what has arrived, for about 0.1 s, and send responses; for the main thread."""
        self._send_again()
        until_ns = self._clock.monotonic_ns() + TURN_NS
        for _ in range(MAX_WAITING):
            with self._lock:
                arrived = self._arrived.popleft() if self._arrived else None
            if arrived is None:
                break
            self._answer(arrived.prefix, arrived.verb, self._respond(arrived))
            if self._clock.monotonic_ns() >= until_ns:
                break
        with self._lock:
            overflow, self._overflow = self._overflow, 0
        if overflow and not self._flooded:
            log.warning("control: requests are refused: too many at once")
        self._flooded = bool(overflow)
        if overflow:
            error = f"expected at most {MAX_WAITING} requests at once, got {overflow} more: refused"
            self._answer(self._controlled.config.prefix, None, self._error(None, error))

    def _respond(self, arrived: _Arrived) -> ResponseMessage:
        transaction: Transaction = None
        try:
            request = parse_request(arrived.verb, arrived.payload, retained=arrived.retained)
            transaction = request.payload.transaction
            data = self._execution.execute(request)
        except RequestError as error:
            return self._error(arrived.verb, str(error), error.transaction)
        except EdgevisionError as error:
            return self._error(arrived.verb, "; ".join(str(error).splitlines()), transaction)
        except Exception as error:  # a request must not end the service
            log.exception("control: %s failed", arrived.verb)
            words = f"unexpected fault: {type(error).__name__}; the log says more"
            return self._error(arrived.verb, words, transaction)
        if request.verb not in {"info", "snapshot"}:
            log.info("control: %s done", request.verb)
        return ResponseMessage(
            device=self._controlled.config.device,
            verb=arrived.verb,
            status="ok",
            transaction=transaction,
            data=data,
        )

    def _error(
        self, verb: str | None, words: str, transaction: Transaction = None
    ) -> ResponseMessage:
        return ResponseMessage(
            device=self._controlled.config.device,
            verb=verb,
            status="error",
            error=words[:_MAX_ERROR_CHARACTERS],
            transaction=transaction,
        )

    # Responses.

    def _answer(self, prefix: str, verb: str | None, response: ResponseMessage) -> None:
        payload = response.encode()
        if len(payload) > MAX_MESSAGE_BYTES:
            error = f"expected a response of at most {MAX_MESSAGE_BYTES} bytes, got {len(payload)}"
            payload = self._error(verb, error, response.transaction).encode()
        message = Message(Topics(prefix).response(verb), payload, qos=1)
        if self._unsent or not self._send(message):
            self._unsent.append((self._clock.monotonic_ns() + UNSENT_NS, message))
            if len(self._unsent) > MAX_UNSENT:
                self._give_up()

    def _send_again(self) -> None:
        now_ns = self._clock.monotonic_ns()
        while self._unsent:
            until_ns, message = self._unsent[0]
            if self._send(message):
                self._unsent.popleft()
            elif now_ns > until_ns:
                self._give_up()
            else:
                return

    def _give_up(self) -> None:
        _, message = self._unsent.popleft()
        self.unanswered += 1
        log.warning("control: a response on %s could not be sent", message.topic)


# FOLDED:
# What each request does.


class Execution:
    """Executes requests whose payloads are right. For the main thread."""

    def __init__(self, controlled: Controlled, overrides: Overrides) -> None:
        """Change this service, and keep changes of settings there."""
        self._controlled = controlled
        self._overrides = overrides

    def execute(self, request: Request) -> InfoData | SnapshotData | ChangeData | None:
        """Do it, and return what the response is to tell.

        Raises:
            EdgevisionError: it cannot be done; nothing was.
        """
        match request.payload:
            case CameraRequest(camera=camera, enabled=enabled):
                return self._switch(camera, enabled=enabled)
            case OneCameraRequest(camera=camera) if request.verb == "snapshot":
                topic, size_bytes = self._controlled.snapshot(self._known(camera))
                return SnapshotData(topic=topic, bytes=size_bytes)
            case OneCameraRequest(camera=camera):
                return self._switch(camera, enabled=request.verb == "enable")
            case ThresholdRequest(camera=camera, label=label, min_score=score):
                return self._set(self._threshold(camera, label), score)
            case ResetRequest(camera=camera, line=line):
                self._controlled.reset(self._known(camera), self._line(camera, line))
            case _ if request.verb == "reload":
                self._controlled.reload()
            case _:
                return self._info()
        return None

    def _switch(self, camera: str, *, enabled: bool) -> ChangeData | None:
        return self._set(Setting("enabled", self._known(camera)), enabled)

    def _set(self, setting: Setting, value: Value) -> ChangeData | None:
        controlled = self._controlled
        fault = self._overrides.set(
            controlled.file_config, controlled.labels, setting, value, controlled.set_config
        )
        return ChangeData(warning=f"will not survive a restart: {fault}") if fault else None

    def _threshold(self, camera: str | None, label: str | None) -> Setting:
        if camera is not None:
            self._known(camera)
        if label is not None:
            self._check_label(label)
        return Setting("min_score", camera, label)

    def _info(self) -> InfoData:
        info = self._controlled.info()
        config = self._controlled.config
        hidden = {"mqtt": {"password"}}
        return InfoData(
            version=__version__,
            model=info.model,
            backend=info.backend,
            started_at=info.started_at,
            restart_required=bool(info.restart_reasons),
            restart_reasons=info.restart_reasons,
            config=config.model_dump(mode="json", by_alias=True, exclude=hidden),
            config_schema=_config_schema(),
        )

    # Names in requests.

    def _known(self, camera: str) -> str:
        cameras = self._controlled.config.cameras
        if camera not in cameras:
            msg = f"camera: expected one of {', '.join(cameras)}; got {shown(camera)}"
            raise ConfigError(msg)
        return camera

    def _line(self, camera: str, line: str | None) -> str | None:
        lines = self._controlled.config.cameras[camera].lines
        if not lines:
            msg = f"camera: expected one with lines, got {camera}, which has none"
            raise ConfigError(msg)
        if line is not None and line not in lines:
            msg = f"line: expected one of {', '.join(lines)}; got {shown(line)}"
            raise ConfigError(msg)
        return line

    def _check_label(self, label: str) -> None:
        labels = self._controlled.labels
        if label not in labels:
            close = difflib.get_close_matches(label[:64], labels, n=1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            msg = f"label: expected a label of the model, got {shown(label)}{hint}"
            raise ConfigError(msg)


@cache
def _config_schema() -> dict[str, Any]:
    return Config.model_json_schema()


# FOLDED:
# What the service offers to requests.


@dataclass(frozen=True, slots=True)
class ServiceInfo:
    """What is running.

    Attributes:
        model: name of the model.
        backend: inference engine in use.
        started_at: when the service started.
        restart_reasons: what the configuration file asks for that only a restart can change.
    """

    model: str
    backend: str
    started_at: datetime
    restart_reasons: tuple[str, ...] = ()


class Controlled(Protocol):
    """The service, as requests may change it. All but `config` is for the main thread."""

    @property
    def config(self) -> Config:
        """Return the configuration in force; also asked for on the network thread."""

    @property
    def file_config(self) -> Config:
        """Return the same as its file said, without what requests have changed."""

    @property
    def labels(self) -> Collection[str]:
        """Return what the model in use knows."""

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
        """Publish a camera's picture as it is now; return the topic and how many bytes.

        Raises:
            EdgevisionError: there is no picture.
        """

    def reset(self, camera: str, line: str | None) -> None:
        """Let the counters of one line begin again, or those of all lines of a camera."""

    def info(self) -> ServiceInfo:
        """Return what is running."""
