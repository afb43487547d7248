"""Overrides: applied to the configuration, kept, and dropped where they no longer apply."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevision import files as files_module
from edgevision.config.overrides import FILE, MAX_OVERRIDES, Overrides, Setting, Value
from edgevision.config.settings import Config
from edgevision.errors import ConfigError

LABELS = ("Person", "Cat", "Dog")
PLAIN: dict[str, Any] = {
    "device": "porch",
    "cameras": {"yard": {"source": "0"}, "door": {"source": "rtsp://u:pw@door/1"}},
}
YARD = Setting("enabled", "yard")
SCORE = Setting("min_score")
ON, OFF = True, False


def config(**changed: Any) -> Config:
    return Config.model_validate(PLAIN | changed)


def change(
    overrides: Overrides, setting: Setting, value: Value, base: Config | None = None
) -> tuple[Config, str]:
    taken: list[Config] = []
    fault = overrides.set(base or config(), LABELS, setting, value, taken.append)
    return taken[0], fault


def written(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / FILE).read_bytes())["overrides"]
    return found


# Single settings.


def test_a_score_for_one_camera_leaves_the_others_alone(tmp_path: Path) -> None:
    new, _ = change(Overrides(tmp_path), Setting("min_score", "yard"), 0.7)
    assert new.detection_of("yard").min_score == 0.7
    assert new.detection_of("door").min_score == 0.4
    assert new.detection_of("yard").nms_iou == 0.6


def test_a_labels_score_for_one_camera_keeps_the_general_ones_of_other_labels(
    tmp_path: Path,
) -> None:
    base = config(detection={"label_min_score": {"Cat": 0.6, "Dog": 0.3}})
    new, _ = change(Overrides(tmp_path), Setting("min_score", "yard", "Cat"), 0.8, base)
    assert new.detection_of("yard").label_min_score == {"Cat": 0.8, "Dog": 0.3}
    assert new.detection_of("door").label_min_score == {"Cat": 0.6, "Dog": 0.3}


def test_a_general_score_that_changes_later_reaches_a_camera_with_one_of_its_own_label(
    tmp_path: Path,
) -> None:
    overrides = Overrides(tmp_path)
    change(overrides, Setting("min_score", "yard", "Cat"), 0.8)
    new, _ = change(overrides, Setting("min_score", None, "Dog"), 0.7)
    assert new.detection_of("yard").label_min_score == {"Cat": 0.8, "Dog": 0.7}


def test_the_rest_of_the_configuration_stays_as_it_was(tmp_path: Path) -> None:
    base = config(mqtt={"username": "board", "password": "s3cr3t"}, model="models/other")
    new, _ = change(Overrides(tmp_path), YARD, OFF, base)
    assert new.cameras["door"].source == "rtsp://u:pw@door/1"
    assert new.mqtt == base.mqtt
    assert new.model == base.model
    assert not new.cameras["yard"].enabled
    on_again = new.model_copy(update={"cameras": base.cameras})
    assert on_again == base


SETTINGS = st.one_of(
    st.tuples(
        st.builds(Setting, st.just("enabled"), st.sampled_from(["yard", "door"])), st.booleans()
    ),
    st.tuples(
        st.builds(
            Setting,
            st.just("min_score"),
            st.sampled_from([None, "yard", "door"]),
            st.sampled_from([None, *LABELS]),
        ),
        st.floats(0.01, 0.99),
    ),
)


@given(changes=st.lists(SETTINGS, max_size=8))
def test_any_changes_are_in_force_and_the_same_after_a_restart(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[Setting, Value]]
) -> None:
    folder = tmp_path_factory.mktemp("state")
    overrides, result = Overrides(folder), config()
    for setting, value in changes:
        result, fault = change(overrides, setting, value)
        assert fault == ""
    for setting, value in dict(changes).items():
        assert setting.value_in(result) == value
    assert Overrides(folder).apply(config(), LABELS) == result


def test_two_cameras_may_change_places_on_one_device(tmp_path: Path) -> None:
    cameras = {
        "a": {"source": "0"},
        "b": {"source": "/dev/video0", "enabled": False},
    }
    base = config(cameras=cameras)
    overrides = Overrides(tmp_path)
    with pytest.raises(ConfigError, match="expected one camera per device, got a and b"):
        change(overrides, Setting("enabled", "b"), ON, base)
    change(overrides, Setting("enabled", "a"), OFF, base)
    new, _ = change(overrides, Setting("enabled", "b"), ON, base)
    assert [new.cameras[name].enabled for name in "ab"] == [False, True]
    assert Overrides(tmp_path).apply(base, LABELS) == new


def test_what_is_refused_is_not_kept(tmp_path: Path) -> None:
    def refuse(_config: Config) -> None:
        msg = "no"
        raise ConfigError(msg)

    overrides = Overrides(tmp_path)
    with pytest.raises(ConfigError, match="no"):
        overrides.set(config(), LABELS, SCORE, 0.9, refuse)
    with pytest.raises(ConfigError, match="should be less than 1"):
        change(overrides, SCORE, 1.5)
    assert overrides.apply(config(), LABELS) == config()
    assert not (tmp_path / FILE).exists()


# The file.


def test_the_file_is_its_owners_alone_and_no_other_is_left_beside_it(tmp_path: Path) -> None:
    overrides = Overrides(tmp_path)
    change(overrides, YARD, OFF)
    change(overrides, SCORE, 0.5)
    assert [each.name for each in tmp_path.iterdir()] == [FILE]
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    assert written(tmp_path) == [
        {"key": "enabled", "camera": "yard", "value": False, "replaced": True},
        {"key": "min_score", "value": 0.5, "replaced": 0.4},
    ]


def test_the_value_of_the_file_ends_an_override(tmp_path: Path) -> None:
    overrides = Overrides(tmp_path)
    change(overrides, YARD, OFF)
    change(overrides, YARD, ON)
    assert written(tmp_path) == []


def test_a_value_that_was_edited_in_the_file_since_wins_for_good(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    change(Overrides(tmp_path), SCORE, 0.7)
    edited = config(detection={"min_score": 0.5})
    assert Overrides(tmp_path).apply(edited, LABELS).detection.min_score == 0.5
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith(
        "detection.min_score: the value set by a request is dropped"
    )
    assert caplog.messages[0].endswith(": the value in the file has changed since then")
    assert Overrides(tmp_path).apply(config(), LABELS).detection.min_score == 0.4


def test_another_key_that_was_edited_in_the_file_leaves_the_override(tmp_path: Path) -> None:
    change(Overrides(tmp_path), Setting("min_score", "yard"), 0.7)
    edited = config(detection={"min_score": 0.5})
    new = Overrides(tmp_path).apply(edited, LABELS)
    assert new.detection_of("yard").min_score == 0.7
    assert new.detection_of("door").min_score == 0.5


@pytest.mark.parametrize(
    ("setting", "base", "labels", "why"),
    [
        (YARD, {"cameras": {"door": {"source": "1"}}}, LABELS, "there is no camera yard"),
        (Setting("min_score", None, "Cat"), {}, ("Person",), "the model has no label 'Cat'"),
        (Setting("min_score", "yard", "Cat"), {}, ("Person",), "the model has no label 'Cat'"),
    ],
)
def test_an_override_that_no_longer_applies_is_dropped_and_logged_and_the_rest_stays(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    setting: Setting,
    base: dict[str, Any],
    labels: tuple[str, ...],
    why: str,
) -> None:
    overrides = Overrides(tmp_path)
    value: Value = False if setting.key == "enabled" else 0.5
    change(overrides, setting, value)
    change(overrides, SCORE, 0.7)
    new = Overrides(tmp_path).apply(config(**base), labels)
    assert new.detection.min_score == 0.7
    assert len(caplog.messages) == 1
    assert caplog.messages[0].endswith(why)
    assert [each["key"] for each in written(tmp_path)] == ["min_score"]


def test_a_label_with_line_breaks_is_logged_on_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    entry = {"key": "min_score", "label": "a\nb", "value": 0.5}
    (tmp_path / FILE).write_text(json.dumps({"overrides": [entry]}), encoding="utf-8")
    Overrides(tmp_path).apply(config(), LABELS)
    assert "\n" not in caplog.messages[0]


def test_a_combination_that_the_file_no_longer_allows_is_dropped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cameras = {"a": {"source": "0"}, "b": {"source": "1", "enabled": False}}
    change(
        Overrides(tmp_path),
        Setting("enabled", "b"),
        ON,
        config(cameras=cameras),
    )
    cameras["b"]["source"] = "0"
    assert Overrides(tmp_path).apply(config(cameras=cameras), LABELS) == config(cameras=cameras)
    assert "expected one camera per device" in caplog.text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"schema_version": 2, "overrides": []}',
        b'{"overrides": [{"key": "mqtt", "value": 1}]}',
        b'{"overrides": [{"key": "min_score", "value": "0.5"}]}',
        b'{"overrides": [{"key": "min_score", "value": 1.5}]}',
        b'{"overrides": [' + b" " * (1 << 20) + b"]}",
    ],
)
def test_a_damaged_file_is_ignored_with_one_log_line_and_rewritten(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    (tmp_path / FILE).write_bytes(content)
    overrides = Overrides(tmp_path)
    assert overrides.apply(config(), LABELS) == config()
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("overrides.json cannot be used (")
    assert "\n" not in caplog.messages[0]
    change(overrides, SCORE, 0.5)
    assert Overrides(tmp_path).apply(config(), LABELS).detection.min_score == 0.5


@pytest.mark.parametrize("kind", ["fifo", "folder", "link"])
def test_what_is_no_file_is_ignored_and_does_not_hang(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    path = tmp_path / FILE
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    assert Overrides(tmp_path).apply(config(), LABELS) == config()
    assert "cannot be used" in caplog.text


def test_if_nothing_can_be_written_a_change_is_in_force_and_the_fault_is_returned(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "file"
    folder.touch()
    overrides = Overrides(folder)
    new, fault = change(overrides, SCORE, 0.7)
    assert new.detection.min_score == 0.7
    assert "cannot be written" in fault
    newer, _ = change(overrides, YARD, OFF)
    assert newer.detection.min_score == 0.7
    folder.unlink()
    folder.mkdir()
    _, fault = change(overrides, Setting("enabled", "door"), OFF)
    assert fault == ""
    assert len(written(folder)) == 3


def test_a_write_that_breaks_off_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = Overrides(tmp_path)
    change(overrides, SCORE, 0.7)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files_module.os, "fsync", full)
    _, fault = change(overrides, SCORE, 0.8)
    assert fault.endswith("(No space left on device)")
    assert Overrides(tmp_path).apply(config(), LABELS).detection.min_score == 0.7


def test_more_than_1000_changes_are_refused(tmp_path: Path) -> None:
    labels = [f"label {n}" for n in range(MAX_OVERRIDES)]
    entries = [
        {"key": "min_score", "label": label, "value": 0.5, "replaced": None} for label in labels
    ]
    (tmp_path / FILE).write_text(json.dumps({"overrides": entries}), encoding="utf-8")
    overrides = Overrides(tmp_path)
    with pytest.raises(ConfigError, match="expected at most 1000 settings changed by requests"):
        overrides.set(config(), labels, SCORE, 0.5, lambda _config: None)
    new = overrides.apply(config(), labels)
    assert new.detection.label_min_score["label 999"] == 0.5
