"""The folder in which the service keeps what must survive a restart; one service at a time."""

from __future__ import annotations

import fcntl
import logging
import os
from typing import TYPE_CHECKING

from edgevision.errors import StateInUseError

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)


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
