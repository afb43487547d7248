"""Tests under a real systemd; they take minutes and root: make test-systemd."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from brokers import Listener
from systemd.box.machine import Box, NotPermittedError
from systemd.box.packages import download_packages
from systemd.box.service import Probe, Service, put_files

ASKED = "SYSTEMD_BOX" in os.environ
collect_ignore_glob = [] if ASKED else ["test_*.py"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not ASKED:
        terminalreporter.write_line("tests/systemd/box boots a systemd: make test-systemd")


@pytest.fixture(scope="session")
def box(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    wheels = download_packages()
    try:
        with Box(tmp_path_factory.mktemp("box")) as running:
            put_files(running, repository, wheels)
            yield running
    except NotPermittedError as error:
        pytest.skip(str(error))


@pytest.fixture
def installed(box: Box) -> Service:
    """The service, installed by install.sh, in the state that an earlier test left."""
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
    installed.systemctl("stop", "edgevision", check=False)  # the test may have removed it
    installed.drop_in("")


@pytest.fixture
def listener(service: Service) -> Iterator[Listener]:
    client = service.listen()
    yield client
    client.close()


@pytest.fixture
def probe(service: Service) -> Probe:
    return Probe(service)
