"""install.sh on a separate system: first installation, upgrades, failures, removal."""

from __future__ import annotations

from pathlib import Path

import pytest
from brokers import wait_until
from systemd.box.machine import Box
from systemd.box.service import CHECKOUT, CONFIG, PASSWORD_FILE, Service, put_checkout

BAD_CONFIGURATION = "cameras: {yard: {source: 0, colour: true}}\n"


def versions(box: Box) -> list[str]:
    """Return the installed versions' folders."""
    return box.run(
        "find", "/opt/edgevision", "-maxdepth", "1", "-type", "d", "-name", "venv-*"
    ).stdout.split()


def break_program(box: Box, checkout: str) -> None:
    """Let the service fail as it starts, but not `check-config`."""
    file = f"{checkout}/edgevision/daemon/daemon.py"
    box.write(file, box.read(file) + "\nraise OSError('broken on purpose')\n")


@pytest.fixture
def running(service: Service) -> Service:
    service.systemctl("start", "edgevision")
    return service


@pytest.fixture
def other_checkout(box: Box, repository: Path) -> str:
    """A second checkout, to be changed by the test."""
    put_checkout(box, repository, "/srv/other")
    return "/srv/other"


def test_a_first_installation_runs_and_says_what_to_do_next(box: Box) -> None:
    service = Service(box)
    if service.installed:
        service.install("--remove", "--purge")
    done = service.install()
    assert done.returncode == 0, done.stderr
    assert "is running and starts at boot. Next:" in done.stdout
    assert done.stdout.endswith("  log                 journalctl --unit edgevision --follow\n")
    assert service.show("ActiveState") == "active"
    assert service.show("UnitFileState") == "enabled"
    assert service.box.read(CONFIG) == service.box.read(f"{CHECKOUT}/config.yaml")
    assert box.run("stat", "-c", "%a %U", PASSWORD_FILE).stdout == "600 root\n"
    (version,) = versions(box)
    assert box.run("readlink", "/opt/edgevision/venv").stdout.strip() == version
    assert (
        f"edgevision: {box.run('edgevision', '--version').stdout.strip()} is running" in done.stdout
    )
    # There is no camera and no broker yet; neither keeps the service from running.
    words = "0 of 1 cameras online (camera offline), trying to reach 127.0.0.1:1883"
    wait_until(lambda: service.show("StatusText").startswith(words))


def test_an_upgrade_runs_the_new_version_and_keeps_settings_byte_for_byte(
    running: Service, other_checkout: str
) -> None:
    box = running.box
    settings = "# mine, ümläut and all\r\n" + box.read(CONFIG)
    box.write(CONFIG, settings, mode=0o640)
    box.run("chgrp", "video", CONFIG)
    former, pid, password = versions(box), running.pid, box.read(PASSWORD_FILE)
    file = f"{other_checkout}/edgevision/__init__.py"
    box.run("sed", "-i", 's/^__version__ = .*/__version__ = "9.9.9"/', file)
    done = running.install(checkout=other_checkout)
    assert done.returncode == 0, done.stderr
    assert box.run("edgevision", "--version").stdout == "9.9.9\n"
    assert running.show("ActiveState") == "active"
    assert running.pid != pid
    assert len(versions(box)) == 1
    assert versions(box) != former
    assert (box.read(CONFIG), box.read(PASSWORD_FILE)) == (settings, password)
    assert box.run("stat", "-c", "%a %G", CONFIG).stdout == "640 video\n"


def test_an_upgrade_that_does_not_start_leaves_the_former_version_running(
    running: Service, other_checkout: str
) -> None:
    box = running.box
    former, unit = versions(box), box.read("/etc/systemd/system/edgevision.service")
    break_program(box, other_checkout)
    box.run(
        "sed",
        "-i",
        "s/^Description=.*/Description=broken/",
        f"{other_checkout}/systemd/edgevision.service",
    )
    done = running.install(checkout=other_checkout)
    assert done.returncode == 1
    assert "broken on purpose" in done.stderr
    assert done.stderr.splitlines()[-1] == (
        "edgevision: the new version does not start (see its log above); "
        "the previous one runs again"
    )
    assert running.show("ActiveState") == "active"
    assert versions(box) == former
    assert box.read("/etc/systemd/system/edgevision.service") == unit
    assert running.show("Description") != "broken"


def test_an_upgrade_without_its_packages_touches_nothing(running: Service) -> None:
    former, pid = versions(running.box), running.pid
    done = running.install(PIP_FIND_LINKS="/nowhere")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "edgevision: the packages cannot be installed; see above"
    )
    assert (running.pid, versions(running.box)) == (pid, former)


def test_an_upgrade_under_a_bad_configuration_touches_nothing_and_says_what_to_mend(
    running: Service,
) -> None:
    box = running.box
    former, pid = versions(box), running.pid
    box.write(CONFIG, BAD_CONFIGURATION)
    done = running.install()
    assert done.returncode == 78
    assert "colour" in done.stderr
    assert done.stderr.splitlines()[-1] == (
        "edgevision: nothing was installed; fix the faults above, then: "
        f"sudo {CHECKOUT}/systemd/install.sh"
    )
    assert (running.pid, versions(box), box.read(CONFIG)) == (pid, former, BAD_CONFIGURATION)


def test_a_first_installation_that_does_not_start_is_stopped(
    installed: Service, other_checkout: str
) -> None:
    installed.install("--remove", "--purge")
    box = installed.box
    break_program(box, other_checkout)
    done = installed.install(checkout=other_checkout)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "edgevision: the service does not start (see its log above), so it was stopped"
    )
    assert installed.show("ActiveState") == "inactive"
    assert installed.show("UnitFileState") == "disabled"
    installed.install("--remove")


def test_a_32_bit_system_without_debians_packages_is_told_which_and_keeps_what_runs(
    installed: Service,
) -> None:
    box = installed.box
    before = versions(box)
    box.write("/srv/bits/getconf", "#!/bin/sh\necho 32\n", mode=0o755)
    done = installed.install(PATH="/srv/bits:/usr/sbin:/usr/bin:/sbin:/bin")
    assert done.returncode == 1
    assert "32-bit Python lacks packages: apt-get install python3-numpy" in done.stderr
    assert versions(box) == before


def test_removal_keeps_settings_and_purge_deletes_them(running: Service) -> None:
    box = running.box
    settings = box.read(CONFIG)
    done = running.install("--remove")
    assert done.returncode == 0, done.stderr
    assert box.read(CONFIG) == settings
    gone = [
        "/opt/edgevision",
        "/etc/systemd/system/edgevision.service",
        "/usr/local/bin/edgevision",
    ]
    kept = ["/etc/edgevision", "/var/lib/private/edgevision"]
    for path in gone:
        assert not (box.root / path.lstrip("/")).exists(), path
    for path in kept:
        assert (box.root / path.lstrip("/")).exists(), path
    assert running.show("LoadState") in {"not-found", "loaded"}
    done = running.install("--remove", "--purge")
    assert done.returncode == 0, done.stderr
    for path in [*gone, *kept, "/var/lib/edgevision"]:
        assert not (box.root / path.lstrip("/")).is_symlink(), path
        assert not (box.root / path.lstrip("/")).exists(), path
