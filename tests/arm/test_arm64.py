"""The bundled recording and the engines' tests on emulated 64-bit cores: `make test-arm`.

The Cortex-A53 is a Raspberry Pi 3's, the A72 a 4's, the A76 a 5's; only the A76 has dot products.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import pytest
from arm.replays import detections, golden_detections, replay_command, write_frames
from arm.userland import ARM64, RECORDING, Userland

CPUS = ("cortex-a53", "cortex-a72", "cortex-a76")
Done: TypeAlias = subprocess.CompletedProcess[str]

# Without what takes long in emulation or starts a Python, which would be this machine's.
STARTS_PYTHON = "test_without_onnxruntime_the_error_says_what_to_install"
UNIT_TESTS = (
    "tests/inference/test_kernels.py",
    "tests/inference/test_preprocess.py",
    "tests/inference/test_onnxruntime.py",
    "tests/detection",
    f"--deselect=tests/inference/test_onnxruntime.py::{STARTS_PYTHON}",
)


class Guest:
    """Runs on emulated cores, as many at once as this machine has cores."""

    def __init__(self, folder: Path) -> None:
        self._userland = Userland(ARM64)
        self._pool = ThreadPoolExecutor(os.cpu_count())
        self._folder = folder
        self._frames = write_frames(folder / "frames")
        self._jobs: dict[tuple[str, str], Future[Done]] = {}
        for name in ("numpy", "onnxruntime", "tests"):
            for cpu in CPUS:
                job = self._pool.submit(self._userland.python, cpu, *self.arguments(name))
                self._jobs[cpu, name] = job

    def arguments(self, name: str) -> list[str]:
        if name == "tests":
            return ["-m", "pytest", "-q", "-p", "no:cacheprovider", *UNIT_TESTS]
        return replay_command(
            self._folder, name, RECORDING if name == "onnxruntime" else self._frames
        )

    def output(self, cpu: str, name: str) -> str:
        done = self._jobs[cpu, name].result()
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr
        return done.stdout

    def here(self, name: str) -> str:
        """What the same command prints on this machine."""
        command = [sys.executable, *self.arguments(name)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    guest = Guest(tmp_path_factory.mktemp("arm"))
    yield guest
    guest.close()


@pytest.mark.parametrize("cpu", CPUS)
def test_onnx_runtime_publishes_the_same_bytes_as_here_for_all_160_frames(
    guest: Guest, cpu: str
) -> None:
    found = guest.output(cpu, "onnxruntime")
    assert found.count("\n") == 160
    assert found == guest.here("onnxruntime")


@pytest.mark.parametrize("cpu", CPUS)
def test_onnx_runtime_finds_the_golden_detections_to_the_last_digit(guest: Guest, cpu: str) -> None:
    assert detections(guest.output(cpu, "onnxruntime")) == golden_detections()


@pytest.mark.parametrize("cpu", CPUS)
def test_numpy_publishes_the_same_bytes_as_here_for_every_eighth_frame(
    guest: Guest, cpu: str
) -> None:
    found = guest.output(cpu, "numpy")
    assert found.count("\n") == 20
    assert found == guest.here("numpy")


@pytest.mark.parametrize("cpu", CPUS)
def test_the_tests_of_resize_engines_and_detection_pass(guest: Guest, cpu: str) -> None:
    assert " passed" in guest.output(cpu, "tests")
