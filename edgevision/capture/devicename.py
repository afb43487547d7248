"""Names of USB cameras that stay the same."""

from __future__ import annotations

from pathlib import Path

BY_ID = Path("/dev/v4l/by-id")


def stable_name(device: Path, folder: Path = BY_ID) -> Path | None:
    """Return the name under which udev finds this camera wherever it is plugged in, if any.

    None for a name that is in `folder` already, and for devices that have none.
    """
    if device.parent == folder:
        return None
    try:
        target = device.resolve(strict=True)
        names = sorted(folder.iterdir())
        return next((name for name in names if name.resolve() == target), None)
    except OSError:
        return None
