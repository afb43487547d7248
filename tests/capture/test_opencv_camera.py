"""USB cameras, with OpenCV's part replaced: there is no such camera here."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from capture.sources import wait_until

from edgevision.capture import opencv_camera as camera_module
from edgevision.capture.opencv_camera import Device
from edgevision.capture.protocol import InThread
from edgevision.capture.reader import CameraReader, stable_name
from edgevision.capture.worker_protocol import OpenRequest
from edgevision.clock import SystemClock
from edgevision.config.camera import CameraConfig
from edgevision.errors import CameraError

if TYPE_CHECKING:
    from edgevision.frames import Frame


class FakeCapture:
    """Delivers frames while its device's file is there."""

    opened: list[str]
    settings: list[tuple[int, float]]

    def __init__(self, path: str, _api: int) -> None:
        self.path = path
        FakeCapture.opened.append(path)

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        return True

    def set(self, key: int, value: float) -> bool:
        FakeCapture.settings.append((key, value))
        return True

    def grab(self) -> bool:
        return Path(self.path).exists()

    def retrieve(self, _into: Any = None) -> tuple[bool, Any]:
        return True, np.full((48, 64, 3), 90, np.uint8)


class LocalDevice(InThread):
    """A device read in this process."""

    def __init__(self, path: Path) -> None:
        self._device = Device(OpenRequest("device", str(path), str(path)))

    def grab(self) -> bool:
        self._device.grab()
        return True

    def retrieve(self) -> Any:
        return self._device.retrieve()

    def close(self) -> None:
        """Nothing is held open."""


@pytest.fixture(autouse=True)
def fake_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeCapture.opened, FakeCapture.settings = [], []
    monkeypatch.setattr(camera_module.cv2, "VideoCapture", FakeCapture)
    monkeypatch.setattr(camera_module.fcntl, "ioctl", lambda *_: 0)


@pytest.fixture
def by_id(tmp_path: Path) -> Path:
    """A folder as udev keeps it, with a camera at video0."""
    folder = tmp_path / "by-id"
    folder.mkdir()
    (tmp_path / "video0").touch()
    (folder / "usb-cam-index0").symlink_to("../video0")
    return folder


def test_a_camera_that_comes_back_as_another_device_is_found_by_its_id(by_id: Path) -> None:
    link = by_id / "usb-cam-index0"
    frames: list[Frame] = []
    reader = CameraReader(
        "yard",
        CameraConfig(source="/dev/v4l/by-id/usb-cam-index0"),
        deliver=frames.append,
        clock=SystemClock(),
        opener=lambda _: LocalDevice(link),
        first_pause_s=0.01,
    )
    reader.start()
    wait_until(lambda: reader.state().status == "online")
    link.unlink()
    (by_id.parent / "video0").unlink()
    wait_until(lambda: reader.state().fault == "no_device")
    (by_id.parent / "video2").touch()
    link.symlink_to("../video2")
    wait_until(lambda: reader.state().status == "online")
    reader.stop(timeout_s=30)
    assert FakeCapture.opened == [str(by_id.parent / name) for name in ("video0", "video2")]


def test_an_unplugged_camera_is_reported_as_unplugged(by_id: Path) -> None:
    device = Device(OpenRequest("device", str(by_id / "usb-cam-index0"), "x"))
    (by_id.parent / "video0").unlink()
    with pytest.raises(CameraError, match="was unplugged") as caught:
        device.grab()
    assert caught.value.fault == "no_device"


def test_a_device_is_asked_for_the_pixel_format_before_the_size(by_id: Path) -> None:
    source = str(by_id / "usb-cam-index0")
    Device(OpenRequest("device", source, "x", 1280, 720, 15.0, "MJPG"))
    cv2 = camera_module.cv2
    keys = [key for key, _ in FakeCapture.settings]
    assert keys[:3] == [cv2.CAP_PROP_FOURCC, cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT]
    assert FakeCapture.settings[0][1] == cv2.VideoWriter.fourcc(*"MJPG")


def test_the_stable_name_of_a_device_is_the_link_that_leads_to_it(by_id: Path) -> None:
    assert stable_name(by_id.parent / "video0", by_id) == by_id / "usb-cam-index0"


def test_a_device_without_a_link_or_one_that_is_a_link_has_no_other_name(by_id: Path) -> None:
    (by_id.parent / "video9").touch()
    assert stable_name(by_id.parent / "video9", by_id) is None
    assert stable_name(by_id / "usb-cam-index0", by_id) is None
    assert stable_name(by_id.parent / "video7", by_id) is None
    assert stable_name(by_id.parent / "video0", by_id.parent / "nothing") is None


def test_the_stable_name_is_logged_once(
    by_id: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("edgevision.capture.reader.stable_name", lambda _: by_id / "usb-cam-index0")
    caplog.set_level(logging.INFO)
    frames: list[Frame] = []
    reader = CameraReader(
        "yard",
        CameraConfig(source="0"),
        deliver=frames.append,
        clock=SystemClock(),
        opener=lambda _: LocalDevice(by_id / "usb-cam-index0"),
    )
    reader.start()
    wait_until(lambda: len(frames) > 5)
    reader.stop(timeout_s=30)
    (record,) = [record for record in caplog.records if "a name that stays" in record.getMessage()]
    expected = (
        f"camera yard: /dev/video0 is also {by_id}/usb-cam-index0, a name that stays the same"
    )
    assert record.getMessage() == expected
