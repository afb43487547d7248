from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from edgevision.daemon.watchdog import SystemdNotifier

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def notify_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "notify"))
        server.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield server


def test_each_state_arrives_as_systemd_expects_it(notify_socket: socket.socket) -> None:
    notifier = SystemdNotifier()
    notifier.ready()
    notifier.alive()
    notifier.status("1 of 2 cameras online")
    notifier.stopping()
    received = [notify_socket.recv(1024) for _ in range(4)]
    assert received == [b"READY=1", b"WATCHDOG=1", b"STATUS=1 of 2 cameras online", b"STOPPING=1"]


def test_an_abstract_socket_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"edgevision-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(f"\0{name}")
        server.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        SystemdNotifier().ready()
        assert server.recv(64) == b"READY=1"


def test_without_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    SystemdNotifier().ready()


def test_a_socket_that_has_gone_is_no_fault(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    SystemdNotifier().alive()
