"""Opening the right kind of source.

A module of its own because it imports every kind of source, which import none of each other.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgevision.capture.recording import ImageFolder, Recording
from edgevision.capture.rotation import Rotated
from edgevision.capture.worker_client import CameraWorker, open_request
from edgevision.config.source_url import SourceKind

if TYPE_CHECKING:
    from edgevision.capture.protocol import FrameSource
    from edgevision.config.camera import CameraConfig


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
