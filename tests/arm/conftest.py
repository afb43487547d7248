"""Emulated ARM. Each file takes minutes, so it runs only where it is named: `make test-arm`."""

from __future__ import annotations

from collections.abc import Generator

import pytest
from arm.debian import EmulationError

collect_ignore_glob = ["test_*.py"]


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup() -> Generator[None, object, object]:
    """Say in one line what emulation lacks."""
    try:
        return (yield)
    except EmulationError as error:
        pytest.exit(f"edgevision: {error}", returncode=1)
