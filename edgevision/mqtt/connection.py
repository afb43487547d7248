"""One MQTT connection, from CONNECT to its end.

This module and `bounded_client` are the only ones that use paho.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edgevision.errors import BrokerError, BrokerRefusedError
from edgevision.mqtt.bounded_client import MAX_PACKET_BYTES, BoundedClient
from edgevision.mqtt.message import Message
from edgevision.mqtt.tls import tls_failure

if TYPE_CHECKING:
    from collections.abc import Callable

# Telemetry that paho has queued but not yet written to the socket. A broker that stalls
# would otherwise fill the memory with outdated detections.
MAX_UNWRITTEN = 16

# Messages sent at QoS 1 outside the outbox that the broker has not acknowledged.
MAX_UNACKNOWLEDGED = 16

# Outbox messages in flight; a broken connection repeats at most this many.
WINDOW = 20
VERSIONS = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}

_AUTHORIZATION = frozenset(
    ReasonCode(PacketTypes.CONNACK, name).value
    for name in ("Bad user name or password", "Not authorized", "Banned")
)

HUNG_UP = (
    "; it closed the connection before answering: does it expect mqtt.tls or a client certificate?"
)
TAKEN_OVER = (
    "another client with the same id took over; give each board its own device or mqtt.client_id"
)

_TAKEN_OVER = ReasonCode(PacketTypes.DISCONNECT, "Session taken over").value
_UNSUPPORTED_VERSION = ReasonCode(PacketTypes.CONNACK, "Unsupported protocol version").value


class Connection:
    """A paho client for a single connection, which is open once the CONNACK reports success."""

    def __init__(
        self,
        endpoint: Endpoint,
        version: str,
        *,
        on_open: Callable[[Connection], None],
        on_message: Callable[[Message], None],
        on_answer: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare; `run` connects. The callbacks run on the network thread."""
        self._endpoint = endpoint
        self._version = version
        self._on_open = on_open
        self._lock = threading.Lock()
        self._answered = threading.Event()
        self._ended = threading.Event()
        self._opened = False
        self._refusal: ReasonCode | None = None
        self._why = "connection ended"
        self._given_up = ""
        self._unwritten: deque[paho.MQTTMessageInfo] = deque()
        self._unacknowledged: list[paho.MQTTMessageInfo] = []
        self._receive_maximum = 65535
        self._max_packet_bytes: int | None = None
        # Written by the outbox's thread; the network thread only appends answers, and takes no lock
        # of ours for it: paho holds one of its own there, which publishing waits for.
        self._expected = 0
        self._rows: dict[int, int] = {}
        self._answers: deque[tuple[int, ReasonCode]] = deque()
        self._on_answer = on_answer
        self._client = client = BoundedClient(
            CallbackAPIVersion.VERSION2,
            client_id=endpoint.client_id,
            protocol=VERSIONS[version],
            reconnect_on_failure=False,
        )
        client.max_inflight_messages_set(0)  # no queue inside paho: the window is here
        client.connect_timeout = endpoint.connect_timeout_s
        client.on_end = self._set_ended
        self._properties = None
        if version == "5":
            self._properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            self._properties.MaximumPacketSize = MAX_PACKET_BYTES
        if endpoint.username is not None:
            client.username_pw_set(endpoint.username, endpoint.password)
        if endpoint.tls is not None:
            client.tls_set_context(endpoint.tls)
        if endpoint.will is not None:
            will = endpoint.will
            client.will_set(will.topic, will.payload, will.qos, will.retain)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_message = lambda _client, _data, arrived: on_message(
            Message(arrived.topic, bytes(arrived.payload), arrived.qos, bool(arrived.retain))
        )

    def run(self) -> Ending:
        """Connect, stay connected until either side ends it, and return how it ended."""
        try:
            return self._run()
        finally:
            # They refer back to this object; without them it is freed immediately, with its socket.
            client = self._client
            client.on_connect = client.on_disconnect = client.on_message = None
            client.on_publish = client.on_end = client.fault = None

    def _run(self) -> Ending:
        endpoint = self._endpoint
        address = endpoint.address
        deadline_s = time.monotonic() + endpoint.connect_timeout_s
        failed = self._connect(deadline_s)
        if failed is not None:
            return failed
        self._client.loop_start()
        try:
            if not self._answered.wait(max(0.0, deadline_s - time.monotonic())):
                expected = f"expected an answer within {endpoint.connect_timeout_s:g} s, got none"
                return Ending(BrokerError(f"{address}: {expected}"), opened=False)
            self._ended.wait()
        finally:
            self._client.disconnect()
            self._client.loop_stop()
        if self._refusal is not None:
            return self._refused(self._refusal)
        if not self._opened and isinstance(self._client.fault, ssl.SSLError):
            return self._tls_failed(self._client.fault)
        # A broker that only speaks the other version may also just close the connection.
        hint = "" if self._opened else HUNG_UP
        fault = BrokerError(f"{address}: {self._why}{hint}")
        return Ending(fault, opened=self._opened, other_version=not self._opened)

    def _connect(self, deadline_s: float) -> Ending | None:
        endpoint = self._endpoint
        self._client.deadline_s = deadline_s
        try:
            self._client.connect(
                endpoint.host, endpoint.port, endpoint.keepalive_s, properties=self._properties
            )
        except (OSError, ValueError) as error:
            if self._client.shaking_hands:
                return self._tls_failed(error)
            why = getattr(error, "strerror", None) or error
            fault = BrokerError(f"{endpoint.address}: cannot be reached ({why})")
            return Ending(fault, opened=False)
        return None

    @property
    def window(self) -> int:
        """Return how many outbox messages may be in flight.

        At most the broker's Receive Maximum (MQTT 5, 3.3.4) less one, for what is sent besides.
        """
        return max(1, min(WINDOW, self._receive_maximum - 1))

    def subscribe(self, topic_filter: str, *, retained: bool = True) -> None:
        """Subscribe at QoS 1 at most; without `retained`, only to what is published from now on.

        MQTT 3.1.1 has no option for that: retained messages arrive, with their flag. MQTT 5 has
        one, and one that keeps the flag on later messages (3.8.3.1, Retain Handling, Retain As
        Published).
        """
        if retained or self._version != "5":
            self._client.subscribe(topic_filter, qos=1)
        else:
            new = SubscribeOptions(qos=1, retainAsPublished=True, retainHandling=2)
            self._client.subscribe(topic_filter, options=new)

    def send(self, message: Message) -> bool:
        """Send a message that does not go through the outbox.

        Returns:
            False when it was not accepted: the connection is closed, the packet is larger than the
            broker accepts, it is telemetry (QoS 0) and too much of that is still unwritten, or it
            has QoS 1 and the broker must first acknowledge others.
        """
        with self._lock:
            while self._unwritten and self._unwritten[0].is_published():
                self._unwritten.popleft()
            if message.qos == 0 and len(self._unwritten) >= MAX_UNWRITTEN:
                return False
            self._unacknowledged = [i for i in self._unacknowledged if not i.is_published()]
            in_flight = len(self._unacknowledged) + self._expected
            if message.qos and (
                len(self._unacknowledged) >= MAX_UNACKNOWLEDGED
                or in_flight >= self._receive_maximum
            ):
                return False
            if not self.takes(message):
                return False
            info = self._client.publish(message.topic, message.payload, message.qos, message.retain)
            if info.rc != paho.MQTT_ERR_SUCCESS:
                return False
            (self._unacknowledged if message.qos else self._unwritten).append(info)
            return True

    def takes(self, message: Message) -> bool:
        """Return whether the broker accepts a packet of this size (MQTT 5, 3.2.2.3.6)."""
        return self._max_packet_bytes is None or message.packet_bytes <= self._max_packet_bytes

    # Only for the outbox's thread.

    def publish(self, row: int, message: Message) -> bool:
        """Send a message of the outbox; `answers` returns its PUBACK later.

        Returns:
            False when the connection is closed.
        """
        self._expected += 1
        info = self._client.publish(message.topic, message.payload, 1, message.retain)
        if info.rc != paho.MQTT_ERR_SUCCESS:
            self._expected -= 1
            return False
        self._rows[info.mid] = row
        return True

    def answers(self) -> list[Answer]:
        """Return the answers to `publish` that arrived since the last call."""
        found = []
        while self._answers:
            mid, code = self._answers.popleft()
            row = self._rows.pop(mid, None)
            if row is not None:
                self._expected -= 1
                found.append(Answer(row, code.value, str(code)))
        return found

    def abandon(self, why: str) -> None:
        """End the connection, as if the broker had."""
        self._given_up = why
        sock = cast("socket.socket | None", self._client.socket())
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self, *, last: Message | None, timeout_s: float) -> None:
        """Send a last message, wait up to the timeout for its PUBACK, and disconnect."""
        if last is not None and self._opened:
            info = self._client.publish(last.topic, last.payload, last.qos, last.retain)
            with contextlib.suppress(RuntimeError, ValueError):
                info.wait_for_publish(timeout_s)
        self._why = "closed"
        self._client.disconnect()
        self._answered.set()
        self._ended.set()

    def _on_connect(
        self,
        _client: object,
        _data: object,
        _flags: object,
        code: ReasonCode,
        props: Properties | None,
    ) -> None:
        if code.is_failure:
            self._refusal = code
            self._ended.set()
        else:
            self._receive_maximum = getattr(props, "ReceiveMaximum", self._receive_maximum)
            self._max_packet_bytes = getattr(props, "MaximumPacketSize", None)
            self._opened = True
            self._on_open(self)
        self._answered.set()

    def _on_publish(
        self, _client: object, _data: object, mid: int, code: ReasonCode, _props: object
    ) -> None:
        # Called for every message of QoS 0 as well.
        if self._expected:
            self._answers.append((mid, code))
            self._on_answer()

    def _on_disconnect(
        self, _client: object, _data: object, _flags: object, code: ReasonCode, _props: object
    ) -> None:
        fault = self._client.fault
        why = code if fault is None else fault.strerror or fault
        taken = code.value == _TAKEN_OVER
        ended = f"connection ended ({why})"
        self._why = TAKEN_OVER if taken else self._given_up or ended
        self._set_ended()

    def _set_ended(self) -> None:
        self._ended.set()
        self._answered.set()

    def _tls_failed(self, error: Exception) -> Ending:
        why = tls_failure(error, timeout_s=self._endpoint.connect_timeout_s)
        fault = BrokerError(f"{self._endpoint.address}: TLS failed: {why}")
        return Ending(fault, opened=False)

    def _refused(self, code: ReasonCode) -> Ending:
        address = self._endpoint.address
        if code.value == _UNSUPPORTED_VERSION:
            fault = BrokerError(f"{address}: refused this version of MQTT")
            return Ending(fault, opened=False, other_version=True)
        if code.value in _AUTHORIZATION:
            hint = "check mqtt.username and the password"
            return Ending(BrokerRefusedError(f"{address}: refused: {code}; {hint}"), opened=False)
        return Ending(BrokerError(f"{address}: refused: {code}"), opened=False)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A broker and who we are to it."""

    host: str
    port: int
    client_id: str
    keepalive_s: int = 30
    connect_timeout_s: float = 10.0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = None
    will: Message | None = None

    @property
    def address(self) -> str:
        """Return host:port."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Ending:
    """How a connection ended.

    Attributes:
        fault: why, in one line.
        opened: whether the broker had accepted it.
        other_version: whether the broker may only speak the other version of MQTT.
    """

    fault: BrokerError
    opened: bool
    other_version: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """A broker's PUBACK.

    Attributes:
        row: which message of the outbox.
        code: MQTT 5 reason code (3.4.2.1), 0x80 and above is a refusal; 3.1.1 has none: 0.
        text: the code's name.
    """

    row: int
    code: int
    text: str

    @property
    def refused(self) -> bool:
        """Return whether the broker refused the message."""
        return self.code >= 0x80
