"""A paho client that trusts nothing that a broker sends.

Paho accepts packets of up to 256 MB, keeps QoS 2 messages until they are released, queues answers
without bound for a broker that sends and never reads, and its thread dies silently on a packet that
it cannot decode. Each of these ends the connection here, and the reason is kept.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import paho.mqtt.client as paho
from paho.mqtt.enums import MessageType, MQTTErrorCode

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable

MAX_PACKET_BYTES = 1 << 20
MAX_ANSWERS_WAITING = 1024

_ACCEPTED = frozenset(
    {
        MessageType.CONNACK,
        MessageType.PUBLISH,
        MessageType.PUBACK,
        MessageType.SUBACK,
        MessageType.PINGRESP,
        MessageType.DISCONNECT,
    }
)

# The record type of a TLS alert, in place of the first byte of an MQTT packet.
_TLS_ALERT = 0x15


class BoundedClient(paho.Client):
    """A client for one connection.

    Attributes:
        deadline_s: monotonic time by which the TLS handshake must be over.
        shaking_hands: whether a TLS handshake is in progress or has failed.
        fault: what the broker did wrong, if that ended the connection.
        on_end: called on paho's thread when it ends, for whatever reason.
    """

    deadline_s: float = 0.0
    shaking_hands = False
    fault: OSError | None = None
    on_end: Callable[[], None] | None = None
    _greeted = False

    def loop_forever(self, *args: Any, **options: Any) -> MQTTErrorCode:  # noqa: ANN401 - as paho has it
        """Serve the connection until it ends; an unexpected exception in paho ends it too."""
        try:
            return super().loop_forever(*args, **options)
        except Exception as error:  # noqa: BLE001 - the thread would die silently
            self.fault = ConnectionError(f"unexpected fault: {type(error).__name__}: {error}")
            return MQTTErrorCode.MQTT_ERR_UNKNOWN
        finally:
            if self.on_end is not None:
                self.on_end()

    def _ssl_wrap_socket(self, tcp_sock: socket.socket) -> ssl.SSLSocket:
        # Paho would grant the handshake the whole timeout once more, and leave the socket open when
        # it fails.
        assert self._ssl_context is not None  # noqa: S101 - paho asks for a socket with TLS
        self.shaking_hands = True
        with tcp_sock:  # detached, and so not closed, once it is wrapped
            secured = self._ssl_context.wrap_socket(
                tcp_sock, server_hostname=self._host, do_handshake_on_connect=False
            )
        try:
            secured.settimeout(max(0.001, self.deadline_s - time.monotonic()))
            secured.do_handshake()
        except BaseException:
            secured.close()
            raise
        self.shaking_hands = False
        return secured

    def _sock_recv(self, bufsize: int) -> bytes:
        try:
            self._check(int(self._in_packet["command"]))
            if bufsize > MAX_PACKET_BYTES:
                raise ConnectionError(_expected("a packet", f"one of {bufsize} bytes"))
            return super()._sock_recv(bufsize)
        except BlockingIOError:
            raise
        except OSError as error:
            self.fault = error
            raise

    def _packet_handle(self) -> MQTTErrorCode:
        self._greeted = True
        try:
            return super()._packet_handle()
        except Exception as error:  # noqa: BLE001 - decoders and callbacks raise anything
            why = f"what the broker sent cannot be read: {type(error).__name__}: {error}"
            self.fault = ConnectionError(why)
            return MQTTErrorCode.MQTT_ERR_PROTOCOL

    def _check(self, command: int) -> None:
        """Refuse a packet once its first byte has arrived; 0: it has not yet."""
        if command == 0:
            return
        kind = command & 0xF0
        if command == _TLS_ALERT and not self._greeted:
            msg = "the broker answers with TLS: set mqtt.tls"
            raise ConnectionError(msg)
        if kind not in _ACCEPTED or (kind != MessageType.CONNACK and not self._greeted):
            raise ConnectionError(_expected("an answer", f"a packet of type {kind >> 4}"))
        if kind == MessageType.CONNACK and self._greeted:
            raise ConnectionError(_expected("one CONNACK", "another"))
        if kind == MessageType.PUBLISH and command & 0b0100:
            raise ConnectionError(_expected("messages at QoS 0 or 1", "one at QoS 2"))
        if len(self._out_packet) > MAX_ANSWERS_WAITING:
            raise ConnectionError(_expected("a broker that reads", "one that only sends"))


def _expected(wanted: str, got: str) -> str:
    return f"expected {wanted} from the broker, got {got}"
