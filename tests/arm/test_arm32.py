"""32-bit ARM as docs/32-bit.md describes it, on an emulated Cortex-A7: `make test-arm32`.

Python, NumPy, OpenCV, psutil and PyYAML are Debian 12's, the rest is from constraints.txt.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from arm.replays import replay_command, write_frames
from arm.userland import ARM32, RECORDING, Userland

CPU = "cortex-a7"
VERSIONS = (
    "import cv2, numpy, platform; print(platform.machine(), numpy.__version__, cv2.__version__)"
)
# The recording as the service reads it, and the network's input made from it.
DECODE = f"""
import hashlib
from edgevision.config.camera import CameraConfig
from edgevision.capture.source import open_source
from edgevision.model_card import InputSpec
from edgevision.inference.preprocess import Preprocessor
source = open_source(CameraConfig(source={str(RECORDING)!r}))
resize = Preprocessor(InputSpec(name="image", width=300, height=300, scaling="none")).prepare
while source.grab():
    image = source.retrieve()
    print(*(hashlib.sha256(part.tobytes()).hexdigest() for part in (image, resize(image).image)))
"""


@pytest.fixture(scope="module")
def userland() -> Userland:
    return Userland(ARM32)


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_frames(tmp_path_factory.mktemp("arm32") / "frames")


def there(userland: Userland, *arguments: str) -> str:
    done = userland.python(CPU, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def here(*arguments: str) -> str:
    command = [sys.executable, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_it_is_a_32_bit_python_with_debians_numpy_and_opencv(userland: Userland) -> None:
    assert there(userland, "-c", VERSIONS).split() == ["armv7l", "1.24.2", "4.6.0"]


def test_the_model_is_read_and_checked(userland: Userland) -> None:
    assert "ssd_mobilenet_v2_oid" in there(userland, "-m", "edgevision", "model", "info")


def test_the_recording_is_decoded_and_resized_to_the_same_bytes_as_here(
    userland: Userland,
) -> None:
    found = there(userland, "-c", DECODE)
    assert found.count("\n") == 160
    assert found == here("-c", DECODE)


def test_numpy_publishes_the_same_bytes_as_here_for_every_eighth_frame(
    userland: Userland, frames: Path
) -> None:
    command = replay_command(frames.parent, "auto", frames)
    found = there(userland, *command)
    assert found.count('"backend":"numpy"') == 20
    assert found == here(*replay_command(frames.parent, "numpy", frames))
