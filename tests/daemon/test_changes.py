from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgevision.config.settings import Config
from edgevision.daemon.runtime import Changes, changes_between
from edgevision.errors import ConfigError

OLD: dict[str, Any] = {
    "device": "porch",
    "cameras": {"yard": {"source": "0"}, "door": {"source": "rtsp://door/1"}},
}
NOTHING = Changes(engine=False, uplink=False, cameras=frozenset())


def changes(**new: Any) -> Changes:
    return changes_between(Config.model_validate(OLD), Config.model_validate(OLD | new))


def test_the_same_configuration_changes_nothing() -> None:
    assert changes() == NOTHING


@pytest.mark.parametrize("new", [{"runtime": {"threads": 2}}, {"backend": "numpy"}])
def test_the_network_is_loaded_again_for_what_it_depends_on(new: dict[str, Any]) -> None:
    assert changes(**new) == Changes(engine=True, uplink=False, cameras=frozenset())


@pytest.mark.parametrize(
    "new",
    [
        {"mqtt": {"port": 1884}},
        {"device": "attic"},
        {"outbox": {"max_rows": 500}},
        {"control": {"enabled": False}},
    ],
)
def test_the_connection_is_made_again_for_what_it_depends_on(new: dict[str, Any]) -> None:
    assert changes(**new) == Changes(engine=False, uplink=True, cameras=frozenset())


@pytest.mark.parametrize(
    "new",
    [
        {"detection": {"min_score": 0.5}},
        {"metrics": {"interval_s": 1.0}},
        {"cameras": {**OLD["cameras"], "yard": {"source": "0", "detection": {"min_score": 0.5}}}},
    ],
)
def test_scores_and_intervals_disturb_no_camera_and_no_connection(new: dict[str, Any]) -> None:
    assert changes(**new) == NOTHING


@pytest.mark.parametrize(
    ("cameras", "named"),
    [
        ({**OLD["cameras"], "attic": {"source": "1"}}, {"attic"}),
        ({"yard": OLD["cameras"]["yard"]}, {"door"}),
        ({**OLD["cameras"], "yard": {"source": "0", "rotation": 90}}, {"yard"}),
        ({**OLD["cameras"], "yard": {"source": "0", "enabled": False}}, {"yard"}),
    ],
)
def test_only_cameras_that_are_new_gone_or_read_differently_are_named(
    cameras: dict[str, Any], named: set[str]
) -> None:
    assert changes(cameras=cameras) == Changes(engine=False, uplink=False, cameras=frozenset(named))


def test_another_state_folder_takes_a_restart(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"state_folder: expected no change"):
        changes(state_folder=str(tmp_path))
