"""The protocol between the daemon and a capture worker: one JSON record per packet.

The daemon sends an `OpenRequest`, then a `Ready` for each frame that it wants and a `Returned` for
each slot that it has finished with. The worker answers with `Opened`, a `Layout` with the file
descriptor of the slots, a `Handed` for each `Ready`, and at the end `Failed`. The pixels are in
`SlotMemory`, which both processes map.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import socket
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from edgevision.errors import CameraFault
    from edgevision.frames import U8

MAX_PACKET_BYTES = 1 << 16

# The largest picture is 16384 x 8192, the limit set for OpenCV in edgevision/__init__.
MAX_SIDE_PX = 16384
MAX_PIXELS = 1 << 27
MAX_SLOTS = 16
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """Which camera to open, and how.

    Attributes:
        opener: `module:name` of the `CameraOpener`.
        source: as configured, with user and password.
        shown: the source without user and password.
        width, height: pixels to ask for.
        fps: rate to ask for.
        pixel_format: four-character code to ask for.
        rotation: degrees clockwise to rotate each frame by.
        open_timeout_s: how long a connection may take.
        read_timeout_s: how long to wait for a frame.
        needs: package that the opener imports.
    """

    opener: str
    source: str = field(repr=False)
    shown: str
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    pixel_format: str | None = None
    rotation: Literal[0, 90, 180, 270] = 0
    open_timeout_s: float = 5.0
    read_timeout_s: float = 10.0
    needs: str = "cv2"


@dataclass(frozen=True, slots=True)
class Ready:
    """The daemon can take one more frame."""


@dataclass(frozen=True, slots=True)
class Returned:
    """The daemon has finished with a slot.

    Attributes:
        layout: number of the layout that the slot belongs to.
        slot: number of the slot.
    """

    layout: int
    slot: int


@dataclass(frozen=True, slots=True)
class Opened:
    """The camera is open."""


@dataclass(frozen=True, slots=True)
class Layout:
    """New slots, in the memory whose file descriptor is in the same packet.

    Attributes:
        number: counts up; slots of earlier layouts are not used again.
        height, width, channels: of the uint8 frames.
        slots: how many.
    """

    number: int
    height: int
    width: int
    channels: int
    slots: int


@dataclass(frozen=True, slots=True)
class Handed:
    """A frame; its slot belongs to the daemon until it is returned.

    Attributes:
        slot: number of the slot in the newest layout.
        captured_ns: CLOCK_MONOTONIC at its arrival.
        captured_at_ns: the time of day of the same moment, since 1970 in UTC.
        overwritten: frames since the last record that were replaced by newer ones before the
            daemon was ready.
        unusable: frames since the last record that could not be decoded.
    """

    slot: int
    captured_ns: int
    captured_at_ns: int
    overwritten: int
    unusable: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The camera cannot be opened or read; the worker ends.

    Attributes:
        fault: for programs.
        reason: for people, without secrets.
        overwritten, unusable: as in `Handed`.
    """

    fault: CameraFault
    reason: str
    overwritten: int
    unusable: int


Record: TypeAlias = OpenRequest | Ready | Returned | Opened | Layout | Handed | Failed

_KINDS: dict[str, type[Record]] = {
    kind.__name__: kind for kind in (OpenRequest, Ready, Returned, Opened, Layout, Handed, Failed)
}


def send(connection: socket.socket, record: Record, *, descriptor: int | None = None) -> None:
    """Send one record, with a file descriptor if it has one.

    Raises:
        OSError: the other process is gone.
    """
    packet = json.dumps({"record": type(record).__name__, **asdict(record)}).encode()
    socket.send_fds(connection, [packet], [] if descriptor is None else [descriptor])


def _parse(packet: bytes, flags: int) -> Record:
    if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
        msg = f"expected a packet of at most {MAX_PACKET_BYTES} bytes, got a larger one"
        raise ValueError(msg)
    values = json.loads(packet)
    return _KINDS[values.pop("record")](**values)


def receive(connection: socket.socket) -> tuple[Record | None, int | None]:
    """Wait for the next record, at most for the socket's timeout.

    Returns:
        The record, None if the other process is gone; and the file descriptor in its packet,
        which the caller must close.

    Raises:
        TimeoutError: no packet arrived in time.
        OSError: the connection broke.
        ValueError: the packet is not a record.
    """
    packet, descriptors, flags, _ = socket.recv_fds(connection, MAX_PACKET_BYTES, 1)
    descriptor = descriptors[0] if descriptors else None
    if not packet:
        return None, descriptor
    try:
        return _parse(packet, flags), descriptor
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if descriptor is not None:
            os.close(descriptor)
        msg = f"expected a record of the capture worker, got something else: {error}"
        raise ValueError(msg) from None


class SlotMemory:
    """Slots of one size, one after the other, in an anonymous file that both processes map."""

    def __init__(self, layout: Layout, descriptor: int, *, writable: bool) -> None:
        """Map the file of `descriptor`; the descriptor can be closed afterwards.

        Raises:
            ValueError: the layout is impossible, or the file is smaller than the layout or could
                shrink: reading past its end would kill the process.
        """
        sides = layout.height, layout.width
        possible = all(1 <= side <= MAX_SIDE_PX for side in sides) and (
            layout.channels in {1, 3, 4} and 1 <= layout.slots <= MAX_SLOTS
        )
        if not possible or layout.height * layout.width > MAX_PIXELS:
            msg = f"expected slots for frames of a possible size, got {layout}"
            raise ValueError(msg)
        self.shape = (layout.height, layout.width, layout.channels)
        self._slot_bytes = layout.height * layout.width * layout.channels
        size = self._slot_bytes * layout.slots
        sealed = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK
        if os.fstat(descriptor).st_size < size or not sealed:
            msg = f"expected {size} bytes that stay, got fewer or a file that can shrink"
            raise ValueError(msg)
        access = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
        self._map = mmap.mmap(descriptor, size, mmap.MAP_SHARED, access)

    @classmethod
    def create(cls, layout: Layout) -> tuple[SlotMemory, int]:
        """Return new slots and their descriptor, which the caller must close."""
        descriptor = os.memfd_create("edgevision-frames", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        frame_bytes = layout.height * layout.width * layout.channels
        os.ftruncate(descriptor, frame_bytes * layout.slots)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
        return cls(layout, descriptor, writable=True), descriptor

    def flat(self, slot: int) -> U8:
        """Return one slot's pixels, uint8 [h * w * c].

        Each call returns a new array, and every view of it keeps exactly that array alive.
        """
        return np.frombuffer(self._map, np.uint8, self._slot_bytes, slot * self._slot_bytes)

    def view(self, slot: int) -> U8:
        """Return one slot's frame, uint8 [h, w, c]."""
        return self.flat(slot).reshape(self.shape)
