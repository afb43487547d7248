"""A live camera in a capture worker: starting, reading, timing out and killing the process."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import math
import os
import signal
import socket
import subprocess
import sys
import time
import weakref
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgevision.capture.protocol import Arrival, Skipped
from edgevision.capture.worker_protocol import (
    Failed,
    Handed,
    Layout,
    Opened,
    OpenRequest,
    Ready,
    Returned,
    SlotMemory,
    receive,
    send,
)
from edgevision.clock import NS_PER_S
from edgevision.errors import BadFrameError, CameraError

if TYPE_CHECKING:
    from edgevision.capture.worker_protocol import Record
    from edgevision.config.camera import CameraConfig
    from edgevision.frames import U8

log = logging.getLogger(__name__)

# FFmpeg's timeouts expire first and give a reason; the deadlines are for a worker that hangs. They
# are longer because Python and OpenCV need seconds to start on a small, busy board.
OPEN_TIMEOUT_S = 5.0
OPEN_DEADLINE_S = 12.0
READ_GRACE_S = 2.0

# A killed process ends immediately, unless it is blocked in a driver.
REAP_S = 2.0
SYSTEM_PYTHON = Path("/usr/bin/python3")

# FFmpeg's options for streams: TCP, because lost UDP packets corrupt pictures, and little
# buffering, so that the first frame is the newest.
STREAM_OPTIONS = "rtsp_transport;tcp|fflags;nobuffer|analyzeduration;200000|probesize;100000"

_FOREIGN = (
    "import sys; sys.path += sys.argv[2:]; from edgevision.capture.worker import main; main()"
)


def open_request(camera: CameraConfig) -> OpenRequest:
    """Return what a worker needs to know of a live camera's configuration."""
    return OpenRequest(
        opener=camera.kind.opener,
        source=camera.source,
        shown=camera.shown_source,
        width=camera.width,
        height=camera.height,
        fps=camera.fps,
        pixel_format=camera.pixel_format,
        rotation=camera.rotation,
        open_timeout_s=OPEN_TIMEOUT_S,
        read_timeout_s=camera.stall_after_s,
        needs=camera.kind.needs,
    )


