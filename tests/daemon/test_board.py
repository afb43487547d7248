from __future__ import annotations

from typing import TYPE_CHECKING

from edgevision.daemon.metrics import Board, read_temperature_c, read_throttled

if TYPE_CHECKING:
    from pathlib import Path


def test_a_thermal_zone_of_48312_reads_48_312_degrees(tmp_path: Path) -> None:
    (tmp_path / "temp").write_text("48312\n", encoding="ascii")
    assert read_temperature_c(tmp_path / "temp") == 48.312


def test_a_board_without_a_sensor_has_no_temperature(tmp_path: Path) -> None:
    assert read_temperature_c(tmp_path / "absent") is None


def test_throttling_50005_names_under_voltage_and_throttling_now_and_since_boot(
    tmp_path: Path,
) -> None:
    (tmp_path / "get_throttled").write_text("50005\n", encoding="ascii")
    assert read_throttled(tmp_path / "get_throttled") == (
        "under-voltage now",
        "throttled now",
        "under-voltage since boot",
        "throttled since boot",
    )


def test_throttling_0_is_an_empty_list_and_no_file_is_none(tmp_path: Path) -> None:
    (tmp_path / "get_throttled").write_text("0", encoding="ascii")
    assert read_throttled(tmp_path / "get_throttled") == ()
    assert read_throttled(tmp_path / "absent") is None


def test_a_look_at_this_machine_gives_plausible_figures() -> None:
    reading = Board().read()
    assert 0 < reading.memory_percent < 100
    assert reading.process_memory_bytes > 1 << 20
