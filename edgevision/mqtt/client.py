"""The connection to the broker, re-established for as long as the service runs.

One thread connects, waits until the connection ends, and connects again after a growing, jittered
pause. No half-finished state is carried from one connection to the next; what must survive is
published again by `on_connected`.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from edgevision.errors import BrokerError, BrokerRefusedError, ConfigError
from edgevision.mqtt.connection import VERSIONS, Connection, Ending, Endpoint
from edgevision.mqtt.message import Message
from edgevision.mqtt.tls import read_password, tls_context

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgevision.config.mqtt import MqttConfig

__all__ = ["Message", "MqttClient"]

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.5

# A connection that has lasted this long was a good one.
STEADY_S = 10.0


class MqttClient:
    """Keeps a connection to the broker, and reconnects whenever it ends."""

    def __init__(
        self,
        config: MqttConfig,
        *,
        client_id: str,
        will: Message | None = None,
        on_connected: Callable[[], None] = lambda: None,
        subscribe: Sequence[str] = (),
        retained: bool = True,
        on_message: Callable[[Message], None] = lambda _message: None,
        on_news: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare; `start` connects.

        Args:
            config: broker, credentials, TLS.
            client_id: unique at the broker.
            will: what the broker publishes when a connection breaks.
            on_connected: called on the network thread once a connection is accepted.
            subscribe: topic filters, subscribed to on each connection at QoS 1.
            retained: whether to receive retained messages; see `Connection.subscribe`.
            on_message: called on the network thread with each message that arrives; must not raise.
            on_news: called on the network thread when `connection` has changed or has answers.

        Raises:
            ConfigError: a certificate or the password file cannot be read.
        """
        self._config = config
        self._unread = ""
        self._endpoint = Endpoint(
            host=config.host,
            port=config.port_number,
            client_id=client_id,
            keepalive_s=config.keepalive_s,
            connect_timeout_s=config.connect_timeout_s,
            username=config.username,
            password=read_password(config),
            tls=tls_context(config.tls) if config.tls else None,
            will=will,
        )
        self._versions: list[str] = (
            list(VERSIONS) if config.protocol == "auto" else [config.protocol]
        )
        self._pause_max_s = config.reconnect_max_s
        self._on_connected = on_connected
        self._subscribe = tuple(subscribe)
        self._retained = retained
        self._on_message = on_message
        self._on_news = on_news
        self._attempt: Connection | None = None
        self._open: Connection | None = None
        self._connections = 0
        self._fault = BrokerError(f"{self.address}: not connected yet")
        self._stopping = threading.Event()
        self._settled = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)

    @property
    def address(self) -> str:
        """Return the broker as host:port."""
        return self._endpoint.address

    @property
    def connected(self) -> bool:
        """Return whether the broker has accepted the current connection."""
        return self._open is not None

    @property
    def reconnects(self) -> int:
        """Return how many times the connection was re-established."""
        return max(0, self._connections - 1)

    @property
    def connection(self) -> Connection | None:
        """Return the current connection once the broker has accepted it; each is a new object."""
        return self._open

    def start(self) -> None:
        """Start to connect; returns immediately, even while the broker is down."""
        self._thread.start()

    def wait_connected(self, timeout_s: float) -> None:
        """Wait for the first connection, for commands that need one.

        Raises:
            BrokerRefusedError: the broker refused the connection.
            BrokerError: there was no connection within the timeout.
        """
        self._settled.wait(timeout_s)
        if not self.connected:
            raise self._fault

    def send(self, message: Message) -> bool:
        """Send a message; False if it was not accepted, which the caller counts."""
        connection = self._open
        return connection is not None and connection.send(message)

    def stop(self, *, last: Message | None = None, timeout_s: float = 1.0) -> None:
        """Send a last message, wait up to the timeout for its PUBACK, and disconnect."""
        self._stopping.set()
        attempt = self._attempt
        if attempt is not None:
            attempt.close(last=last, timeout_s=timeout_s)
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        self._attempt = None  # it refers back to this object; freeing it closes its sockets now

    def _run(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._stopping.is_set():
            self._attempt = Connection(
                self._current_endpoint(),
                self._versions[0],
                on_open=self._opened,
                on_message=self._on_message,
                on_answer=self._on_news,
            )
            if self._stopping.is_set():  # `stop` may have seen the attempt before this one
                return
            started_s = time.monotonic()
            try:
                ending = self._attempt.run()
            except Exception as error:  # if this thread ended, the service would never reconnect
                log.exception("MQTT: %s: unexpected fault", self.address)
                text = f"{self.address}: unexpected fault: {type(error).__name__}"
                ending = Ending(BrokerError(text), opened=False)
            steady = ending.opened and time.monotonic() - started_s >= STEADY_S
            self._open = None
            self._on_news()
            if self._stopping.is_set():
                return
            if steady or str(ending.fault) != str(self._fault):
                log.warning("MQTT: %s; trying again", ending.fault)
            self._fault = ending.fault
            if isinstance(ending.fault, BrokerRefusedError):
                self._settled.set()
            if ending.other_version:
                self._versions.append(self._versions.pop(0))
            if steady:  # else a broker that accepts and closes would be tried without a pause
                pause_s = FIRST_PAUSE_S
            # Jitter, so that many boards that lost one broker do not all reconnect together.
            self._stopping.wait(pause_s * random.uniform(0.5, 1.0))  # noqa: S311
            pause_s = min(pause_s * 2, self._pause_max_s)

    def _current_endpoint(self) -> Endpoint:
        """Return the endpoint with its files read again: certificates are renewed while it runs."""
        config = self._config
        try:
            password = read_password(config)
            tls = tls_context(config.tls) if config.tls else None
            self._endpoint = replace(self._endpoint, password=password, tls=tls)
            self._unread = ""
        except ConfigError as error:
            if str(error) != self._unread:
                log.warning("MQTT: %s; using the files as read before", error)
            self._unread = str(error)
        return self._endpoint

    def _opened(self, connection: Connection) -> None:
        self._connections += 1
        self._open = connection
        log.info("MQTT: connected to %s, version %s", self.address, self._versions[0])
        for topic_filter in self._subscribe:
            connection.subscribe(topic_filter, retained=self._retained)
        self._on_news()
        self._on_connected()
        self._settled.set()
