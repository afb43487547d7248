"""`edgevision watch`: subscribe to a board's topics and show what arrives."""

from __future__ import annotations

import json
import os
import queue
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING

from rich.live import Live

from edgevision.cli.console import out, print_json, print_lines
from edgevision.cli.view import View
from edgevision.messaging.client import MqttClient
from edgevision.messaging.topics import Topics

if TYPE_CHECKING:
    from edgevision.config import Config
    from edgevision.messaging.message import Message

CONNECT_S = 10.0
MAX_WAITING = 64


def watch(config: Config, *, as_json: bool, seconds: float | None) -> None:
    """Show messages until Ctrl-C or for a time.

    Raises:
        BrokerError: there is no connection at the start. Later losses are waited out.
    """
    topics = Topics(config.prefix)
    # Full, it holds up the network thread and so the broker: nothing is lost, nothing piles up.
    arrived: queue.Queue[Message] = queue.Queue(MAX_WAITING)
    client = MqttClient(
        config.mqtt,
        client_id=f"edgevision-watch-{os.getpid()}",
        subscribe=[topics.everything],
        on_message=arrived.put,
    )
    client.start()
    view = View(topics)
    fancy = out.is_terminal and not as_json
    live = Live(view.draw(), console=out, auto_refresh=False)
    deadline_s = time.monotonic() + seconds if seconds is not None else float("inf")
    try:
        client.wait_connected(CONNECT_S)
        with live if fancy else nullcontext():
            while time.monotonic() < deadline_s:
                try:
                    message = arrived.get(timeout=0.2)
                except queue.Empty:
                    continue
                if as_json:
                    print_json({"topic": message.topic, "payload": _parsed(message.payload)})
                    continue
                lines = view.take(message.topic, message.payload)
                if fancy:
                    live.update(view.draw(), refresh=arrived.empty())
                else:
                    print_lines(lines)
    except KeyboardInterrupt:
        return
    finally:
        client.stop()


def _parsed(payload: bytes) -> object:
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        return payload.decode(errors="replace")
