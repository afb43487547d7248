"""Reading a file that somebody else named: bounded, and never something other than a file.

A FIFO would block, a device such as /dev/zero has no end, and opening some devices does
something by itself.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import stat
from typing import TYPE_CHECKING

from edgevision.errors import StateInUseError

if TYPE_CHECKING:
    from pathlib import Path


_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFLNK: "a link",
}

log = logging.getLogger(__name__)


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


def replace_file(path: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all, on the disk when this returns.

    Raises:
        OSError: it cannot be written; the old one stays.
    """
    new = path.with_name(f"{path.name}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(new, flags, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


# FOLDED:
# The folder in which the service keeps what must survive a restart; one service at a time.


class StateFolder:
    """A folder that belongs to this process until it ends."""

    def __init__(self, path: Path) -> None:
        """Make the folder where it is missing, and lock it.

        The lock is flock(2) on the folder itself: it needs no file, so a disk that can only be
        read is no obstacle, and it goes with the process, however that ends. The service can do
        without a folder that cannot be made or opened; the outbox then says so.

        Raises:
            StateInUseError: another service holds it.
        """
        self.path = path
        self._handle: int | None = None
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            msg = (
                f"{path}: expected a state folder of its own, got one that another edgevision "
                "uses; stop that one, or set state_folder"
            )
            raise StateInUseError(msg) from None
        except OSError as error:
            log.warning("state folder %s cannot be used (%s)", path, error.strerror)

    def close(self) -> None:
        """Give the folder up."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
