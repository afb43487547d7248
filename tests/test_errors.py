from __future__ import annotations

from inspect import getmembers, isclass

import pytest

from edgevision import errors
from edgevision.errors import ConfigError, EdgevisionError, MissingExtraError

CLASSES = [
    found
    for _, found in getmembers(errors, isclass)
    if issubclass(found, EdgevisionError) and found is not EdgevisionError
]


def test_only_a_bad_configuration_has_exit_status_78_that_keeps_systemd_from_restarting() -> None:
    faults = [error for error in CLASSES if error.exit_status == 78]
    assert all(issubclass(error, ConfigError) for error in faults)
    assert ConfigError in faults


@pytest.mark.parametrize("error", CLASSES, ids=lambda error: error.__name__)
def test_an_error_has_an_exit_status_of_its_own_or_that_of_its_parent(
    error: type[EdgevisionError],
) -> None:
    others = {
        other.exit_status
        for other in CLASSES
        if "exit_status" in vars(other) and not issubclass(error, other)
    }
    assert error.exit_status not in others | {0, 1}


def test_config_error_keeps_2_faults_on_2_lines() -> None:
    error = ConfigError("config.yaml:1: a", "config.yaml:2: b")
    assert error.faults == ("config.yaml:1: a", "config.yaml:2: b")
    assert str(error) == "config.yaml:1: a\nconfig.yaml:2: b"


def test_missing_extra_says_what_to_install() -> None:
    error = MissingExtraError(command="edgevision demo", extra="demo", missing="iotcore")
    assert str(error) == (
        "edgevision demo needs the package iotcore, which is not installed: "
        'in the checkout: pip install ".[demo]"'
    )
