"""CSI cameras of a Raspberry Pi, which the capture worker reads through picamera2.

picamera2 comes with the system's Python, and the package index has no release that works with any
other, so the worker for these cameras may run under the system's interpreter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgevision.config.source_url import csi_number
from edgevision.errors import BadFrameError, CameraError

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgevision.capture.worker_protocol import OpenRequest
    from edgevision.frames import U8


class CsiCamera:
    """One camera on a CSI connector."""

    def __init__(self, request: OpenRequest) -> None:
        """Open the camera and start it.

        Raises:
            CameraError: picamera2 or the camera is missing, or another program uses the camera.
        """
        self._shown = request.shown
        self._request: Any = None
        try:
            from picamera2 import Picamera2  # noqa: PLC0415 - only installed with a CSI camera
        except ImportError as error:
            msg = (
                f"{self._shown}: expected the package picamera2, got {error}: "
                "apt-get install python3-picamera2"
            )
            raise CameraError(msg, fault="not_installed") from None
        number = csi_number(request.source)
        if number >= len(Picamera2.global_camera_info()):
            msg = f"{self._shown}: no such camera; list cameras with: rpicam-hello --list-cameras"
            raise CameraError(msg, fault="no_device")
        # libcamera names formats from the least significant byte: this is B, G, R in memory.
        main: dict[str, Any] = {"format": "RGB888"}
        if request.width is not None and request.height is not None:
            main["size"] = (request.width, request.height)
        controls = {} if request.fps is None else {"FrameRate": request.fps}
        try:
            self._camera = Picamera2(number)
            self._camera.configure(
                self._camera.create_video_configuration(main=main, controls=controls)
            )
            self._camera.start()
        except RuntimeError as error:
            msg = f"{self._shown}: cannot be opened ({error}); is it in use?"
            raise CameraError(msg, fault="busy") from None

    def grab(self) -> None:
        """Wait for the next frame; libcamera has no timeout, so the daemon has one."""
        self._release()
        self._request = self._camera.capture_request()

    def retrieve(self, into: U8 | None = None) -> U8:
        """Return the grabbed frame, uint8 [h, w, 3] BGR, in `into` if its shape fits."""
        if self._request is None:
            msg = f"{self._shown}: expected grab before retrieve"
            raise BadFrameError(msg)
        image: U8 = np.asarray(self._request.make_array("main"), np.uint8)
        self._release()
        if into is None or into.shape != image.shape:
            return image
        np.copyto(into, image)
        return into

    def _release(self) -> None:
        """Return the buffer to the camera, which has only a few."""
        if self._request is not None:
            self._request.release()
            self._request = None


def open_csi(request: OpenRequest, _messages: Callable[[], str]) -> CsiCamera:
    """Open a CSI camera, as `SOURCES` names it.

    Raises:
        CameraError: picamera2 or the camera is missing, or another program uses the camera.
    """
    return CsiCamera(request)
