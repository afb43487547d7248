"""Frames in memory that two processes share."""

from __future__ import annotations

import fcntl
import mmap
import os
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from edgevision.capture.wire import Layout
    from edgevision.records import U8

# The largest picture is 16384 x 8192, as much as OpenCV decodes here (see edgevision/__init__).
MAX_SIDE_PX = 16384
MAX_PIXELS = 1 << 27
MAX_SLOTS = 16
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


class SlotMemory:
    """Slots of one size, one behind the other, in an anonymous file."""

    def __init__(self, layout: Layout, descriptor: int, *, writable: bool) -> None:
        """Map what `descriptor` stands for; the descriptor can be closed afterwards.

        Raises:
            ValueError: the layout makes no sense, or the file is smaller than it says or may
                yet become so: reading past its end would kill the process.
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
        """Return new slots and their descriptor, which is the caller's to close."""
        descriptor = os.memfd_create("edgevision-frames", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        frame_bytes = layout.height * layout.width * layout.channels
        os.ftruncate(descriptor, frame_bytes * layout.slots)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
        return cls(layout, descriptor, writable=True), descriptor

    def flat(self, slot: int) -> U8:
        """Return one slot's pixels, uint8 [h * w * c].

        Each call makes a new array, and whatever is made from it keeps exactly that one alive.
        """
        return np.frombuffer(self._map, np.uint8, self._slot_bytes, slot * self._slot_bytes)

    def view(self, slot: int) -> U8:
        """Return one slot's frame, uint8 [h, w, c]."""
        return self.flat(slot).reshape(self.shape)
