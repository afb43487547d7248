"""A Python of another processor on this one: Debian's Python, the pinned wheels, QEMU.

User-mode emulation translates the program and leaves the kernel to this machine, so nothing has
to boot and nothing is installed. It shows what a processor computes, not how long it takes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from arm.debian import Debian, EmulationError, need

if TYPE_CHECKING:
    from collections.abc import Sequence

REPOSITORY = Path(__file__).parents[2]
CACHE = REPOSITORY / ".cache" / "arm"
RECORDING = REPOSITORY / "edgevision" / "data" / "still-life.avi"
# The C library of Debian 12 runs wheels that were made for this one and older ones.
GLIBC_MINORS = range(36, 16, -1)
TEST_PACKAGES = ("hypothesis", "onnx", "pytest")
# The part number of each core, in the words of Linux: /proc/cpuinfo of the host would be taken
# for the emulated one's, and ONNX Runtime chooses its kernels by it. Source: the cores' Technical
# Reference Manuals, MIDR_EL1.
CORES = {"cortex-a53": 0xD03, "cortex-a72": 0xD08, "cortex-a76": 0xD0B, "cortex-a7": 0xC07}
DOT_PRODUCT = {"cortex-a76"}


@dataclass(frozen=True, slots=True)
class Architecture:
    """What is emulated.

    Attributes:
        debian: Debian's name of it.
        machine: the kernel's and Python's name of it.
        emulator: the program that runs it.
        packages: Debian's packages.
        wheels: packages from constraints.txt.
        search: further folders of shared libraries, below the root.
    """

    debian: str
    machine: str
    emulator: str
    packages: tuple[str, ...]
    wheels: tuple[str, ...]
    search: tuple[str, ...] = ()


def dependencies() -> tuple[str, ...]:
    """Return what pyproject.toml asks for."""
    tree = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    return tuple(tree["project"]["dependencies"])


ARM64 = Architecture(
    debian="arm64",
    machine="aarch64",
    emulator="qemu-aarch64",
    packages=("python3.11-minimal", "libpython3.11-stdlib", "libstdc++6"),
    wheels=(*dependencies(), *TEST_PACKAGES),
)


# Debian has what has no wheels there; its matrix products come from whichever BLAS is found first.
DEBIANS_OWN = ("numpy", "onnxruntime", "opencv-python-headless", "psutil", "PyYAML")
ARM32 = Architecture(
    debian="armhf",
    machine="armv7l",
    emulator="qemu-arm",
    packages=(
        *ARM64.packages,
        *("libopenblas0-pthread", "python3-numpy", "python3-opencv", "python3-psutil"),
        "python3-yaml",
    ),
    wheels=tuple(each for each in dependencies() if not each.startswith(DEBIANS_OWN)),
    search=(
        "usr/lib/arm-linux-gnueabihf/openblas-pthread",
        "usr/lib/arm-linux-gnueabihf/pulseaudio",
    ),
)


class Userland:
    """An unpacked system of one architecture, its Python and its packages."""

    def __init__(self, architecture: Architecture) -> None:
        """Build it below `.cache/arm`, or take what was built from the same pins.

        Raises:
            EmulationError: something that it needs cannot be had.
        """
        self._architecture = architecture
        self._emulator = need(architecture.emulator, "qemu-user")
        self.folder = CACHE / architecture.debian
        stamp = _stamp(architecture)
        kept = self.folder / "stamp"
        if not (kept.is_file() and kept.read_text(encoding="ascii") == stamp):
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            self._build()
            kept.write_text(stamp, encoding="ascii")

    @property
    def site(self) -> Path:
        """The folder of the Python packages."""
        return self.folder / "site"

    def command(
        self, cpu: str, *arguments: str | Path, plugin: Path | None = None
    ) -> Sequence[str | Path]:
        """Return the command that runs the emulated Python.

        Args:
            cpu: one of `CORES`.
            arguments: of Python.
            plugin: a QEMU plugin.
        """
        root = self._root_of(cpu)
        search = ":".join(str(root / folder) for folder in self._architecture.search)
        path = ":".join(map(str, (REPOSITORY, self.site)))
        settings = [f"PYTHONPATH={path}", "PYTHONHASHSEED=0", "PYTHONDONTWRITEBYTECODE=1"]
        settings += [f"LD_LIBRARY_PATH={search}", "OMP_NUM_THREADS=1", "OPENBLAS_NUM_THREADS=1"]
        return [
            self._emulator,
            *("-cpu", cpu),
            *(("-plugin", plugin) if plugin else ()),
            *(word for setting in settings for word in ("-E", setting)),
            *("-L", root),
            root / "usr/bin/python3.11",
            *arguments,
        ]

    def python(
        self, cpu: str, *arguments: str | Path, plugin: Path | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the emulated Python to its end, at most 30 minutes."""
        return subprocess.run(
            self.command(cpu, *arguments, plugin=plugin),
            env=os.environ | environment,
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=1800,
            check=False,
        )

    def _build(self) -> None:
        architecture = self._architecture
        print(f"building {self.folder}, once", file=sys.stderr)  # noqa: T201
        apt = self.folder / "apt"
        Debian(architecture.debian, apt).unpack(architecture.packages, self.folder / "root")
        shutil.rmtree(apt)
        for folder in ("doc", "locale", "man"):
            shutil.rmtree(self.folder / "root/usr/share" / folder, ignore_errors=True)
        install_wheels(architecture.wheels, architecture.machine, self.site)

    def _root_of(self, cpu: str) -> Path:
        """Return the root with this core's /proc/cpuinfo; everything else is one and the same."""
        root = self.folder / cpu
        if not root.exists():
            (root / "proc").mkdir(parents=True)
            for entry in (self.folder / "root").iterdir():
                if entry.name != "proc":
                    (root / entry.name).symlink_to(Path("../root") / entry.name)
            (root / "proc/cpuinfo").write_text(_cpuinfo(cpu), encoding="ascii")
        return root


def install_wheels(requirements: Sequence[str], machine: str, folder: Path) -> None:
    """Install wheels of another machine into a folder, with the hashes in constraints.txt.

    Raises:
        EmulationError: pip cannot get one of them, or it is not the pinned one.
    """
    tags = [f"manylinux_2_{minor}_{machine}" for minor in GLIBC_MINORS] + [f"linux_{machine}"]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--only-binary=:all:", "--implementation=cp", "--python-version=3.11"]
    command += [f"--platform={tag}" for tag in tags]
    command += [f"--constraint={REPOSITORY / 'constraints.txt'}", f"--target={folder}"]
    command += requirements
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        msg = f"pip cannot install the wheels for {machine}: {' '.join(errors)}"
        raise EmulationError(msg)


def _stamp(architecture: Architecture) -> str:
    pins = (REPOSITORY / "constraints.txt").read_bytes()
    return hashlib.sha256(pins + repr(architecture).encode()).hexdigest()


def _cpuinfo(cpu: str) -> str:
    """Return /proc/cpuinfo of one core as Linux on ARM writes it."""
    features = "fp asimd evtstrm crc32 cpuid" + " asimddp" * (cpu in DOT_PRODUCT)
    return (
        f"processor\t: 0\nBogoMIPS\t: 108.00\nFeatures\t: {features}\nCPU implementer\t: 0x41\n"
        f"CPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: {CORES[cpu]:#x}\n"
        "CPU revision\t: 3\n\n"
    )
