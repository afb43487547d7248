"""Paths to something other than a file: every command reports it immediately, none hangs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from daemons import run_command, settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FIFO: Callable[[Path], object] = os.mkfifo
ENDLESS: Callable[[Path], object] = lambda path: path.symlink_to("/dev/zero")  # noqa: E731
FOLDER: Callable[[Path], object] = lambda path: path.mkdir()  # noqa: E731
KINDS = pytest.mark.parametrize("make", [FIFO, ENDLESS, FOLDER], ids=["FIFO", "endless", "folder"])


def written(folder: Path, config: dict[str, Any]) -> str:
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return str(path)


@KINDS
def test_a_configuration_that_is_no_file_is_refused(
    tmp_path: Path, make: Callable[[Path], object]
) -> None:
    make(tmp_path / "odd")
    done = run_command("check-config", str(tmp_path / "odd"))
    assert done.returncode == 78
    assert done.stderr.startswith(f"edgevision: {tmp_path}/odd: cannot be read (")
    assert done.stderr.count("\n") == 1


@KINDS
@pytest.mark.parametrize("key", ["password_file", "ca_file"])
def test_a_secret_or_certificate_that_is_no_file_is_refused(
    tmp_path: Path, make: Callable[[Path], object], key: str
) -> None:
    make(tmp_path / "odd")
    mqtt = {"tls": {"ca_file": "odd"}} if key == "ca_file" else {"username": "u", key: "odd"}
    done = run_command("check-config", written(tmp_path, settings(1, mqtt=mqtt)))
    assert done.returncode == 78
    assert f"{key}: expected a readable" in done.stderr
    assert done.stderr.count("\n") == 1


@KINDS
def test_a_model_that_is_no_folder_of_files_is_refused(
    tmp_path: Path, make: Callable[[Path], object]
) -> None:
    make(tmp_path / "odd")
    (tmp_path / "model").mkdir()
    make(tmp_path / "model" / "card.json")
    for model in ("odd", "model"):
        done = run_command("check-config", written(tmp_path, settings(1, model=model)))
        assert done.returncode == 65
        assert "expected a model folder with a card.json" in done.stderr
        assert done.stderr.count("\n") == 1


@KINDS
def test_a_recording_that_is_no_file_is_refused(
    tmp_path: Path, make: Callable[[Path], object]
) -> None:
    make(tmp_path / "odd.avi")
    done = run_command("replay", str(tmp_path / "odd.avi"))
    assert done.returncode == 66
    assert done.stderr.count("\n") == 1


@KINDS
def test_an_image_that_is_no_file_is_refused(
    tmp_path: Path, make: Callable[[Path], object]
) -> None:
    make(tmp_path / "odd.png")
    done = run_command("detect", str(tmp_path / "odd.png"))
    assert done.returncode == 66
    assert done.stderr.count("\n") == 1


@KINDS
def test_weights_that_are_no_file_are_refused(
    tmp_path: Path, make: Callable[[Path], object]
) -> None:
    make(tmp_path / "odd.npz")
    arguments = ["--size", "64", "--classes", "2", "--weights", str(tmp_path / "odd.npz")]
    done = run_command("model", "build", "mobilenet_v1", *arguments)
    assert done.returncode != 0
    assert "odd.npz: cannot be read (" in done.stderr


def test_an_endless_device_as_a_camera_is_no_camera() -> None:
    done = run_command("demo", "--source", "/dev/zero")
    assert done.returncode == 66
    assert "/dev/zero" in done.stderr
