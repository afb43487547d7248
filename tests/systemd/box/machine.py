"""A real systemd, as process 1 in its own namespaces, over this machine's files."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

BOOT = Path(__file__).with_name("boot.sh")
CGROUPS = Path("/sys/fs/cgroup")
CLONE_NEWNET = 0x40000000  # <linux/sched.h>
TOOLS = ("unshare", "nsenter", "setpriv", "pivot_root", "/lib/systemd/systemd")
BOOT_S = 60
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}


class NotPermittedError(Exception):
    """This machine lacks something that a box needs; the text says what."""


class Box:
    """A separate machine to install a service on, removed at the end.

    It sees this machine's programs, but none of its services, users' files or networks, and
    whatever it writes is kept in memory. Needs root.
    """

    def __init__(self, folder: Path) -> None:
        """Prepare a box that logs and mounts in this folder; nothing runs yet."""
        self._folder = folder
        self._console = folder / "console.log"
        self._cgroups: list[Path] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._init = 0

    def __enter__(self) -> Self:
        """Boot; raise `NotPermittedError` without root, namespaces, overlays or cgroups."""
        try:
            self._boot()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End every process in it."""
        if self._process is not None:
            self._process.kill()  # and with it, by --kill-child, process 1 and all others
            self._process.wait(10)
        for cgroup in self._cgroups:
            remove_cgroup(cgroup)

    @property
    def root(self) -> Path:
        """The box's files. Absolute symbolic links in them lead out of the box."""
        return Path(f"/proc/{self._init}/root")

    def run(
        self, *command: str, check: bool = True, seconds: float = 60, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as the box's root; its output is text."""
        enter = ["nsenter", "--all", "--root", "--wd", f"--target={self._init}"]
        done = subprocess.run(
            [*enter, "--", *command],
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            env=ENVIRONMENT | environment,
            stdin=subprocess.DEVNULL,
        )
        if check and done.returncode:
            message = f"{' '.join(command)}: status {done.returncode}\n{done.stdout}{done.stderr}"
            raise AssertionError(message)
        return done

    def read(self, path: str) -> str:
        return (self.root / path.lstrip("/")).read_bytes().decode()

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())
        file.chmod(mode)

    def copy(self, source: Path, path: str) -> None:
        """Copy a file or folder of this machine into the box."""
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, target, dirs_exist_ok=True, ignore=ignore)
        else:
            shutil.copy2(source, target)

    @contextlib.contextmanager
    def network(self) -> Iterator[None]:
        """Within this, new sockets and threads of the calling thread are in the box's network.

        They stay there afterwards.
        """
        with (
            Path("/proc/thread-self/ns/net").open("rb") as outside,
            Path(f"/proc/{self._init}/ns/net").open("rb") as inside,
        ):
            set_network(inside.fileno())
            try:
                yield
            finally:
                set_network(outside.fileno())

    def _boot(self) -> None:
        if os.geteuid() != 0:
            msg = "a box needs root"
            raise NotPermittedError(msg)
        if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
            msg = f"a box needs {', '.join(missing)}"
            raise NotPermittedError(msg)
        self._make_cgroups()
        mount = self._folder / "mount"
        mount.mkdir()
        with self._console.open("wb") as console:
            self._process = subprocess.Popen(
                # It ends with this process, however that ends.
                ["setpriv", "--pdeathsig", "KILL", BOOT, "enter", mount, *self._cgroups],
                stdout=console,
                stderr=console,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        deadline_s = time.monotonic() + BOOT_S
        while not self._booted():
            if self._process.poll() is not None:
                lines = self._console.read_text(encoding="utf-8", errors="replace").splitlines()
                msg = f"a box cannot be started here: {' '.join(lines[-1:])}"
                raise NotPermittedError(msg)
            if time.monotonic() > deadline_s:
                msg = f"systemd did not start within {BOOT_S} s"
                raise AssertionError(msg)
            time.sleep(0.1)

    def _booted(self) -> bool:
        assert self._process is not None
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children")
        with contextlib.suppress(OSError):
            first = children.read_text(encoding="ascii").split()
            if not first or Path(f"/proc/{first[0]}/comm").read_text() != "systemd\n":
                return False
            self._init = int(first[0])
            done = self.run("systemctl", "is-system-running", check=False)
            return done.stdout.strip() in {"running", "degraded"}
        return False

    def _make_cgroups(self) -> None:
        for parent in parent_cgroups():
            cgroup = parent / f"box-{os.getpid()}"
            try:
                make_cgroup(cgroup)
            except OSError as error:
                msg = f"a box needs a cgroup of its own: {error}"
                raise NotPermittedError(msg) from None
            self._cgroups.append(cgroup)


def parent_cgroups() -> list[Path]:
    """Return the cgroups to make the box's in: this process's, one in each hierarchy.

    In version 2 it is the nearest one upwards that hands controllers on, because one with
    processes in it cannot; if there is none, the box has no limits.
    """
    own: dict[str, str] = {}
    for line in Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines():
        _, name, path = line.split(":", 2)
        own[name.removeprefix("name=") or "unified"] = path.lstrip("/")
    if not (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS / name / path for name, path in own.items()]
    here = CGROUPS / own["unified"]
    for cgroup in (here, *here.parents):
        handed_on = cgroup / "cgroup.subtree_control"
        if not handed_on.exists():
            break
        if {"memory", "pids"} <= set(handed_on.read_text(encoding="ascii").split()):
            return [cgroup]
    return [here]


def make_cgroup(cgroup: Path) -> None:
    """Make a cgroup that processes can be moved to."""
    cgroup.mkdir()
    for name in ("cpuset.cpus", "cpuset.mems"):  # empty in version 1, which allows no process
        if (cgroup.parent / name).exists():
            (cgroup / name).write_text((cgroup.parent / name).read_text(encoding="ascii"))


def remove_cgroup(cgroup: Path) -> None:
    """Remove a cgroup without processes and all below it."""
    for folder, _, _ in os.walk(cgroup, topdown=False):
        for _ in range(50):
            try:
                Path(folder).rmdir()
                break
            except OSError:  # its last process is not quite gone yet
                time.sleep(0.1)


def set_network(namespace: int) -> None:
    """Move the calling thread to a network namespace, given by a descriptor; setns(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
