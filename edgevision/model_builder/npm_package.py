"""Fetching a published package with the npm client and reading files out of it."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgevision.errors import OutputError, SourceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgevision.model_builder.graph import Progress

MAX_ARCHIVE_BYTES = 64 << 20
FETCH_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class NpmPackage:
    """A package at a pinned version.

    Attributes:
        name: in npm, with its scope.
        version: the exact version.
        integrity: `sha512-` and the base64 of the archive's SHA-512, npm's notation.
    """

    name: str
    version: str
    integrity: str

    @property
    def spec(self) -> str:
        """Name and version in npm's notation."""
        return f"{self.name}@{self.version}"

    @property
    def archive_name(self) -> str:
        """File name that `npm pack` gives the archive."""
        return f"{self.name.removeprefix('@').replace('/', '-')}-{self.version}.tgz"


def fetch(package: NpmPackage, cache: Path, on_progress: Progress) -> Path:
    """Return the package's archive from the cache; fetch it first if it is missing there.

    Args:
        package: what to fetch.
        cache: folder for archives, created if it is missing.
        on_progress: called before and after.

    Raises:
        SourceError: npm is missing or fails, or the archive is not the pinned one.
        OutputError: the folder cannot be created.
    """
    step = f"fetching {package.spec}"
    on_progress(step, 0, 1)
    path = cache / package.archive_name
    if not (path.is_file() and integrity_of(path) == package.integrity):
        _pack(package, path)
    on_progress(step, 1, 1)
    return path


def read_members(archive: Path, names: Sequence[str], *, max_bytes: int) -> dict[str, bytes]:
    """Return files of a checked archive by name; nothing is unpacked to disk.

    Args:
        archive: the gzipped tar file.
        names: paths in the archive; the result has their order.
        max_bytes: the limit for each file.

    Raises:
        SourceError: a file is missing or too large.
    """
    found: dict[str, bytes] = {}
    with tarfile.open(archive, "r:gz") as files:
        for (
            member
        ) in files:  # in the order of the archive: seeking back would unpack it a second time
            if member.name not in names:
                continue
            opened = files.extractfile(member) if member.size <= max_bytes else None
            if opened is None:
                msg = f"{archive}: {member.name}: expected a file of at most {max_bytes} bytes"
                raise SourceError(msg)
            found[member.name] = opened.read()
    for name in names:
        if name not in found:
            msg = f"{archive}: expected a file {name} in it"
            raise SourceError(msg)
    return {name: found[name] for name in names}


def integrity_of(path: Path) -> str:
    """Return a file's hash in npm's notation, or a remark on its size if it is too large."""
    if path.stat().st_size > MAX_ARCHIVE_BYTES:
        return f"more than {MAX_ARCHIVE_BYTES} bytes"
    digest = hashlib.sha512(path.read_bytes()).digest()
    return f"sha512-{base64.b64encode(digest).decode()}"


def _pack(package: NpmPackage, path: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        msg = f"{package.spec}: npm is needed to fetch it and is not installed; install npm"
        raise SourceError(msg)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{path.parent}: expected a folder to keep packages in ({error.strerror})"
        raise OutputError(msg) from None
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        command = [npm, "pack", "--loglevel=error", "--pack-destination", folder, package.spec]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=FETCH_TIMEOUT_S)
        except subprocess.CalledProcessError as error:
            said = "; ".join(error.stderr.decode(errors="replace").splitlines()[:2])
            msg = f"{package.spec}: npm cannot fetch it ({said})"
            raise SourceError(msg) from None
        except subprocess.TimeoutExpired:
            msg = f"{package.spec}: expected npm to fetch it within {FETCH_TIMEOUT_S:.0f} s"
            raise SourceError(msg) from None
        fetched = Path(folder, path.name)
        found = integrity_of(fetched) if fetched.is_file() else "no file"
        if found != package.integrity:
            msg = f"{package.spec}: expected integrity {package.integrity}, got {found}"
            raise SourceError(msg)
        fetched.replace(path)
