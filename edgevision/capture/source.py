"""Opening any source of the table `SOURCES`, which `config/source_url.py` holds.

A module of its own because it imports the worker's client and the rotation, which import each
other no more than the sources do.
"""

from __future__ import annotations

import pkgutil
from typing import TYPE_CHECKING

from edgevision.capture.rotation import Rotated
from edgevision.capture.worker_client import CameraWorker, open_request

if TYPE_CHECKING:
    from edgevision.capture.protocol import FrameSource, RecordingOpener
    from edgevision.config.camera import CameraConfig


def open_source(camera: CameraConfig) -> FrameSource:
    """Open a camera's source: a live one in a worker process, any other in this thread.

    Raises:
        SourceError: it cannot be opened; the message says why and what to do. A fault of a live
            source is raised by its first `grab`.
    """
    if camera.kind.is_live:
        return CameraWorker(open_request(camera))
    opener: RecordingOpener = pkgutil.resolve_name(camera.kind.opener)
    source = opener(camera.source, fps=camera.fps)
    return Rotated(source, camera.rotation) if camera.rotation else source
