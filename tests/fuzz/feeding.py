"""Feeding a target in a process of its own: what it does with each input, and what it costs."""

from __future__ import annotations

import contextlib
import json
import os
import select
import struct
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

# How many inputs each target gets, times its own weight; `make fuzz` sets it.
INPUTS = int(os.environ.get("FUZZ_INPUTS", "100"))
# An input that takes longer than this hangs. No input should take a second.
HANG_S = 30.0
# Memory is compared with what it was after this part of the inputs.
WARM_UP = 0.2


@dataclass
class Tally:
    """What became of a target's inputs."""

    target: str
    inputs: int = 0
    taken: int = 0
    refused: int = 0
    crashes: int = 0
    hangs: int = 0
    slowest_s: float = 0.0
    growth_mb: float = 0.0
    peak_mb: float = 0.0
    faults: list[str] = field(default_factory=list)


TALLIES: list[Tally] = []


class Feeder:
    """One target and its process, which is started again after each crash or hang."""

    def __init__(self, target: str, samples: Path, keep: Path) -> None:
        """Prepare; `samples` is a folder of files that the target needs, `keep` takes faults."""
        self._target = target
        self._samples = samples
        self._keep = keep
        self._process: subprocess.Popen[bytes] | None = None

    def feed(self, inputs: Iterable[bytes], count: int) -> Tally:
        """Feed `count` of the inputs and return what became of them."""
        tally = Tally(self._target)
        TALLIES.append(tally)
        warm_pages: int | None = None
        try:
            for content in inputs:
                if tally.inputs == count or len(tally.faults) >= 5:
                    break
                tally.inputs += 1
                answer = self._one(content, tally)
                if answer is None:
                    warm_pages = None
                    continue
                pages = answer["resident_pages"]
                if warm_pages is None and tally.inputs >= WARM_UP * count:
                    warm_pages = pages
                if warm_pages is not None:
                    tally.growth_mb = (pages - warm_pages) * os.sysconf("SC_PAGE_SIZE") / 1e6
                tally.peak_mb = max(tally.peak_mb, answer["peak_kb"] / 1e3)
        finally:
            self._stop()
        return tally

    def _one(self, content: bytes, tally: Tally) -> dict[str, Any] | None:
        began_s = time.monotonic()
        try:
            answer = self._exchange(content)
        except TimeoutError:
            tally.hangs += 1
            self._note(content, tally, f"no answer within {HANG_S:g} s")
            self._stop()
            return None
        except EOFError:
            tally.crashes += 1
            status = self._stop()
            self._note(content, tally, f"the process ended with status {status}")
            return None
        tally.slowest_s = max(tally.slowest_s, time.monotonic() - began_s)
        if "fault" in answer:
            tally.crashes += 1
            self._note(content, tally, answer["fault"])
        elif answer["said"] == "taken":
            tally.taken += 1
        else:
            tally.refused += 1
        return answer

    def _exchange(self, content: bytes) -> dict[str, Any]:
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        deadline_s = time.monotonic() + HANG_S
        try:
            process.stdin.write(struct.pack(">I", len(content)) + content)
            process.stdin.flush()
        except BrokenPipeError:
            raise EOFError from None
        length = struct.unpack(">I", _read(process.stdout.fileno(), 4, deadline_s))[0]
        answer: dict[str, Any] = json.loads(_read(process.stdout.fileno(), length, deadline_s))
        return answer

    def _start(self) -> subprocess.Popen[bytes]:
        worker = Path(__file__).with_name("worker.py")
        self._process = subprocess.Popen(
            [sys.executable, str(worker), self._target, str(self._samples)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={k: v for k, v in os.environ.items() if not k.startswith("EDGEVISION_")}
            | {"FUZZ_QUIET": "1", "TZ": "America/Los_Angeles", "OPENBLAS_NUM_THREADS": "1"},
        )
        return self._process

    def _stop(self) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()  # at which it ends by itself
        try:
            status = process.wait(5.0)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait(10)
        process.stdout.close()
        return status

    def _note(self, content: bytes, tally: Tally, words: str) -> None:
        path = self._keep / f"{self._target}-{len(tally.faults)}"
        path.write_bytes(content)
        tally.faults.append(f"{path}: {words}")


def _read(descriptor: int, length: int, deadline_s: float) -> bytes:
    found = b""
    while len(found) < length:
        ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline_s - time.monotonic()))
        if not ready:
            raise TimeoutError
        chunk = os.read(descriptor, length - len(found))
        if not chunk:
            raise EOFError
        found += chunk
    return found