class CameraWorker:
    """A source that is read in a process of its own, which can always be killed."""

    fps: float | None = None
    frame_count: int | None = None

    def __init__(
        self,
        request: OpenRequest,
        *,
        open_deadline_s: float = OPEN_DEADLINE_S,
        read_grace_s: float = READ_GRACE_S,
    ) -> None:
        """Start the process; the first `grab` waits until the camera is open.

        Args:
            request: which camera.
            open_deadline_s: longest time for start and opening; after it the process has hung.
            read_grace_s: time beyond the worker's own read timeout after which it has hung.

        Raises:
            CameraError: the process cannot be started.
        """
        self.arrival: Arrival | None = None
        self.skipped = Skipped()
        self._shown = request.shown
        self._deadline_s = open_deadline_s
        self._read_deadline_s = request.read_timeout_s + read_grace_s
        self._layout = 0
        self._memory: SlotMemory | None = None
        self._slot: int | None = None
        self._connection, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                self._process = subprocess.Popen(
                    _command(request, theirs.fileno()),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    env=_environment(request),
                    process_group=0,  # Ctrl-C reaches the daemon alone, which kills its workers
                )
            except OSError as error:
                self._connection.close()
                msg = f"{self._shown}: the capture process cannot be started ({error.strerror})"
                raise CameraError(msg, fault="crashed") from None
        with contextlib.suppress(OSError):  # it has already ended: the next receive reports it
            send(self._connection, request)

    @property
    def pid(self) -> int:
        """Return the worker's process id."""
        return self._process.pid

    def grab(self) -> bool:
        """Wait for the next frame.

        Raises:
            CameraError: the camera cannot be opened or has no more frames, or the worker hung or
                crashed.
        """
        if self._slot is not None:
            _return(self._connection, Returned(self._layout, self._slot))
            self._slot = None
        with contextlib.suppress(OSError):  # the worker is gone: the next receive reports it
            send(self._connection, Ready())
        until_s = time.monotonic() + self._deadline_s
        while True:
            record = self._receive(until_s)
            if isinstance(record, Opened):
                self._deadline_s = self._read_deadline_s
                until_s = time.monotonic() + self._deadline_s
            elif isinstance(record, Handed):
                self._note_skipped(record)
                self._slot = record.slot
                at = datetime.fromtimestamp(record.captured_at_ns / NS_PER_S, UTC)
                self.arrival = Arrival(record.captured_ns, at)
                return True
            elif isinstance(record, Failed):
                self._note_skipped(record)
                raise CameraError(record.reason, fault=record.fault)

    def retrieve(self) -> U8:
        """Return the grabbed frame, uint8 [h, w, 3] BGR, read-only, where the worker wrote it.

        The worker reuses that memory once this array and all views of it are garbage.
        """
        if self._memory is None or self._slot is None:
            msg = f"{self._shown}: expected grab before retrieve"
            raise BadFrameError(msg)
        slot, self._slot = self._slot, None
        pixels = self._memory.flat(slot)
        weakref.finalize(pixels, _return, self._connection, Returned(self._layout, slot))
        return pixels.reshape(self._memory.shape)

    def interrupt(self) -> None:
        """Kill the worker: a `grab` that waits for it fails immediately."""
        self._process.kill()

    def close(self) -> None:
        """Kill and reap the worker, whatever state it is in. Frames stay valid."""
        self._process.kill()
        self._connection.close()
        try:
            self._process.wait(REAP_S)
        except subprocess.TimeoutExpired:
            log.warning("%s: the capture process %s hangs in a driver", self._shown, self.pid)

    def _receive(self, until_s: float) -> Record:
        self._connection.settimeout(max(0.001, until_s - time.monotonic()))
        try:
            record, descriptor = receive(self._connection)
        except TimeoutError:
            msg = f"{self._shown}: the capture process hung for {self._deadline_s:g} s"
            raise CameraError(msg, fault="hung") from None
        except OSError:
            record = descriptor = None
        except ValueError as error:
            msg = f"{self._shown}: {error}"
            raise CameraError(msg, fault="crashed") from None
        if record is None:
            raise CameraError(self._exit_reason(), fault="crashed")
        if descriptor is not None:
            try:
                self._map(record, descriptor)
            finally:
                os.close(descriptor)
        return record

    def _map(self, record: Record, descriptor: int) -> None:
        if not isinstance(record, Layout):
            return
        try:
            self._memory = SlotMemory(record, descriptor, writable=False)
        except (OSError, ValueError) as error:
            msg = f"{self._shown}: {error}"
            raise CameraError(msg, fault="crashed") from None
        self._layout = record.number

    def _note_skipped(self, record: Handed | Failed) -> None:
        self.skipped = Skipped(
            self.skipped.overwritten + record.overwritten, self.skipped.unusable + record.unusable
        )

    def _exit_reason(self) -> str:
        try:
            status = self._process.wait(REAP_S)
        except subprocess.TimeoutExpired:
            return f"{self._shown}: the capture process closed its connection"
        end = f"by {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
        return f"{self._shown}: the capture process ended {end}"


def _return(connection: socket.socket, record: Returned) -> None:
    # The worker may be gone; its memory is freed with the last frame.
    with contextlib.suppress(OSError):
        send(connection, record)


def _command(request: OpenRequest, descriptor: int) -> list[str]:
    """Return the worker's command line, without the request: any user can read it."""
    found = importlib.util.find_spec(request.needs) is not None
    if found or not SYSTEM_PYTHON.exists():
        return [sys.executable, "-P", "-m", "edgevision.capture.worker", str(descriptor)]
    # Only the system's Python may have the package, as with picamera2. Its own packages come
    # first; ours, and our NumPy in case it has none, last.
    ours = [str(Path(__file__).parents[2]), str(Path(np.__file__).parents[1])]
    return [str(SYSTEM_PYTHON), "-P", "-c", _FOREIGN, str(descriptor), *ours]


def _environment(request: OpenRequest) -> dict[str, str]:
    """Return the worker's environment: ours without secrets, and settings of OpenCV and FFmpeg."""
    ours = ("EDGEVISION_", "CREDENTIALS_", "NOTIFY_", "WATCHDOG_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    no_proxy = os.environ.get("no_proxy", os.environ.get("NO_PROXY", ""))
    return kept | {
        # FFmpeg uses http_proxy even for addresses on this machine.
        "no_proxy": ",".join(filter(None, (no_proxy, "localhost", "127.0.0.1", "::1"))),
        "OPENCV_LOG_LEVEL": "WARNING",
        "OPENCV_FFMPEG_DEBUG": "1",
        "OPENCV_FFMPEG_LOGLEVEL": "40",  # AV_LOG_VERBOSE, the first level that logs connections
        "OPENCV_FFMPEG_CAPTURE_OPTIONS": STREAM_OPTIONS,
        "OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT": str(math.ceil(request.read_timeout_s)),
    }
