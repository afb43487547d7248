"""RTSP cameras, with a real server: GStreamer's, under the system's Python."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from brokers import free_port

from edgevision.capture.worker_client import CameraWorker, open_request
from edgevision.config.camera import CameraConfig
from edgevision.errors import CameraError

if TYPE_CHECKING:
    from collections.abc import Iterator

CAMERA = Path(__file__).with_name("rtsp_camera.py")
PYTHON = "/usr/bin/python3"


def is_possible() -> bool:
    script = "import gi; gi.require_version('GstRtspServer', '1.0')"
    try:
        done = subprocess.run([PYTHON, "-c", script], check=False, stderr=subprocess.DEVNULL)
    except FileNotFoundError:
        return False
    return done.returncode == 0


pytestmark = pytest.mark.skipif(
    not is_possible(), reason="needs gir1.2-gst-rtsp-server-1.0, python3-gi and GStreamer's plugins"
)


@contextmanager
def rtsp_camera(folder: Path, codec: str, *login: str) -> Iterator[str]:
    """Serve 20 pictures over RTSP; yield host and port."""
    for number in range(20):
        grey = np.full((240, 320, 3), 10 * number, np.uint8)
        cv2.imwrite(str(folder / f"{number:02d}.jpg"), grey)
    port = free_port()
    command = [PYTHON, str(CAMERA), str(port), str(folder), codec, *login]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        assert server.stdout is not None
        try:
            assert server.stdout.readline()
            yield f"127.0.0.1:{port}"
        finally:
            server.kill()


def opened(url: str) -> CameraWorker:
    return CameraWorker(open_request(CameraConfig(source=url)), open_deadline_s=60, read_grace_s=30)


@pytest.mark.parametrize("codec", ["h264", "jpeg"])
def test_an_rtsp_camera_gives_frames_and_a_wrong_path_is_not_found(
    tmp_path: Path, codec: str
) -> None:
    with rtsp_camera(tmp_path, codec) as address:
        worker = opened(f"rtsp://{address}/cam")
        for _ in range(10):
            assert worker.grab()
            assert worker.retrieve().shape == (240, 320, 3)
        worker.close()
        worker = opened(f"rtsp://{address}/nothing")
        with pytest.raises(CameraError, match="has no such path") as caught:
            worker.grab()
        worker.close()
    assert caught.value.fault == "not_found"


def test_an_rtsp_camera_with_a_password_is_opened_with_it_and_refuses_without(
    tmp_path: Path,
) -> None:
    with rtsp_camera(tmp_path, "jpeg", "viewer", "hunter2") as address:
        worker = opened(f"rtsp://viewer:hunter2@{address}/cam")
        assert worker.grab()
        worker.close()
        for login in ("", "viewer:hunter3@"):
            worker = opened(f"rtsp://{login}{address}/cam")
            with pytest.raises(CameraError, match="rejects the user name or password") as caught:
                worker.grab()
            worker.close()
            assert caught.value.fault == "unauthorized"
