"""Opening any source of `config.source_url.SOURCES`, the table of sources.

A module of its own because it joins what is independent: the client of the capture worker, the
rotation of frames, and each source, which is imported when it is opened.
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
