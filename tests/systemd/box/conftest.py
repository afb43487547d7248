"""Tests under a real systemd; they take minutes and root: make test-systemd."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from brokers import Listener
from systemd.box.machine import Box, NotPermittedError
from systemd.box.service import Probe, Service, put_files

SYSTEM_PYTHON = "/usr/bin/python3"


@pytest.fixture(scope="session")
def box(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    if "BOX" not in os.environ:
        pytest.skip("boots a systemd: make test-systemd")
    wheels = download_packages(repository)
    try:
        with Box(tmp_path_factory.mktemp("box")) as running:
            put_files(running, repository, wheels)
            yield running
    except NotPermittedError as error:
        pytest.skip(str(error))


@pytest.fixture
def installed(box: Box) -> Service:
    """The service, installed by install.sh; as an earlier test has left it."""
    service = Service(box)
    if not service.installed:
        done = service.install()
        assert done.returncode == 0, done.stdout + done.stderr
    return service


@pytest.fixture
def service(installed: Service) -> Iterator[Service]:
    """The service with one camera and a broker, not started yet."""
    installed.set_up()
    yield installed
    installed.systemctl("stop", "edgevision")
    installed.drop_in("")


@pytest.fixture
def listener(service: Service) -> Iterator[Listener]:
    client = service.listen()
    yield client
    client.close()


@pytest.fixture
def probe(service: Service) -> Probe:
    return Probe(service)


def download_packages(repository: Path) -> Path:
    """Fetch the pinned packages for the system's Python, once; return their folder."""
    pins = [repository / "constraints.txt", repository / "pyproject.toml"]
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in pins)).hexdigest()[:12]
    folder = repository / ".cache" / f"wheels-{digest}"
    if folder.exists():
        return folder
    tree = tomllib.loads(pins[1].read_text(encoding="utf-8"))
    wanted = ["pip", *tree["build-system"]["requires"], "editables"]
    wanted += tree["project"]["dependencies"]
    unfinished = folder.with_suffix(".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "--python", SYSTEM_PYTHON, "download", "--quiet"]
    subprocess.run(
        [*command, "--only-binary=:all:", "-d", unfinished, "-c", pins[0], *wanted], check=True
    )
    return unfinished.rename(folder)
