"""The interfaces of sources of frames, and of the functions that open them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from edgevision.capture.worker_protocol import OpenRequest
    from edgevision.frames import U8

# After this many undecodable frames in a row, a source is opened again.
MAX_BAD_FRAMES = 30


@dataclass(frozen=True, slots=True)
class Arrival:
    """When a frame arrived.

    Attributes:
        captured_ns: CLOCK_MONOTONIC, the same in all processes.
        captured_at: the time of day of the same moment, UTC.
    """

    captured_ns: int
    captured_at: datetime


@dataclass(frozen=True, slots=True)
class Skipped:
    """How many frames of an open source arrived but were never returned by `grab`.

    Attributes:
        overwritten: a newer one arrived before they were taken.
        unusable: they could not be decoded.
    """

    overwritten: int = 0
    unusable: int = 0


class FrameSource(Protocol):
    """An open camera, stream, recording or image folder.

    `grab` and `retrieve` are two steps so that the time of arrival can be taken between them:
    after the wait, before the decoding.
    """

    @property
    def fps(self) -> float | None:
        """Return the pace of a recording; None for live sources, which set their own."""
        ...

    @property
    def frame_count(self) -> int | None:
        """Return how many frames there are, if that is known."""
        ...

    @property
    def arrival(self) -> Arrival | None:
        """Return when the grabbed frame arrived; None: at the return of `grab`."""
        ...

    @property
    def skipped(self) -> Skipped:
        """Return how many frames were skipped since the source was opened."""
        ...

    def grab(self) -> bool:
        """Wait for the next frame; False at the end of a recording.

        Raises:
            SourceError: a live source has no more frames, or a recording breaks off.
        """
        ...

    def retrieve(self) -> U8:
        """Return the grabbed frame, uint8 [h, w, 3] BGR (or grey or BGRA, as the source has it).

        Raises:
            BadFrameError: this frame cannot be decoded; the next one may be.
        """
        ...

    def interrupt(self) -> None:
        """Make a `grab` that waits in another thread fail soon, where that is possible."""
        ...

    def close(self) -> None:
        """Release the device, connection or file."""
        ...


class InThread:
    """Base of the sources that are read in the thread that calls `grab`."""

    fps: float | None = None
    frame_count: int | None = None
    arrival: Arrival | None = None
    skipped = Skipped()

    def interrupt(self) -> None:
        """Do nothing: a blocked read cannot be interrupted from another thread."""


class Capturing(Protocol):
    """An open camera inside the capture worker."""

    def grab(self) -> None:
        """Wait for the next frame.

        Raises:
            CameraError: there are no more.
        """
        ...

    def retrieve(self, into: U8 | None = None) -> U8:
        """Return the grabbed frame, uint8 [h, w, c].

        Args:
            into: an array to write it into; if its shape does not fit, a new one is returned.

        Raises:
            BadFrameError: this frame cannot be decoded; the next one may be.
        """
        ...


class RecordingOpener(Protocol):
    """Opens a source that is not live, in the process and thread that read it."""

    def __call__(self, source: str, /, *, fps: float | None) -> FrameSource:
        """Open `source` as configured; `fps` replaces its own pace.

        Raises:
            SourceError: it cannot be opened.
        """
        ...


class CameraOpener(Protocol):
    """Opens a live source inside a capture worker."""

    def __call__(self, request: OpenRequest, messages: Callable[[], str], /) -> Capturing:
        """Open the camera; `messages` returns what this process has written since it was called.

        Raises:
            CameraError: it cannot be opened.
        """
        ...
