"""The table of sources, and functions on the text of an address: its kind, host and secrets.

`SOURCES` has one line for each kind of source: how it is written, what it can be asked for, and
which function in capture/ opens it. Another source is one new file there and one line here. The
table is in this room because a configuration is validated against it. Openers are given by name:
configuration imports no other room, and a capture worker imports only what its own camera needs.
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_NUMBER = re.compile(r"[0-9]{1,3}\Z")
_CSI = re.compile(r"csi(?::([0-9]{1,2}))?\Z")
_STREAM = re.compile(r"(rtsps?|https?|rtmps?|udp|tcp|srt)://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SourceKind:
    """One kind of source.

    Attributes:
        name: its name in messages.
        matches: whether a configured source, as text, is of this kind.
        opener: `module:name` of what opens it: a `capture.protocol.CameraOpener` where it is
            live, else a `RecordingOpener`.
        needs: the package that the opener imports.
        is_live: frames arrive whether or not they are taken. A live source is read in a capture
            worker, reopened after every fault, and can be frozen or black. Any other is played in
            the reader's thread at its own pace and has an end.
        is_path: the source is a file or folder, relative to the configuration file's folder.
        is_device: the source is a file of Video4Linux, which only one camera can use.
        plays_once: a fault after its first frames ends it; it is not started over.
        takes: keys of a camera's configuration that it can be asked for.
    """

    name: str
    matches: Callable[[str], bool]
    opener: str
    needs: str
    is_live: bool = False
    is_path: bool = False
    is_device: bool = False
    plays_once: bool = False
    takes: frozenset[str] = frozenset()


def _is_device(source: str) -> bool:
    # /dev/shm holds files.
    return bool(_NUMBER.match(source) or re.match(r"^/dev/(?!shm/)", source))


def _is_csi(source: str) -> bool:
    return _CSI.match(source) is not None


def _is_stream(source: str) -> bool:
    return _STREAM.match(source) is not None


def _is_folder(source: str) -> bool:
    # Path.is_dir raises for a folder without permission and for a name that is too long.
    return os.path.isdir(source)  # noqa: PTH112


def _is_anything(_source: str) -> bool:
    return True


_SIZE = frozenset({"width", "height"})
_CV = "edgevision.capture.opencv_camera"
_FILES = "edgevision.capture.recording"

# The first that matches is taken. The last matches everything, so a new line goes above it.
SOURCES: tuple[SourceKind, ...] = (
    SourceKind("device", _is_device, f"{_CV}:open_device", "cv2", is_live=True, is_device=True,
               takes=_SIZE | {"pixel_format"}),
    SourceKind("csi", _is_csi, "edgevision.capture.picamera:open_csi", "picamera2", is_live=True,
               takes=_SIZE),
    SourceKind("stream", _is_stream, f"{_CV}:Stream", "cv2", is_live=True),
    SourceKind("images", _is_folder, f"{_FILES}:ImageFolder", "cv2", is_path=True),
    SourceKind("recording", _is_anything, f"{_FILES}:Recording", "cv2", is_path=True,
               plays_once=True),
)  # fmt: skip


def classify_source(source: str) -> SourceKind:
    """Return the first kind in `SOURCES` that a configured source matches."""
    return next(kind for kind in SOURCES if kind.matches(source))


def device_path(source: str) -> str:
    """Return a device's file: `0` stands for /dev/video0."""
    return f"/dev/video{int(source)}" if _NUMBER.match(source) else source


def csi_number(source: str) -> int:
    """Return the number of a CSI camera: `csi` stands for `csi:0`."""
    match = _CSI.match(source)
    return int(match[1] or 0) if match else 0


def is_loopback(host: str) -> bool:
    """Return whether traffic to this host stays on this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def misspelt_address(source: str) -> str | None:
    """Return what was expected if a source looks like an address but is not one we open.

    The answer never repeats the source: it may hold a password.
    """
    if classify_source(source) is not SOURCES[-1]:
        return None
    schemes = "rtsp://, rtsps://, http:// or https://"
    if re.match(r"^[A-Za-z][\w+.-]*:/", source):
        return f"expected an address that begins with {schemes}, got {source.partition(':')[0]!r}:"
    scheme = re.match(r"(?i)^(rtsps?|https?)[:/]", source)
    if scheme and not os.path.exists(source):  # noqa: PTH110 - also of what no path can be
        return f"expected an address that begins with {schemes}, got {scheme[1]!r} without ://"
    if re.search(r"(^|/)[^/\s]+:[^/\s]*@", source) and not os.path.exists(source):  # noqa: PTH110
        return f"expected {schemes} before user and password, got an address without it"
    return None


def redact_url(text: str) -> str:
    """Replace what may be secret in URLs with ***: user and password, the query, named secrets.

    A password may contain any character, / and @ too, so everything up to the last @ is
    replaced. Some cameras take user and password in the path:
    `rtsp://host/user=admin&password=secret`. Text without a URL is returned unchanged.
    """
    if not re.search(r":/", text):
        return text
    text = re.sub(r"(?<=:/)(/?)\S*@|(?<=\?)\S+", _stars, text)
    return re.sub(r"(?i)\b(pass\w*|pwd|user\w*|usr|token|key)=[^&;/\s]*", r"\1=***", text)


def _stars(secret: re.Match[str]) -> str:
    return f"{secret[1] or ''}***@" if secret[0].endswith("@") else "***"
