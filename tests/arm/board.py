"""A whole emulated board: Debian's kernel, systemd, mosquitto and the service, in an initramfs.

Nothing is installed and nothing needs root: packages are unpacked, the service's folder is laid out
as `systemd/install.sh` does it, and QEMU boots what comes of it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from arm.cpio import Archive
from arm.debian import Debian, need, run, unpack_file
from arm.userland import CACHE, RECORDING, REPOSITORY, dependencies, install_wheels

FOLDER = CACHE / "board"
KERNEL = "linux-image-arm64"
PACKAGES = (
    *("base-files", "base-passwd", "bash", "coreutils", "mount", "systemd-sysv", "util-linux"),
    *("libpython3.11-stdlib", "libstdc++6", "python3.11-minimal"),
    *("mosquitto", "mosquitto-clients"),
)
# There is nothing for them here: no console, no user, no device that comes later.
MASKED = (
    *("dev-hugepages.mount", "getty.target", "systemd-firstboot.service"),
    *("systemd-logind.service", "systemd-udevd.service"),
)
CHECK = "edgevision-check.service"
CHECK_UNIT = """\
[Service]
Type=oneshot
TimeoutStartSec=480
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyAMA0
ExecStart=/usr/bin/python3.11 /opt/check/board_check.py
ExecStopPost=/bin/systemctl poweroff --force
"""
SETTINGS = {
    "device": "board",
    "cameras": {"camera": {"source": "still-life.avi", "loop": True}},
    "metrics": {"interval_s": 5},
}
MOSQUITTO = "listener 1883 127.0.0.1\nallow_anonymous true\nlog_dest stdout\n"
ENTRY = """\
#!/opt/edgevision/venv/bin/python
import sys
from edgevision.__main__ import main
sys.exit(main())
"""
BOOT_S = 1500


@dataclass(frozen=True, slots=True)
class BoardRun:
    """What a board said until it was switched off.

    Attributes:
        serial: everything it wrote to its serial port.
        reports: what board_check.py said, by kind, in order.
        exit_status: of QEMU, 0 when the board switched itself off.
    """

    serial: str
    reports: dict[str, list[Any]]
    exit_status: int

    @property
    def messages(self) -> list[tuple[str, dict[str, Any]]]:
        """What a subscriber on the board received: topic and payload, in order."""
        return [(topic, payload) for topic, payload in self.reports.get("message", [])]


def run_board() -> BoardRun:
    """Boot the board and wait until it is off, at most 25 minutes.

    Raises:
        EmulationError: something that it needs cannot be had.
    """
    emulator = need("qemu-system-aarch64", "qemu-system-arm")
    _build_system()
    _lay_out_service(FOLDER / "service")
    image = FOLDER / "initramfs.cpio"
    with image.open("wb") as file:
        archive = Archive(file)
        archive.add(FOLDER / "root")
        archive.add(FOLDER / "service")
        archive.add(FOLDER / "site", "opt/edgevision/venv/lib/python3.11/site-packages")
        archive.close()
    serial = FOLDER / "serial.log"
    command = [
        emulator,
        *("-machine", "virt", "-cpu", "cortex-a72", "-smp", "2", "-m", "3072"),
        # The board's clock counts instructions, 2 ns each: a busy host makes no timeout run out.
        *("-icount", "shift=1,sleep=off", "-rtc", "clock=vm", "-accel", "tcg,thread=single"),
        *("-nodefaults", "-display", "none", "-net", "none"),
        *("-serial", f"file:{serial}", "-no-reboot", "-kernel", FOLDER / "vmlinuz"),
        *("-initrd", image),
        *("-append", "console=ttyAMA0 panic=-1 quiet loglevel=4 systemd.show_status=0"),
    ]
    try:
        status = subprocess.run(command, timeout=BOOT_S, check=False).returncode
    except subprocess.TimeoutExpired:
        status = 124
    text = serial.read_text(encoding="utf-8", errors="replace")
    return BoardRun(text, _reports(text), status)


def _reports(serial: str) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for line in serial.splitlines():
        _, mark, rest = line.partition("edgevision-check ")
        if mark:
            kind, _, value = rest.partition(" ")
            found.setdefault(kind, []).append(json.loads(value))
    return found


def _build_system() -> None:
    """Unpack Debian, its kernel and the wheels, once for these pins."""
    pins = (REPOSITORY / "constraints.txt").read_bytes()
    wanted = hashlib.sha256(pins + repr((PACKAGES, MASKED, MOSQUITTO)).encode()).hexdigest()
    stamp = FOLDER / "stamp"
    if stamp.is_file() and stamp.read_text(encoding="ascii") == wanted:
        return
    print(f"building {FOLDER}, once", file=sys.stderr)  # noqa: T201
    shutil.rmtree(FOLDER, ignore_errors=True)
    root = FOLDER / "root"
    debian = Debian("arm64", FOLDER / "apt")
    debian.unpack(PACKAGES, root)
    _unpack_kernel(debian)
    shutil.rmtree(FOLDER / "apt")
    for folder in ("doc", "i18n", "info", "locale", "man"):
        shutil.rmtree(root / "usr/share" / folder, ignore_errors=True)
    _configure(root)
    install_wheels(dependencies(), "aarch64", FOLDER / "site")
    stamp.write_text(wanted, encoding="ascii")


def _unpack_kernel(debian: Debian) -> None:
    """Take the kernel's image from the package that linux-image-arm64 stands for."""
    (name,) = (name for name in debian.dependencies(KERNEL) if name.startswith("linux-image-"))
    folder = FOLDER / "kernel"
    folder.mkdir()
    unpack_file(debian.fetch(name), folder, "./boot/vmlinuz*")
    (image,) = folder.glob("boot/vmlinuz*")
    image.rename(FOLDER / "vmlinuz")
    shutil.rmtree(folder)


