"""Cameras that the capture worker reads through OpenCV: Video4Linux devices and streams."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from edgevision.capture.ffmpeg_log import TIMED_OUT, diagnose, is_decoder_error
from edgevision.capture.recording import retrieved
from edgevision.config.source_url import device_path
from edgevision.errors import BadFrameError, CameraError

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgevision.capture.worker_protocol import OpenRequest
    from edgevision.frames import U8

# linux/videodev2.h: _IOR('V', 0, struct v4l2_capability); the struct has 104 bytes.
VIDIOC_QUERYCAP = 0x80685600


class Device:
    """A camera attached to this machine, through Video4Linux."""

    def __init__(self, request: OpenRequest) -> None:
        """Open the device and ask it for size, rate and pixel format.

        A link such as /dev/v4l/by-id/… is resolved each time: a camera that was unplugged may
        come back as another /dev/video.

        Raises:
            CameraError: there is no such device, or it cannot be opened.
        """
        self._path = Path(device_path(request.source))
        _check(self._path)
        self._capture = cv2.VideoCapture(str(self._path.resolve()), cv2.CAP_V4L2)
        if not self._capture.isOpened():
            msg = f"{self._path}: expected a camera, but it cannot be opened; is it in use?"
            raise CameraError(msg, fault="busy")
        if request.pixel_format is not None:  # before the size: each format has its own sizes
            self._set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*request.pixel_format))
        if request.width is not None and request.height is not None:
            self._set(cv2.CAP_PROP_FRAME_WIDTH, request.width)
            self._set(cv2.CAP_PROP_FRAME_HEIGHT, request.height)
        if request.fps is not None:
            self._set(cv2.CAP_PROP_FPS, request.fps)
        self._set(cv2.CAP_PROP_BUFFERSIZE, 1)

    def grab(self) -> None:
        """Wait for the next frame."""
        if self._capture.grab():
            return
        if not self._path.exists():
            msg = f"{self._path}: the camera was unplugged"
            raise CameraError(msg, fault="no_device")
        msg = f"{self._path}: the camera delivers no frames"
        raise CameraError(msg, fault="no_frames")

    def retrieve(self, into: U8 | None = None) -> U8:
        """Return the grabbed frame, uint8 [h, w, 3] BGR, in `into` if its shape fits."""
        return retrieved(self._capture, str(self._path), into)

    def _set(self, key: int, value: float) -> None:
        self._capture.set(key, value)


def open_device(request: OpenRequest, _messages: Callable[[], str]) -> Device:
    """Open a camera attached to this machine, as `SOURCES` names it.

    Raises:
        CameraError: there is no such device, or it cannot be opened.
    """
    return Device(request)


def _check(path: Path) -> None:
    """Find out why a device cannot be opened: OpenCV reports the same for every cause.

    Raises:
        CameraError: it is absent, in use or not a camera, or permission is missing.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in {errno.EACCES, errno.EPERM}:
            msg = f"{path}: no permission; the user must be in the group video"
            raise CameraError(msg, fault="no_permission") from None
        if error.errno == errno.EBUSY:
            msg = f"{path}: in use by another program"
            raise CameraError(msg, fault="busy") from None
        msg = f"{path}: no such device; list cameras with: ls /dev/v4l/by-id/"
        raise CameraError(msg, fault="no_device") from None
    try:
        fcntl.ioctl(descriptor, VIDIOC_QUERYCAP, bytes(104))
    except OSError:
        msg = f"{path}: expected a camera, got another kind of device"
        raise CameraError(msg, fault="wrong_format") from None
    finally:
        os.close(descriptor)


class Stream:
    """A network camera, through FFmpeg, with a timeout for every wait."""

    def __init__(self, request: OpenRequest, messages: Callable[[], str]) -> None:
        """Connect.

        Args:
            request: address, with user and password where they are needed, and the timeouts for
                a connection and for each frame.
            messages: returns what FFmpeg has written since the last call.

        Raises:
            CameraError: nothing answers, or no video comes.
        """
        self._shown = request.shown
        self._messages = messages
        self._decoded = False
        self._silent = f"{self._shown}: no frame for {request.read_timeout_s:g} s"
        parameters = [
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
            round(request.open_timeout_s * 1000),
            cv2.CAP_PROP_READ_TIMEOUT_MSEC,
            round(request.read_timeout_s * 1000),
        ]
        self._capture = cv2.VideoCapture(request.source, cv2.CAP_FFMPEG, parameters)
        if not self._capture.isOpened():
            found = diagnose(messages())
            msg = f"{self._shown}: {found.reason}"
            raise CameraError(msg, fault=found.fault)

    def grab(self) -> None:
        """Wait for the next frame, at most for the read timeout.

        FFmpeg decodes here already; for a frame that it could not decode, `retrieve` raises.
        """
        self._decoded = self._capture.grab()
        messages = self._messages()
        if self._decoded or is_decoder_error(messages):
            return
        if TIMED_OUT in messages:
            raise CameraError(self._silent, fault="no_frames")
        msg = f"{self._shown}: the stream broke off"
        raise CameraError(msg, fault="broken_off")

    def retrieve(self, into: U8 | None = None) -> U8:
        """Return the grabbed frame, uint8 [h, w, 3] BGR, in `into` if its shape fits."""
        if not self._decoded:
            msg = f"{self._shown}: a frame cannot be decoded"
            raise BadFrameError(msg)
        return retrieved(self._capture, self._shown, into)
