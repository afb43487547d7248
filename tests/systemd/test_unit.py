"""The unit file and the install script, without a running systemd."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from edgevision.errors import ConfigError

FOLDER = Path(__file__).parents[2] / "systemd"
UNIT = FOLDER / "edgevision.service"
SCRIPTS = [*sorted(FOLDER.glob("*.sh")), Path(__file__).parent / "box" / "boot.sh"]

analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


def settings(key: str) -> list[str]:
    """Return the values of every line of the unit that sets this key."""
    return re.findall(rf"^{key}=(.*)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE)


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


@analyze
def test_systemd_understands_every_line_of_the_unit(tmp_path: Path) -> None:
    # The program is not installed where the tests run, and that is not what is asked here.
    copy = tmp_path / UNIT.name
    text = UNIT.read_text(encoding="utf-8")
    copy.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.MULTILINE))
    done = run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", copy)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@analyze
def test_unit_is_exposed_at_most_1_5_out_of_10() -> None:
    done = run("systemd-analyze", "security", "--offline=true", "--threshold=15", UNIT)
    assert done.returncode == 0, done.stdout


@analyze
def test_unit_is_exposed_at_most_1_5_with_csi_cameras_too(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    csi = (FOLDER / "csi.conf").read_text(encoding="utf-8")
    unit.write_text(f"{UNIT.read_text(encoding='utf-8')}\n{csi}", encoding="utf-8")
    done = run("systemd-analyze", "security", "--offline=true", "--threshold=15", unit)
    assert done.returncode == 0, done.stdout


def test_bad_configuration_is_the_one_status_that_is_not_restarted() -> None:
    assert settings("RestartPreventExitStatus") == [str(ConfigError.exit_status)]
    assert settings("Restart") == ["always"]


def test_unit_runs_what_install_sh_installs() -> None:
    script = (FOLDER / "install.sh").read_text(encoding="utf-8")
    (start,) = settings("ExecStart")
    assert start == "/opt/edgevision/venv/bin/edgevision run --config /etc/edgevision/config.yaml"
    assert "opt=/opt/edgevision\n" in script
    assert "etc=/etc/edgevision\n" in script


def test_a_reload_is_a_sighup_to_the_daemon() -> None:
    assert settings("ExecReload") == ["kill -HUP $MAINPID"]


def test_onnx_runtime_is_told_to_report_nothing_before_it_is_imported() -> None:
    assert "ORT_DISABLE_TELEMETRY=1" in settings("Environment")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_script_is_executable_and_parses(script: Path) -> None:
    assert os.access(script, os.X_OK)
    done = run("sh", "-n", script)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_finds_nothing_in_the_scripts() -> None:
    done = run("shellcheck", *SCRIPTS)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("arguments", [[], ["--remove"], ["--remove", "--purge"]])
def test_install_sh_without_root_says_what_it_needs_in_one_line(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    somebody = tmp_path / "id"
    somebody.write_text("#!/bin/sh\necho 1000\n", encoding="ascii")
    somebody.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    done = run(FOLDER / "install.sh", *arguments)
    command = " ".join(["sudo", str(FOLDER / "install.sh"), *arguments])
    line = f"edgevision: installing a service needs root: {command}\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", line)


@pytest.mark.parametrize("arguments", [["--purge"], ["--upgrade"], ["--remove", "now"]])
def test_install_sh_refuses_arguments_that_it_does_not_know(arguments: list[str]) -> None:
    done = run(FOLDER / "install.sh", *arguments)
    expected = "edgevision: expected no argument, --remove or --remove --purge, got: "
    assert (done.returncode, done.stderr) == (2, f"{expected}{' '.join(arguments)}\n")


def on_32_bit(folder: Path, monkeypatch: pytest.MonkeyPatch, kernel: str) -> None:
    """Put programs first in PATH that answer as on 32-bit ARM, for a user without sudo."""
    answers = {
        "getconf": "echo 32",
        "uname": f"echo {kernel}",
        "id": "echo 1000",
        "sudo": "exit 1",
        "setarch": 'echo "$@"',
        "python": "case $* in *cv2*) exit 1 ;; esac",
    }
    for name, answer in answers.items():
        program = folder / name
        program.write_text(f"#!/bin/sh\n{answer}\n", encoding="ascii")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.setenv("PYTHON", str(folder / "python"))


def test_venv_sh_on_32_bit_says_which_of_debians_packages_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_32_bit(tmp_path, monkeypatch, "armv7l")
    done = run(FOLDER / "venv.sh", tmp_path / "venv")
    packages = "python3-numpy python3-opencv python3-psutil python3-yaml libopenblas0-pthread"
    expected = f"edgevision: 32-bit Python lacks packages: apt-get install {packages}, then try "
    assert (done.returncode, done.stderr) == (1, f"{expected}again\n")


def test_venv_sh_on_32_bit_under_a_64_bit_kernel_makes_the_kernel_say_32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_32_bit(tmp_path, monkeypatch, "aarch64")
    done = run(FOLDER / "venv.sh", tmp_path / "venv", "demo")
    assert done.stdout == f"linux32 {FOLDER / 'venv.sh'} {tmp_path / 'venv'} demo\n"
