"""Debian packages of any architecture, fetched by apt and unpacked; nothing is installed."""

from __future__ import annotations

import platform
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SUITE = "bookworm"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


class EmulationError(Exception):
    """What emulation needs is not to be had; the message is one line."""


@dataclass(frozen=True, slots=True)
class Debian:
    """One architecture of Debian 12.

    Attributes:
        architecture: as Debian calls it: arm64 or armhf.
        state: folder for apt's own files; may be deleted afterwards.
    """

    architecture: str
    state: Path

    def unpack(self, packages: Sequence[str], root: Path) -> None:
        """Unpack packages with all they depend on; their scripts do not run.

        Args:
            packages: names.
            root: becomes the system's root folder.

        Raises:
            EmulationError: apt cannot fetch them.
        """
        self.update()
        self._apt("install", "--yes", "--download-only", *packages)
        for name in ("bin", "sbin", "lib"):
            (root / "usr" / name).mkdir(parents=True, exist_ok=True)
            (root / name).symlink_to(f"usr/{name}")
        for package in sorted((self.state / "cache/archives").glob("*.deb")):
            unpack_file(package, root)

    def update(self) -> None:
        """Fetch the list of packages.

        Raises:
            EmulationError: this machine does not know where Debian 12 is, or cannot reach it.
        """
        (self.state / "lists/partial").mkdir(parents=True, exist_ok=True)
        (self.state / "cache/archives/partial").mkdir(parents=True, exist_ok=True)
        (self.state / "status").touch()
        source = f"deb [arch={self.architecture} signed-by={KEYRING}] {mirror()} {SUITE} main\n"
        (self.state / "sources.list").write_text(source, encoding="utf-8")
        self._apt("update")

    def fetch(self, package: str) -> Path:
        """Fetch one package, without what it depends on, after `update`.

        Raises:
            EmulationError: apt cannot fetch it.
        """
        self._apt("download", package)
        (found,) = self.state.glob(f"{package}_*.deb")
        return found

    def dependencies(self, package: str) -> list[str]:
        """Return what a package depends on, after `update`."""
        done = self._apt("depends", "--important", package, tool="apt-cache")
        lines = (line.strip() for line in done.splitlines())
        return [line.partition(": ")[2] for line in lines if line.startswith("Depends: ")]

    def _apt(self, *arguments: str, tool: str = "apt-get") -> str:
        settings = {
            "APT::Architecture": self.architecture,
            "APT::Architectures": self.architecture,
            "APT::Install-Recommends": "0",
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
            "Dir::State": self.state,
            "Dir::State::status": self.state / "status",
            "Dir::State::lists": self.state / "lists",
            "Dir::Cache": self.state / "cache",
            "Dir::Etc::sourcelist": self.state / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
        }
        options = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
        return run(tool, "-q", *options, *arguments, cwd=self.state)


def unpack_file(package: Path, root: Path, *only: str) -> None:
    """Unpack a .deb, or of it what matches the patterns."""
    with subprocess.Popen(
        ["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE
    ) as archive:
        wildcards = ["--wildcards", *only] if only else []
        subprocess.run(
            ["tar", "x", "-C", root, "--keep-directory-symlink", *wildcards],
            stdin=archive.stdout,
            check=True,
        )


def mirror() -> str:
    """Return where this machine gets Debian 12 from.

    Raises:
        EmulationError: it does not.
    """
    if all(map(shutil.which, ("apt-get", "apt-cache", "dpkg-deb"))):
        targets = run(
            "apt-get",
            *("indextargets", "--format", "$(REPO_URI)"),
            *("Created-By: Packages", "Origin: Debian", f"Codename: {SUITE}"),
        )
        if targets:
            return targets.splitlines()[0]
    name = platform.freedesktop_os_release()["PRETTY_NAME"]
    msg = f"expected Debian 12 ({SUITE}) with its package lists (apt-get update), got {name}"
    raise EmulationError(msg)


def need(command: str, package: str) -> str:
    """Return the path of a program of this machine; install its package where it is missing.

    Raises:
        EmulationError: it is missing and cannot be installed.
    """
    if shutil.which(command) is None:
        as_root = [] if run("id", "-u").strip() == "0" else ["sudo", "-n"]
        install = ["apt-get", "install", "--yes", "--no-install-recommends", package]
        try:
            run(*as_root, "apt-get", "-q", "update")
            run(*as_root, "env", "DEBIAN_FRONTEND=noninteractive", *install)
        except EmulationError:
            msg = f"expected the program {command}, found none: apt-get install {package}"
            raise EmulationError(msg) from None
    found = shutil.which(command)
    if found is None:
        msg = f"expected {command} in the package {package}, got none"
        raise EmulationError(msg)
    return found


def run(*command: object, cwd: Path | None = None) -> str:
    """Return what a program prints.

    Raises:
        EmulationError: it cannot be started or fails; with its last line.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words, cwd=cwd, capture_output=True, text=True, timeout=900, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        msg = f"{words[0]}: {error}"
        raise EmulationError(msg) from None
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        msg = f"{words[0]}: {last}"
        raise EmulationError(msg)
    return done.stdout
