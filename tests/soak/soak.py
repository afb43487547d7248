"""The service for a long time with faults injected: does it grow, does it lose an event?

    python tests/soak/soak.py [--minutes 10] [--seed 1] [--report FILE]

A real daemon reads three cameras and a recording and talks to mosquitto through a proxy. Every few
seconds something fails, chosen at random: a camera hangs, breaks off or sends rubbish, a capture
process is stopped or killed, the network is cut or holds everything, the broker is stopped and
started, the configuration is reloaded, good or bad. Memory and open files are sampled all the
time, and the slope of each over time is fitted. The events of one run of the service are numbered
without gaps, so every number that the broker did not acknowledge is a lost event.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from brokers import Mosquitto, wait_until
from capture.cameras import Behaviour, MjpegCamera
from daemons import RECORDING, RunningDaemon, running, settings
from mqtt_ledger import LedgerProxy

SAMPLE_S = 1.0
# The first part of the time is left out of the slopes: caches fill, every fault happens once.
WARM_UP = 0.25
STALL_S = 3.0
GOOD = Behaviour(width=640, height=480, period_s=0.1)


@dataclass(frozen=True, slots=True)
class Sample:
    """What the daemon had at one moment."""

    at_s: float
    memory_mib: float
    files: int
    threads: int
    worker_memory_mib: float


class Faults:
    """Everything that may fail; each method lets one thing fail, for as long as it takes."""

    def __init__(
        self,
        dice: random.Random,
        cameras: list[MjpegCamera],
        broker: Mosquitto,
        proxy: LedgerProxy,
        daemon: RunningDaemon,
    ) -> None:
        self._dice = dice
        self._cameras = cameras
        self._broker = broker
        self._proxy = proxy
        self._daemon = daemon
        self._process = psutil.Process(daemon.process.pid)

    def camera_hangs(self) -> None:
        self._behave(STALL_S * 2.5, frames=0, hangs=True)

    def camera_breaks_off(self) -> None:
        self._behave(2, frames=0)

    def camera_sends_rubbish(self) -> None:
        self._behave(6, corrupt=range(10_000))

    def camera_wants_a_password(self) -> None:
        self._behave(2, login="somebody:else", frames=0)

    def capture_process_is_killed(self) -> None:
        self._signal(signal.SIGKILL)

    def capture_process_is_stopped(self) -> None:
        self._signal(signal.SIGSTOP)

    def network_is_cut(self) -> None:
        self._proxy.cut()

    def network_holds(self) -> None:
        self._proxy.hold()
        time.sleep(self._dice.uniform(0.5, 8))
        self._proxy.cut()

    def broker_is_restarted(self) -> None:
        self._broker.stop()
        time.sleep(self._dice.uniform(0, 5))
        self._broker.start()

    def configuration_is_reloaded(self) -> None:
        score = self._dice.choice([0.3, 0.4, 0.5])
        self._daemon.reload(configuration(self._proxy, self._cameras, score))

    def bad_configuration_is_reloaded(self) -> None:
        self._daemon.reload(configuration(self._proxy, self._cameras, 7))
        time.sleep(1)
        self._daemon.reload(configuration(self._proxy, self._cameras, 0.4))

    def _behave(self, seconds: float, **changed: Any) -> None:
        camera = self._dice.choice(self._cameras)
        camera.behaviour = replace(GOOD, **changed)
        time.sleep(seconds)
        camera.behaviour = GOOD

    def _signal(self, number: signal.Signals) -> None:
        workers = self._process.children()
        if workers:
            with contextlib.suppress(psutil.NoSuchProcess):
                self._dice.choice(workers).send_signal(number)


FAULTS = [name for name in vars(Faults) if not name.startswith("_")]


def configuration(proxy: LedgerProxy, cameras: list[MjpegCamera], score: float) -> dict[str, Any]:
    sources: dict[str, Any] = {
        f"camera-{number}": {"source": camera.url, "stall_after_s": STALL_S}
        for number, camera in enumerate(cameras)
    }
    sources["clip"] = {"source": RECORDING, "loop": True}
    return settings(proxy.port, sources, detection={"min_score": score})


@dataclass
class Soak:
    """What was done, and what was seen."""

    done: Counter[str] = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list)

    def run(
        self, daemon: RunningDaemon, faults: Faults, dice: random.Random, seconds: float
    ) -> None:
        """Sample, and let something fail every 2 to 6 s, until the time is over."""
        process = psutil.Process(daemon.process.pid)
        began_s = time.monotonic()
        fault_s = began_s + 5
        while (now_s := time.monotonic()) < began_s + seconds:
            self.samples.append(sample(process, now_s - began_s))
            if now_s >= fault_s:
                name = dice.choice(FAULTS)
                self.done[name] += 1
                getattr(faults, name)()
                fault_s = time.monotonic() + dice.uniform(2, 6)
            if daemon.process.poll() is not None:
                msg = f"the daemon ended: {daemon.log[-2000:]}"
                raise SystemExit(msg)
            time.sleep(SAMPLE_S)


def sample(process: psutil.Process, at_s: float) -> Sample:
    workers = 0
    for child in process.children():
        with contextlib.suppress(psutil.NoSuchProcess):
            workers += child.memory_info().rss
    return Sample(
        at_s,
        process.memory_info().rss / 2**20,
        process.num_fds(),
        process.num_threads(),
        workers / 2**20,
    )


def slope_an_hour(samples: list[Sample], key: str) -> tuple[float, float]:
    """Return the least-squares slope over time and its standard error, an hour."""
    at_h = np.array([each.at_s for each in samples]) / 3600
    values = np.array([getattr(each, key) for each in samples])
    (slope, _), covariance = np.polyfit(at_h, values, 1, cov=True)
    return float(slope), float(np.sqrt(covariance[0, 0]))


def numbered(proxy: LedgerProxy) -> list[int]:
    """Return the numbers of the events that the broker acknowledged, as they came."""
    events = [json.loads(each.payload) for each in proxy.taken if each.topic.endswith("/events")]
    return [int(event["id"].rpartition("-")[2], 16) for event in events]


def report(soak: Soak, proxy: LedgerProxy, minutes: float, seed: int) -> tuple[str, bool]:
    """Return the result as a table, and whether nothing was lost."""
    kept = [each for each in soak.samples if each.at_s >= WARM_UP * minutes * 60]
    numbers = numbered(proxy)
    lost = set(range(1, max(numbers) + 1)) - set(numbers)
    faults, seconds = soak.done.total(), kept[-1].at_s - kept[0].at_s
    lines = [
        f"{minutes:g} minutes, seed {seed}, {faults} faults; slopes over the last {seconds:.0f} s",
        "",
        "| what | at the start | at the end | most | slope an hour |",
        "|---|---|---|---|---|",
    ]
    for key, words in (
        ("memory_mib", "daemon, resident memory, MiB"),
        ("files", "daemon, open files"),
        ("threads", "daemon, threads"),
        ("worker_memory_mib", "capture processes together, resident memory, MiB"),
    ):
        values = np.array([getattr(each, key) for each in kept])
        tenth = max(1, len(values) // 10)
        slope, error = slope_an_hour(kept, key)
        lines.append(
            f"| {words} | {np.median(values[:tenth]):.1f} | {np.median(values[-tenth:]):.1f} "
            f"| {values.max():.1f} | {slope:+.1f} ± {2 * error:.1f} |"
        )
    lines += ["", "| fault | times |", "|---|---|"]
    lines += [
        f"| {name.replace('_', ' ')} | {count} |" for name, count in sorted(soak.done.items())
    ]
    arrived = len(set(numbers))
    lines.append(
        f"\nEvents recorded: {max(numbers)}, acknowledged by the broker: {arrived}, "
        f"sent again: {len(numbers) - arrived}, lost: {len(lost)}."
    )
    return "\n".join(lines) + "\n", not lost


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", type=Path)
    options = parser.parse_args()
    dice = random.Random(options.seed)  # noqa: S311 - repeatable
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgevision-soak-")))
        cameras = [stack.enter_context(MjpegCamera(GOOD)) for _ in range(3)]
        broker = Mosquitto(folder)
        broker.start()
        stack.callback(broker.stop)
        proxy = stack.enter_context(LedgerProxy(broker.port))
        soak = Soak()
        with running(folder, configuration(proxy, cameras, 0.4)) as daemon:
            faults = Faults(dice, cameras, broker, proxy, daemon)
            soak.run(daemon, faults, dice, options.minutes * 60)
            # What still waits goes out before the end.
            wait_until(lambda: settled(proxy), 120)
            status = daemon.terminate(10)
        text, kept_all = report(soak, proxy, options.minutes, options.seed)
    if options.report:
        options.report.write_text(text, encoding="utf-8")
    sys.stdout.write(text)
    sys.exit(0 if kept_all and status == 0 else 1)


def settled(proxy: LedgerProxy) -> bool:
    """Return whether nothing is missing among what has arrived."""
    numbers = set(numbered(proxy))
    return bool(numbers) and len(numbers) == max(numbers)


if __name__ == "__main__":
    main()
