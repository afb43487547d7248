"""Opening the right kind of source."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgevision.address import SourceKind
from edgevision.capture.images import ImageFolder
from edgevision.capture.remote import CameraWorker, open_request
from edgevision.capture.rotation import Rotated
from edgevision.capture.video import Recording

if TYPE_CHECKING:
    from edgevision.cameraconfig import CameraConfig
    from edgevision.capture.protocol import FrameSource


def open_source(camera: CameraConfig) -> FrameSource:
    """Open a camera's source: a live one in a worker process, any other in this thread.

    Raises:
        SourceError: it cannot be opened; the message says why and what to do. What is wrong
            with a live source comes with its first `grab`.
    """
    if camera.kind.is_live:
        return CameraWorker(open_request(camera))
    source = _open_file(camera)
    return Rotated(source, camera.rotation) if camera.rotation else source


def _open_file(camera: CameraConfig) -> FrameSource:
    path = Path(camera.source)
    if camera.kind is SourceKind.IMAGES:
        return ImageFolder(path, fps=camera.fps)
    return Recording(path, fps=camera.fps)
