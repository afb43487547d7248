"""What an address says by its form: kind of source, way to a host, secrets in a URL."""

from __future__ import annotations

import ipaddress
import os
import re
from enum import Enum

_NUMBER = re.compile(r"[0-9]{1,3}\Z")

_CSI = re.compile(r"csi(?::([0-9]{1,2}))?\Z")


class SourceKind(Enum):
    """What kind of thing a camera's source is."""

    DEVICE = "device"
    CSI = "csi"
    STREAM = "stream"
    RECORDING = "recording"
    IMAGES = "images"

    @property
    def is_live(self) -> bool:
        """Return whether frames come whether or not anyone takes them."""
        return self in {SourceKind.DEVICE, SourceKind.CSI, SourceKind.STREAM}


def classify_source(source: str) -> SourceKind:
    """Tell devices (`0`, `/dev/…`), `csi`, streams (`rtsp://…`), folders and recordings apart."""
    # /dev/shm holds files.
    if _NUMBER.match(source) or re.match(r"^/dev/(?!shm/)", source):
        return SourceKind.DEVICE
    if _CSI.match(source):
        return SourceKind.CSI
    if re.match(r"^(rtsps?|https?|rtmps?|udp|tcp|srt)://", source, re.IGNORECASE):
        return SourceKind.STREAM
    # Path.is_dir raises for folders that nobody may look at and for names that are too long.
    return SourceKind.IMAGES if os.path.isdir(source) else SourceKind.RECORDING  # noqa: PTH112


def device_path(source: str) -> str:
    """Return a device's file: `0` stands for /dev/video0."""
    return f"/dev/video{int(source)}" if _NUMBER.match(source) else source


def csi_number(source: str) -> int:
    """Return which CSI camera is meant: `csi` stands for `csi:0`."""
    match = _CSI.match(source)
    return int(match[1] or 0) if match else 0


def is_loopback(host: str) -> bool:
    """Return whether traffic to this host stays on this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def misspelt_address(source: str) -> str | None:
    """Return what is expected of a source that looks like an address but is none we open.

    The answer never repeats the source: it may hold a password.
    """
    if classify_source(source) is not SourceKind.RECORDING:
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
    """Replace what may be secret in URLs by ***: user and password, the query, named secrets.

    A password may hold any character, / and @ too, so all up to the last @ goes. Some cameras
    take user and password in the path: `rtsp://host/user=admin&password=secret`. Text without
    a URL comes back as it is.
    """
    if not re.search(r":/", text):
        return text
    text = re.sub(r"(?<=:/)(/?)\S*@|(?<=\?)\S+", _stars, text)
    return re.sub(r"(?i)\b(pass\w*|pwd|user\w*|usr|token|key)=[^&;/\s]*", r"\1=***", text)


def _stars(secret: re.Match[str]) -> str:
    return f"{secret[1] or ''}***@" if secret[0].endswith("@") else "***"
