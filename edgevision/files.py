"""Files: bounded reading of user-given paths, atomic replacement, and the state folder.

A path from a user may lead to something other than a file: reading a FIFO would block, a device
such as /dev/zero has no end, and merely opening some devices has an effect.
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

log = logging.getLogger(__name__)

_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFLNK: "a link",
}


def read_regular(path: Path, limit_bytes: int, *, follow_links: bool = True) -> bytes:
    """Return a file's content, cut off at `limit_bytes` + 1: a result of that length is too long.

    Args:
        path: the file.
        limit_bytes: the largest size that the caller accepts.
        follow_links: whether the file itself may be a symbolic link.

    Raises:
        OSError: it cannot be read or is no regular file; `strerror` says which.
    """
    check_regular(path, follow_links=follow_links)
    # It may have been replaced since the check, so neither opening nor reading may block.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags if follow_links else flags | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as file:
        _check(os.fstat(descriptor).st_mode, path)
        return file.read(limit_bytes + 1)


def check_regular(path: Path, *, follow_links: bool = True) -> None:
    """Check that a path leads to a file, for libraries that take only a path.

    Raises:
        OSError: it does not; `strerror` says what it is.
    """
    try:
        mode = path.stat(follow_symlinks=follow_links).st_mode
    except ValueError as error:  # a null character
        raise OSError(errno.EINVAL, str(error), str(path)) from None
    _check(mode, path)


def _check(mode: int, path: Path) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "something else")
        raise OSError(errno.EINVAL, f"{kind}, not a file", str(path))


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file atomically; it is on the disk when this returns.

    Raises:
        OSError: it cannot be written; the old one is kept.
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


class StateFolder:
    """The folder for everything that must survive a restart, locked by this process."""

    def __init__(self, path: Path) -> None:
        """Create the folder if it is missing, and lock it.

        The lock is flock(2) on the folder itself: it needs no file, so it works on a read-only
        disk, and the kernel releases it however the process ends. The service also runs without
        a folder that cannot be created or opened; the outbox then reports it.

        Raises:
            StateInUseError: another service has locked it.
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
                f"{path}: expected an unused state folder, got one that another edgevision "
                "uses; stop that one, or set state_folder"
            )
            raise StateInUseError(msg) from None
        except OSError as error:
            log.warning("state folder %s cannot be used (%s)", path, error.strerror)

    def close(self) -> None:
        """Unlock the folder."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
