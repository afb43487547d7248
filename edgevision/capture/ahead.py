"""Decoding ahead: the next frames of a recording are made while the present one is used."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING

from edgevision.capture.protocol import InThread
from edgevision.errors import BadFrameError

if TYPE_CHECKING:
    from edgevision.capture.protocol import FrameSource
    from edgevision.records import U8

DEPTH = 4
POLL_S = 0.1


class DecodedAhead(InThread):
    """A recording that is decoded in a thread of its own. Loses nothing and keeps the order."""

    def __init__(self, source: FrameSource) -> None:
        """Begin to decode; `source` belongs to this object from now on."""
        self._source = source
        self.fps = source.fps
        self.frame_count = source.frame_count
        self._closing = threading.Event()
        self._ready: queue.Queue[U8 | Exception | None] = queue.Queue(DEPTH)
        self._grabbed: U8 | Exception | None = None
        self._ended = False
        self._thread = threading.Thread(target=self._decode, name="decode", daemon=True)
        self._thread.start()

    def grab(self) -> bool:
        """Go to the next frame; False at the end.

        Raises:
            SourceError: the recording breaks off.
        """
        if self._ended:
            return False
        self._grabbed = self._ready.get()
        if isinstance(self._grabbed, Exception) and not isinstance(self._grabbed, BadFrameError):
            self._ended = True
            raise self._grabbed
        self._ended = self._grabbed is None
        return not self._ended

    def retrieve(self) -> U8:
        """Return the grabbed frame.

        Raises:
            BadFrameError: it could not be decoded.
        """
        if self._grabbed is None or isinstance(self._grabbed, Exception):
            raise self._grabbed or BadFrameError("expected grab before retrieve")
        return self._grabbed

    def close(self) -> None:
        """End the thread and release the source."""
        self._ended = True
        self._closing.set()
        self._thread.join()
        self._source.close()

    def _decode(self) -> None:
        try:
            while self._source.grab():
                try:
                    item: U8 | Exception = self._source.retrieve()
                except BadFrameError as error:
                    item = error
                if not self._hand_over(item):
                    return
            self._hand_over(None)
        except Exception as error:  # noqa: BLE001 - whoever waits in grab must be told
            self._hand_over(error)

    def _hand_over(self, item: U8 | Exception | None) -> bool:
        while not self._closing.is_set():
            try:
                self._ready.put(item, timeout=POLL_S)
            except queue.Full:
                continue
            return True
        return False
