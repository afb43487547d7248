"""Nothing that was recorded is lost, while everything on its way is killed at random.

A real daemon records numbered events and writes a number into a ledger once the outbox has it on
the disk. Between daemon and mosquitto stands a proxy. In each cycle, after a random time, one or
two of these happen: the daemon gets SIGKILL, mosquitto gets SIGKILL, the network is reset, the
network holds everything for a while and is reset then. In the end every number in the ledger
must have arrived.

What has arrived? A message for which the broker sent a PUBACK, as the proxy records: until then it
is ours to keep, from then on the broker's. A mosquitto that gets SIGKILL may lose what it had
acknowledged, and that is not what this test is about. So there are two witnesses: the proxy, by
which nothing at all may be missing, and a subscriber at mosquitto itself, which may miss only
what was acknowledged within a second before mosquitto was killed. It subscribes at QoS 0, which
mosquitto passes on before it sends the PUBACK, and is back after each kill before the proxy lets
the daemon through.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
import yaml
from brokers import Mosquitto, wait_until
from daemons import running, settings
from fake_model import FakeModel
from mqtt_ledger import LedgerProxy
from paho.mqtt.enums import CallbackAPIVersion

SCRIPT = Path(__file__).parents[1] / "recording_daemon.py"
TOPIC = "edgevision/porch/yard/events"

Key = tuple[int, int, int]
"""Object, run of the daemon, number within the run."""


class Subscriber:
    """Keeps what arrives, over any number of connections."""

    def __init__(self, port: int) -> None:
        self.arrived: list[dict[str, Any]] = []
        self._port = port
        self._client: paho.Client | None = None

    def connect(self) -> None:
        """Make a new connection and wait until the subscription stands."""
        self.close()
        subscribed = threading.Event()
        self._client = client = paho.Client(CallbackAPIVersion.VERSION2, reconnect_on_failure=False)
        client.on_connect = lambda client, *_: client.subscribe(TOPIC, qos=0)
        client.on_subscribe = lambda *_: subscribed.set()
        client.on_message = lambda _c, _d, message: self.arrived.append(json.loads(message.payload))
        client.connect("127.0.0.1", self._port)
        client.loop_start()
        assert subscribed.wait(20)

    def close(self) -> None:
        if self._client is not None:
            self._client.disconnect()
            self._client.loop_stop()
            self._client = None


@dataclass
class Arena:
    """Daemon, proxy, broker and subscriber, each of which can be killed and started again."""

    folder: Path
    config: dict[str, Any]
    mosquitto: Mosquitto
    proxy: LedgerProxy
    subscriber: Subscriber
    runs: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    broker_killed_s: list[float] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None
    _taken: dict[Key, float] = field(default_factory=dict)
    _read: int = 0

    def start_daemon(self) -> None:
        self.runs += 1
        path = self.folder / "chaos.yaml"
        path.write_text(yaml.safe_dump(self.config), encoding="utf-8")
        arguments = [str(SCRIPT), str(path), str(self.folder / "ledger"), str(self.runs)]
        with (self.folder / "chaos.log").open("ab") as log:
            self.process = subprocess.Popen([sys.executable, *arguments], stdout=log, stderr=log)

    def harm(self, kind: str) -> None:
        self.kills[kind] += 1
        if kind == "daemon":
            assert self.process is not None
            assert self.process.poll() is None, (self.folder / "chaos.log").read_text()[-2000:]
            self.process.kill()
            self.process.wait(10)
        elif kind == "broker":
            self.proxy.open = False
            self.broker_killed_s.append(time.monotonic())
            self.mosquitto.kill()
        elif kind == "network":
            self.proxy.cut()
        else:
            self.proxy.hold()

    def repair(self, kind: str) -> None:
        if kind == "daemon":
            self.start_daemon()
        elif kind == "broker":
            self.mosquitto.start()
            self.subscriber.connect()
            self.proxy.open = True
        elif kind == "stall":
            self.proxy.cut()

    def ledger(self) -> list[Key]:
        lines = (self.folder / "ledger").read_text(encoding="ascii").splitlines()
        keys = [tuple(map(int, line.split())) for line in lines]
        return [(key[0], key[1], key[2]) for key in keys if len(key) == 3]

    def taken(self) -> dict[Key, float]:
        """Return what the broker acknowledged, each with when it did so first."""
        fresh = self.proxy.taken[self._read :]
        self._read += len(fresh)
        for each in fresh:
            body = json.loads(each.payload) if each.payload[:1] == b"{" else {}
            if "key" in body:
                self._taken.setdefault(tuple(body["key"]), each.at_s)
        return self._taken


def _first_arrivals(keys: list[Key]) -> dict[int, list[Key]]:
    found: dict[int, list[Key]] = defaultdict(list)
    for key in dict.fromkeys(keys):
        found[key[0]].append(key)
    return found


def test_every_event_that_was_recorded_arrives_whatever_is_killed(
    mosquitto: Mosquitto, fake_model: FakeModel, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    cycles = int(pytestconfig.getoption("--delivery-cycles"))
    seed = int(pytestconfig.getoption("--delivery-seed"))
    dice = random.Random(seed)  # noqa: S311 - repeatable
    subscriber = Subscriber(mosquitto.port)
    subscriber.connect()
    with LedgerProxy(mosquitto.port) as proxy:
        cameras = {"yard": {"source": "0", "enabled": False}}
        config = settings(
            proxy.port,
            cameras,
            model=str(fake_model.folder),
            state_folder=str(tmp_path / "state"),
            outbox={"max_rows": 1_000_000, "max_bytes": 1 << 30},
        )
        arena = Arena(tmp_path, config, mosquitto, proxy, subscriber)
        began_s = time.monotonic()
        arena.start_daemon()
        try:
            wait_until((tmp_path / "ledger").exists, 60)
            for _ in range(cycles):
                time.sleep(dice.uniform(0.0, 2.0))
                kinds = dice.sample(
                    ["daemon", "broker", "network", "stall"], dice.choice([1, 1, 2])
                )
                for kind in kinds:
                    arena.harm(kind)
                    time.sleep(dice.uniform(0.0, 0.2))
                for kind in dice.sample(kinds, len(kinds)):
                    arena.repair(kind)
            assert arena.process is not None
            arena.process.terminate()
            arena.process.wait(20)
            with running(tmp_path, config):  # delivers what is left
                ledger = arena.ledger()
                _wait_for(lambda: not set(ledger) - arena.taken().keys(), 90)
                acknowledged_s = arena.taken()
                _wait_for(lambda: _missing(arena, ledger) <= _excused(arena, acknowledged_s), 10)
        finally:
            assert arena.process is not None
            arena.process.kill()
            arena.process.wait(10)
            subscriber.close()

    seconds = time.monotonic() - began_s
    arrived = [tuple(body["key"]) for body in subscriber.arrived if "key" in body]
    missing = _missing(arena, ledger)
    print(  # noqa: T201 - the counts are the result
        f"\nseed {seed}: {cycles} cycles in {seconds:.0f} s, {dict(arena.kills)}; "
        f"{len(ledger)} events recorded, {len(ledger) - len(set(ledger) - acknowledged_s.keys())} "
        f"acknowledged by the broker, {len(set(ledger) - missing)} seen by the subscriber, "
        f"{len(arrived) - len(set(arrived))} repeats, "
        f"{sum(1 for b in subscriber.arrived if b.get('delayed'))} delayed"
    )
    assert len(ledger) > 20 * cycles
    assert not set(ledger) - acknowledged_s.keys()
    assert missing <= _excused(arena, acknowledged_s)
    for key, body in zip(arrived, subscriber.arrived, strict=True):
        assert body["id"] == "{}-{}-{}".format(*key)
    for order in (arrived, list(acknowledged_s)):
        for keys in _first_arrivals(order).values():
            assert keys == sorted(keys)


def _wait_for(condition: Callable[[], bool], seconds: float) -> None:
    """Wait, but leave it to what follows to say what is missing."""
    deadline_s = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline_s:
        time.sleep(0.25)


def _missing(arena: Arena, ledger: list[Key]) -> set[Key]:
    """Return what the subscriber has not seen."""
    arrived = list(arena.subscriber.arrived)
    return set(ledger) - {tuple(body["key"]) for body in arrived if "key" in body}


def _excused(arena: Arena, acknowledged_s: dict[Key, float]) -> set[Key]:
    """Return what mosquitto acknowledged within a second before it was killed."""
    return {
        key
        for key, at_s in acknowledged_s.items()
        if any(0 <= killed_s - at_s < 1 for killed_s in arena.broker_killed_s)
    }
