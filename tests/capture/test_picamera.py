"""CSI cameras, against a fake of picamera2's interface: there is no such camera here."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from edgevision.capture import worker_client
from edgevision.capture.worker_client import CameraWorker, open_request
from edgevision.config.camera import CameraConfig
from edgevision.errors import CameraError

FAKE = """
import time
import numpy as np

class Request:
    held = 0

    def __init__(self, value, size):
        self.value, self.size = value, size
        Request.held += 1
        assert Request.held == 1, "a request was not released"

    def make_array(self, name):
        assert name == "main"
        return np.full((self.size[1], self.size[0], 3), self.value, np.uint8)

    def release(self):
        Request.held -= 1

class Picamera2:
    @staticmethod
    def global_camera_info():
        return [{"Num": 0}, {"Num": 1}]

    def __init__(self, camera_num=0):
        self.camera_num = camera_num
        self.frames = 0

    def create_video_configuration(self, main, controls):
        assert main["format"] == "RGB888"
        assert set(controls) <= {"FrameRate"}
        return {"main": main, "controls": controls}

    def configure(self, config):
        self.size = config["main"].get("size", (1280, 720))
        self.rate = config["controls"].get("FrameRate", 30)

    def start(self):
        self.started = True

    def capture_request(self):
        assert self.started
        time.sleep(1 / self.rate)
        self.frames += 1
        return Request(100 * self.camera_num + self.frames, self.size)
"""


@pytest.fixture(params=["own", "system"])
def picamera2(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fake, where only our Python finds it, or only the system's, as on a Raspberry Pi."""
    (tmp_path / "picamera2.py").write_text(FAKE, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    if request.param == "own":
        monkeypatch.syspath_prepend(tmp_path)
    else:
        monkeypatch.setattr(
            worker_client, "SYSTEM_PYTHON", Path(sys.base_prefix) / "bin" / "python3"
        )


def worker(**settings: object) -> CameraWorker:
    camera = CameraConfig.model_validate({"source": "csi", **settings})
    return CameraWorker(open_request(camera), open_deadline_s=60, read_grace_s=30)


@pytest.mark.usefixtures("picamera2")
def test_a_csi_camera_gives_frames_of_the_size_asked_for() -> None:
    camera = worker(width=64, height=48, fps=50.0)
    try:
        for _ in range(10):
            assert camera.grab()
            image = camera.retrieve()
            assert image.shape == (48, 64, 3)
            assert image.min() == image.max()
    finally:
        camera.close()


@pytest.mark.usefixtures("picamera2")
def test_the_second_csi_camera_is_the_second_one_and_is_turned() -> None:
    camera = worker(source="csi:1", width=64, height=48, fps=50.0, rotation=90)
    try:
        assert camera.grab()
        image = camera.retrieve()
        assert image.shape == (64, 48, 3)
        assert int(image[0, 0, 0]) > 100
    finally:
        camera.close()


@pytest.mark.usefixtures("picamera2")
def test_a_csi_camera_that_is_not_there_is_named() -> None:
    camera = worker(source="csi:2")
    with pytest.raises(CameraError, match="csi:2: no such camera; list cameras with") as caught:
        camera.grab()
    camera.close()
    assert caught.value.fault == "no_device"


def test_without_picamera2_the_error_names_the_package_to_install() -> None:
    camera = worker()
    with pytest.raises(CameraError, match="apt-get install python3-picamera2") as caught:
        camera.grab()
    camera.close()
    assert caught.value.fault == "not_installed"
