"""Folders as an initramfs: a cpio archive in which everything belongs to root."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Archive:
    """A cpio archive being written, in the "newc" form that Linux takes.

    Its format: "initramfs buffer format" in the documentation of Linux. A
    file that comes again replaces the former one.
    """

    def __init__(self, file: BinaryIO) -> None:
        """Begin."""
        self._file = file
        self._count = 0

    def add(self, folder: Path, at: str = "") -> None:
        """Add all that is in a folder, without following links.

        Args:
            folder: on this machine.
            at: where it goes, without a leading slash; its parents must be there already.
        """
        for path in _below(folder):
            name = f"{at}/{path.relative_to(folder)}".strip("/")
            status = path.lstat()
            if stat.S_ISLNK(status.st_mode):
                content = str(path.readlink()).encode()
            else:
                content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
            self._entry(name, status.st_mode, int(status.st_mtime), content)

    def close(self) -> None:
        """Write what ends an archive."""
        self._entry("TRAILER!!!", 0, 0, b"")

    def _entry(self, name: str, mode: int, mtime: int, content: bytes) -> None:
        self._count += 1
        encoded = name.encode() + b"\0"
        # Number, mode, user, group, links, time, size, device, device of the file, name, check.
        fields = [self._count, mode, 0, 0, 1, mtime, len(content), 0, 0, 0, 0, len(encoded), 0]
        self._write(b"070701" + b"".join(b"%08X" % field for field in fields) + encoded)
        self._write(content)

    def _write(self, part: bytes) -> None:
        """Write it, and zeros up to a multiple of four bytes."""
        self._file.write(part + bytes(-len(part) % 4))


def _below(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _below(path)
