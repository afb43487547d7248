"""Control: requests over MQTT, executed one after another on the main thread."""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgevision.clock import NS_PER_S
from edgevision.errors import EdgevisionError
from edgevision.messaging.control import MAX_REQUEST_BYTES, RequestError, parse_request, verb_of
from edgevision.messaging.controlpayloads import ResponseMessage
from edgevision.messaging.message import Message
from edgevision.messaging.outbox import MAX_MESSAGE_BYTES
from edgevision.messaging.topics import Topics
from edgevision.service.execution import Execution

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgevision.clock import Clock
    from edgevision.messaging.controlpayloads import Transaction
    from edgevision.service.controlled import Controlled
    from edgevision.service.overrides import Overrides

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
