"""Why a network camera cannot be opened, from FFmpeg's log.

OpenCV only reports that it is not open. FFmpeg's messages are never passed on, because they may
repeat the address with its password: they are only searched for known patterns.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgevision.errors import CameraFault

KEPT_BYTES = 1 << 16
TIMED_OUT = "Stream timeout triggered"


@dataclass(frozen=True, slots=True)
class _Sign:
    """A pattern in FFmpeg's messages, and what it means."""

    pattern: str
    fault: CameraFault
    reason: str


_SIGNS = (
    _Sign(r"HTTP error 40[13]|failed: 40[13]\b", "unauthorized",
          "rejects the user name or password"),
    _Sign(r"HTTP error 404|failed: 404\b", "not_found", "has no such path"),
    _Sign(r"HTTP error [45]\d\d|failed: [45]\d\d\b", "rejected", "refuses the request"),
    _Sign(r"Connection refused", "port_closed", "nothing listens on this port"),
    _Sign(r"Failed to resolve hostname", "unknown_host", "the host name cannot be resolved"),
    _Sign(r"Port missing in uri", "unknown_host", "expected host or host:port behind ://"),
    _Sign(r"No route to host|unreachable|timed out", "unreachable", "cannot be reached"),
    _Sign(r"(?i)\b(?:ssl|tls|certificate)\b.*(?:error|fail|wrong|verif)|error:.*SSL", "tls",
          "no TLS connection can be made"),
)  # fmt: skip

_STATUS = re.compile(r"(?:HTTP error|failed:) ([45]\d\d)\b")

# AV_LOG_FATAL and AV_LOG_ERROR; at the end of a stream FFmpeg logs nothing.
_ERROR = re.compile(r"\[OPENCV:FFMPEG:(?:08|16)\]")


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong.

    Attributes:
        fault: for programs.
        reason: for people, without the address.
    """

    fault: CameraFault
    reason: str


def diagnose(messages: str) -> Finding:
    """Return why a stream could not be opened, from FFmpeg's messages at level verbose."""
    for sign in _SIGNS:
        if re.search(sign.pattern, messages):
            status = _STATUS.search(messages)
            number = f" (status {status[1]})" if status else ""
            return Finding(sign.fault, sign.reason + number)
    connected = "Successfully connected" in messages
    if TIMED_OUT in messages:
        if "Starting connection attempt" in messages and not connected:
            return Finding("unreachable", "does not answer")
        return Finding("no_frames", "answers, but sends no frames")
    if "End of file" in messages:
        return Finding(
            "wrong_format", "closes the connection: expected video; is it another kind of server?"
        )
    return Finding("wrong_format", "sends no video that can be read")


def is_decoder_error(messages: str) -> bool:
    """Return whether FFmpeg logged a decoding error; the stream may well continue."""
    return _ERROR.search(messages) is not None and TIMED_OUT not in messages


class MessageTap:
    """Captures this process's stdout and stderr: at most 64 KB, and writing never blocks."""

    def __init__(self) -> None:
        """Replace both by a pipe, for good. OpenCV writes to stderr, its FFmpeg part to stdout."""
        self._c_library = ctypes.CDLL(None)
        self._reading, writing = os.pipe()
        os.set_blocking(self._reading, False)
        os.set_blocking(writing, False)  # a full pipe drops what is written
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        os.close(writing)

    def take(self) -> str:
        """Return what has been written since the last call."""
        self._c_library.fflush(None)
        taken = b""
        with contextlib.suppress(BlockingIOError):
            while len(taken) < KEPT_BYTES:
                taken += os.read(self._reading, KEPT_BYTES)
        return taken.decode("utf-8", "replace")
