from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from edgevision.config.mqtt import MqttConfig

TESTS = Path(__file__).parents[1]


def namespace() -> list[str]:
    """Return the command that gives a process a network of its own."""
    return ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--net", "--map-root-user"]


def can_have_a_network_of_its_own() -> bool:
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return False
    done = subprocess.run([*namespace(), "ip", "link"], check=False, capture_output=True)
    return done.returncode == 0


@pytest.mark.skipif(
    not can_have_a_network_of_its_own(),
    reason="needs the right to make a network namespace, unshare and ip (iproute2)",
)
def test_plain_text_to_an_address_that_is_not_loopback_works_when_asked_for(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [*namespace(), sys.executable, str(TESTS / "mqtt" / "other_machine.py"), tmp_path],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"PYTHONPATH": str(TESTS)},
    )
    assert done.stdout == "10.77.0.1:1883 acknowledged\n", done.stderr


@pytest.mark.parametrize(
    "host",
    ["10.77.0.1", "localhost.", "ip6-localhost", "127.1", "::ffff:10.0.0.1", "fe80::1", "::"],
)
def test_plain_text_is_refused_to_whatever_is_not_surely_this_machine(host: str) -> None:
    with pytest.raises(ValidationError, match="expected tls for a broker on another machine"):
        MqttConfig(host=host)
    assert MqttConfig(host=host, allow_plaintext=True).tls is None


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "LOCALHOST"])
def test_plain_text_to_this_machine_needs_no_leave(host: str) -> None:
    assert MqttConfig(host=host).tls is None
