"""What an address says by its form: kind of source, way to a host, secrets in a URL."""

from __future__ import annotations

import ipaddress
import os
import re
from enum import Enum

_NUMBER = re.compile(r"[0-9]{1,3}\Z")


class SourceKind(Enum):
    """What kind of thing a camera's source is."""

    DEVICE = "device"
    STREAM = "stream"
    RECORDING = "recording"
    IMAGES = "images"

    @property
    def is_live(self) -> bool:
        """Return whether frames come whether or not anyone takes them."""
        return self in {SourceKind.DEVICE, SourceKind.STREAM}


def classify_source(source: str) -> SourceKind:
    """Tell devices (`0`, `/dev/…`), streams (`rtsp://…`), image folders and recordings apart."""
    # /dev/shm holds files.
    if _NUMBER.match(source) or re.match(r"^/dev/(?!shm/)", source):
        return SourceKind.DEVICE
    if re.match(r"^(rtsps?|https?|rtmps?|udp|tcp|srt)://", source, re.IGNORECASE):
        return SourceKind.STREAM
    # Path.is_dir raises for folders that nobody may look at and for names that are too long.
    return SourceKind.IMAGES if os.path.isdir(source) else SourceKind.RECORDING  # noqa: PTH112


def device_path(source: str) -> str:
    """Return a device's file: `0` stands for /dev/video0."""
    return f"/dev/video{int(source)}" if _NUMBER.match(source) else source


def is_loopback(host: str) -> bool:
    """Return whether traffic to this host stays on this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def redact_url(text: str) -> str:
    """Replace what may be secret in URLs by ***: user and password, and the query.

    A password may hold any character, / and @ too, so all up to the last @ goes. Text without
    a URL comes back as it is.
    """
    return re.sub(r"(?<=://)\S*@|(?<=\?)\S+", _stars, text) if "://" in text else text


def _stars(secret: re.Match[str]) -> str:
    return "***@" if secret[0].endswith("@") else "***"