def _configure(root: Path) -> None:
    """Do what the packages' scripts would do."""
    (root / "init").symlink_to("lib/systemd/systemd")
    (root / "usr/bin/sh").unlink(missing_ok=True)
    (root / "usr/bin/sh").symlink_to("bash")
    groups = (root / "usr/share/base-passwd/group.master").read_text(encoding="ascii")
    users = (root / "usr/share/base-passwd/passwd.master").read_text(encoding="ascii")
    users += "mosquitto:*:990:990::/var/lib/mosquitto:/usr/sbin/nologin\n"
    files = {
        "etc/group": groups + "mosquitto:*:990:\n",
        "etc/passwd": users,
        "etc/hostname": "board\n",
        "etc/fstab": "",
        "etc/hosts": "127.0.0.1 localhost board\n",
        "etc/machine-id": "",
        "etc/mosquitto/mosquitto.conf": MOSQUITTO,
    }
    for name, content in files.items():
        (root / name).write_text(content, encoding="ascii")
    units = root / "etc/systemd/system"
    for unit in MASKED:
        (units / unit).unlink(missing_ok=True)
        (units / unit).symlink_to("/dev/null")


def _lay_out_service(folder: Path) -> None:
    """Lay out what systemd/install.sh lays out, and the check beside it."""
    shutil.rmtree(folder, ignore_errors=True)
    venv = folder / "opt/edgevision/venv"
    site = venv / "lib/python3.11/site-packages"
    binaries = venv / "bin"
    units = folder / "etc/systemd/system"
    wanted = units / "multi-user.target.wants"
    etc = folder / "etc/edgevision"
    check = folder / "opt/check"
    for path in (site, binaries, wanted, etc, check):
        path.mkdir(parents=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run(*pip, "--no-deps", "--no-build-isolation", f"--target={site}", REPOSITORY)
    (venv / "pyvenv.cfg").write_text("home = /usr/bin\n", encoding="ascii")
    (binaries / "python").symlink_to("/usr/bin/python3.11")
    entry = binaries / "edgevision"
    entry.write_text(ENTRY, encoding="ascii")
    entry.chmod(0o755)
    (etc / "config.yaml").write_text(yaml.safe_dump(SETTINGS), encoding="utf-8")
    (etc / "mqtt_password").touch(mode=0o600)
    shutil.copy(RECORDING, etc)
    shutil.copy(REPOSITORY / "systemd/edgevision.service", units)
    (units / CHECK).write_text(CHECK_UNIT, encoding="ascii")
    for unit in ("edgevision.service", CHECK):
        (wanted / unit).symlink_to(f"../{unit}")
    (wanted / "mosquitto.service").symlink_to("/lib/systemd/system/mosquitto.service")
    shutil.copy(Path(__file__).parent / "board_check.py", check)
