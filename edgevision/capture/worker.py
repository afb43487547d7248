"""The capture worker: one process that reads one live camera, until that ends or hangs.

`python -m edgevision.capture.worker DESCRIPTOR`, started by `worker_client.CameraWorker` with one
end of a socket pair. A `VideoCapture` that hangs cannot be interrupted, but a process can be
killed. It imports no inference engine, no MQTT and no pydantic, so it starts fast and stays small.
"""

from __future__ import annotations

import ctypes
import os
import pkgutil
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from edgevision.capture.ffmpeg_log import MessageTap
from edgevision.capture.protocol import MAX_BAD_FRAMES
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
from edgevision.errors import BadFrameError, CameraError

if TYPE_CHECKING:
    from edgevision.capture.protocol import CameraOpener, Capturing
    from edgevision.frames import U8

# The daemon has at most three (one waits, one is in inference, one was just taken), one has the
# newest frame and one is being written. The kernel allocates no memory for a slot never used.
SLOTS = 5
PR_SET_PDEATHSIG = 1  # linux/prctl.h


@dataclass(frozen=True, slots=True)
class _Stored:
    """A frame in a slot that the daemon has not taken, and when it arrived."""

    slot: int
    captured_ns: int
    captured_at_ns: int


class Slots:
    """The slots of frames. The newest frame replaces one that was not taken, which is counted."""

    def __init__(self, connection: socket.socket) -> None:
        """Start without slots: the size of the first frame is the size of a slot."""
        self._connection = connection
        self._lock = threading.Lock()
        self._layouts = 0
        self._memory: SlotMemory | None = None
        self._free: set[int] = set()
        self._newest: _Stored | None = None
        self._wanted = 0
        self._overwritten = 0
        self._unusable = 0

    def listen(self) -> None:
        """Receive the daemon's records, in a thread; end the process when the daemon is gone."""
        try:
            while True:
                record, _ = receive(self._connection)
                with self._lock:
                    if isinstance(record, Ready):
                        self._wanted += 1
                        self._hand_over()
                    elif isinstance(record, Returned):
                        if record.layout == self._layouts:
                            self._free.add(record.slot)
                    else:
                        return
        finally:
            os._exit(0)

    def capture(self, camera: Capturing, captured_ns: int, captured_at_ns: int) -> None:
        """Write the camera's grabbed frame into a slot and hand it over once it is wanted.

        Raises:
            BadFrameError: it cannot be decoded; it is counted.
        """
        with self._lock:
            slot = self._take_free()
            memory = self._memory
        if memory is not None and slot is None:
            return
        view = None if memory is None or slot is None else memory.view(slot)
        try:
            image = camera.retrieve(view)
        except BadFrameError:
            with self._lock:
                self._unusable += 1
                if slot is not None:
                    self._free.add(slot)
            raise
        with self._lock:
            if image is not view or slot is None:
                slot = self._copy(np.atleast_3d(image), slot)
            self._drop_newest()
            self._newest = _Stored(slot, captured_ns, captured_at_ns)
            self._hand_over()

    def fail(self, error: CameraError) -> None:
        """Report why the worker ends."""
        with self._lock:
            self._drop_newest()
            send(
                self._connection,
                Failed(error.fault, str(error), self._overwritten, self._unusable),
            )

    def _take_free(self) -> int | None:
        """Return a slot to write to; None before there are any, or if the daemon has all."""
        if not self._free:
            self._drop_newest()
        if self._free:
            slot = min(self._free)  # so that the last ones stay unallocated
            self._free.remove(slot)
            return slot
        if self._memory is not None:
            self._overwritten += 1
        return None

    def _drop_newest(self) -> None:
        if self._newest is not None:
            self._free.add(self._newest.slot)
            self._newest = None
            self._overwritten += 1

    def _copy(self, image: U8, slot: int | None) -> int:
        """Copy a frame that is not in a slot; create new slots if it does not fit."""
        if self._memory is None or slot is None or self._memory.shape != image.shape:
            self._drop_newest()
            self._layouts += 1
            height, width, channels = image.shape
            layout = Layout(self._layouts, height, width, channels, SLOTS)
            self._memory, descriptor = SlotMemory.create(layout)
            send(self._connection, layout, descriptor=descriptor)
            os.close(descriptor)
            slot, *others = range(SLOTS)
            self._free = set(others)
        np.copyto(self._memory.view(slot), image)
        return slot

    def _hand_over(self) -> None:
        if self._newest is None or self._wanted == 0:
            return
        stored, self._newest = self._newest, None
        self._wanted -= 1
        send(
            self._connection,
            Handed(
                stored.slot,
                stored.captured_ns,
                stored.captured_at_ns,
                self._overwritten,
                self._unusable,
            ),
        )
        self._overwritten = self._unusable = 0


def read(slots: Slots, camera: Capturing) -> NoReturn:
    """Read until the camera ends.

    Raises:
        CameraError: it has ended.
    """
    bad = 0
    while True:
        camera.grab()
        captured_ns, captured_at_ns = time.monotonic_ns(), time.time_ns()
        try:
            slots.capture(camera, captured_ns, captured_at_ns)
            bad = 0
        except BadFrameError as error:
            bad += 1
            if bad >= MAX_BAD_FRAMES:
                msg = f"{error} ({bad} times in a row)"
                raise CameraError(msg, fault="corrupt") from None


def open_camera(request: OpenRequest, messages: MessageTap) -> Capturing:
    """Open a live camera; the packages that it needs are imported only now.

    Raises:
        CameraError: it cannot be opened.
    """
    opener: CameraOpener = pkgutil.resolve_name(request.opener)
    camera = opener(request, messages.take)
    if request.rotation:
        from edgevision.capture.rotation import RotatedCamera  # noqa: PLC0415

        camera = RotatedCamera(camera, request.rotation)
    return camera


def main() -> None:
    """Serve the daemon at the other end of the socket; its descriptor is the first argument."""
    # A process that is stopped (SIGSTOP) sees no end of file; this ends it nevertheless.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    connection = socket.socket(fileno=int(sys.argv[1]))
    request, _ = receive(connection)
    if not isinstance(request, OpenRequest):
        return
    slots = Slots(connection)
    threading.Thread(target=slots.listen, name="listen", daemon=True).start()
    try:
        camera = open_camera(request, MessageTap())
        send(connection, Opened())
        read(slots, camera)
    except CameraError as error:
        slots.fail(error)
    except Exception as error:  # noqa: BLE001 - its text may contain a password, so only its place is reported
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "?"
        msg = f"{request.shown}: {type(error).__name__} at {place}"
        slots.fail(CameraError(msg, fault="crashed"))
    finally:
        os._exit(0)  # without releasing the camera, which could hang; the kernel does it


if __name__ == "__main__":
    main()
