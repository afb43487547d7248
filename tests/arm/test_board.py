"""The service on a whole emulated board with a Cortex-A72: `make test-board`."""

from __future__ import annotations

from typing import Any

import pytest
from arm.board import BoardRun, run_board
from arm.replays import golden_detections

FRAMES = 160


@pytest.fixture(scope="module")
def board() -> BoardRun:
    run = run_board()
    assert "edgevision-check boot_s" in run.serial, run.serial[-4000:]
    return run


@pytest.fixture(scope="module")
def messages(board: BoardRun) -> list[tuple[str, dict[str, Any]]]:
    """What a subscriber on the board received, in order."""
    return [(topic.removeprefix("edgevision/board/"), message) for topic, message in board.messages]


def test_the_board_boots_and_switches_itself_off(board: BoardRun) -> None:
    assert board.exit_status == 0
    assert "reboot: Power down" in board.serial
    assert board.reports["failed"] == [[]]


def test_systemd_has_the_service_as_ready_and_watched_and_never_restarted_it(
    board: BoardRun,
) -> None:
    (running,) = board.reports["running"]
    expected = {
        "ActiveState": "active",
        "SubState": "running",
        "Type": "notify",
        "NRestarts": "0",
        "Result": "success",
        "WatchdogUSec": "30s",
    }
    assert expected.items() <= running.items()


def test_detections_of_the_recording_are_published_and_are_the_golden_ones(
    messages: list[tuple[str, dict[str, Any]]],
) -> None:
    golden = golden_detections()
    found = [message for topic, message in messages if topic == "camera/detections"]
    assert len(found) >= 8
    for message in found:
        assert message["detections"] == golden[message["frame"] % FRAMES]["detections"]


def test_a_cat_a_person_and_a_coffee_cup_are_seen(
    messages: list[tuple[str, dict[str, Any]]],
) -> None:
    labels = {
        detection["label"]
        for topic, message in messages
        if topic == "camera/detections"
        for detection in message["detections"]
    }
    assert {"Cat", "Person", "Coffee cup"} <= labels


def test_the_engine_that_is_published_is_onnx_runtime(
    messages: list[tuple[str, dict[str, Any]]],
) -> None:
    assert {message["backend"] for topic, message in messages if topic == "status"} == {
        "onnxruntime"
    }


def test_stopping_it_publishes_offline_last_and_is_a_success(
    board: BoardRun, messages: list[tuple[str, dict[str, Any]]]
) -> None:
    topic, last = messages[-1]
    assert (topic, last["status"]) == ("status", "offline")
    (stopped,) = board.reports["stopped"]
    assert (stopped["ActiveState"], stopped["Result"]) == ("inactive", "success")
