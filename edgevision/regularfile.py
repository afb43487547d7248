"""Reading a file that somebody else named: bounded, and never something other than a file.

A FIFO would block, a device such as /dev/zero has no end, and opening some devices does
something by itself.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFLNK: "a link",
}


def read_regular(path: Path, limit_bytes: int, *, follow_links: bool = True) -> bytes:
    """Return a file's content, cut off at `limit_bytes` + 1: what is that long is too long.

    Args:
        path: the file.
        limit_bytes: how much of it may be of use.
        follow_links: whether the file itself may be a symbolic link.

    Raises:
        OSError: it cannot be read or is no regular file; `strerror` says which.
    """
    check_regular(path, follow_links=follow_links)
    # It may have become something else since: then neither opening nor reading may block.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags if follow_links else flags | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as file:
        _check(os.fstat(descriptor).st_mode, path)
        return file.read(limit_bytes + 1)


def check_regular(path: Path, *, follow_links: bool = True) -> None:
    """Check that a path leads to a file, for what only takes a path.

    Raises:
        OSError: it does not; `strerror` says what is there.
    """
    try:
        mode = path.stat(follow_symlinks=follow_links).st_mode
    except ValueError as error:  # a zero character
        raise OSError(errno.EINVAL, str(error), str(path)) from None
    _check(mode, path)


def _check(mode: int, path: Path) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "something else")
        raise OSError(errno.EINVAL, f"{kind}, not a file", str(path))
