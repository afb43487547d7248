from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from edgevision.clock import NS_PER_S
from edgevision.events import CameraState
from edgevision.frames import CameraMetrics, FrameResult, StageLatency
from edgevision.pipeline.frame_metrics import CameraMeter

if TYPE_CHECKING:
    from edgevision.capture.reader import CameraReader
    from edgevision.events import Status

AT = datetime(2026, 1, 1, tzinfo=UTC)


def _reader(status: Status = "online") -> CameraReader:
    """Return what a meter reads of a reader."""
    state = CameraState(status, "", AT)
    counts = {"captured": 9, "unusable": 2, "overwritten": 1, "reconnects": 3}
    return cast("CameraReader", SimpleNamespace(name="yard", state=lambda: state, **counts))


def _result(captured_ns: int, total_ms: float = 10.0) -> FrameResult:
    latency = StageLatency(
        capture=1, preprocess=1, inference=6, decode=1, tracking=1, total=total_ms
    )
    return FrameResult("yard", 0, AT, captured_ns, (640, 480), latency, ())


def _metrics(meter: CameraMeter, now_s: float, status: Status = "online") -> CameraMetrics:
    reader = _reader(status)
    return meter.metrics(reader, overwritten=4, at=AT, now_ns=int(now_s * NS_PER_S))


def test_five_results_in_0_4_s_are_10_fps() -> None:
    meter = CameraMeter(window_s=5)
    for index in range(5):
        now_ns = index * NS_PER_S // 10
        meter.captured(now_ns)
        meter.inferred(_result(now_ns), now_ns, published=True)
    message = _metrics(meter, 0.4)
    assert (message.capture_fps, message.inference_fps, message.publish_fps) == (10, 10, 10)


def test_a_camera_without_frames_reads_0_fps_once_the_window_has_passed() -> None:
    meter = CameraMeter(window_s=5)
    for index in range(5):
        meter.captured(index * NS_PER_S // 10)
    assert _metrics(meter, 5.5).capture_fps == 0.0


@pytest.mark.parametrize("status", ["offline", "stalled", "disabled"])
def test_a_camera_that_delivers_nothing_reads_0_fps_at_once(status: Status) -> None:
    meter = CameraMeter(window_s=5)
    for index in range(5):
        now_ns = index * NS_PER_S // 10
        meter.captured(now_ns)
        meter.inferred(_result(now_ns), now_ns, published=True)
    message = _metrics(meter, 0.4, status)
    assert (message.capture_fps, message.inference_fps, message.publish_fps) == (0, 0, 0)


@pytest.mark.parametrize("status", ["online", "frozen", "black"])
def test_a_frozen_or_black_camera_keeps_its_rates(status: Status) -> None:
    meter = CameraMeter(window_s=5)
    for index in range(5):
        meter.captured(index * NS_PER_S // 10)
    assert _metrics(meter, 0.4, status).capture_fps == 10


def test_frames_that_the_capture_worker_overwrote_count_in_the_capture_rate() -> None:
    meter = CameraMeter(window_s=5)
    for sequence in (0, 3, 6, 9, 12):  # two of three were overwritten
        meter.captured(sequence * NS_PER_S // 100, sequence)
    assert _metrics(meter, 0.12).capture_fps == 100


def test_every_frame_is_accounted_for() -> None:
    meter = CameraMeter(window_s=5)
    meter.inferred(_result(0), NS_PER_S, published=True)
    meter.inferred(_result(0), NS_PER_S, published=False)
    meter.failed()
    frames = _metrics(meter, 1).frames
    assert frames.captured == 9
    assert frames.inferred == 2
    assert frames.published == 1
    assert frames.unpublished == 1
    assert frames.overwritten == 4 + 1
    assert frames.unusable == 2 + 1


def test_capture_to_publish_runs_until_the_message_was_handed_over() -> None:
    meter = CameraMeter(window_s=5)
    meter.inferred(_result(0), NS_PER_S // 50, published=True)
    latency = _metrics(meter, 1).latency_ms
    assert latency is not None
    assert latency["capture_to_publish"].p50 == 20.0
    assert latency["total"].p99 == 10.0


def test_there_are_no_latencies_without_frames() -> None:
    assert _metrics(CameraMeter(window_s=5), 1).latency_ms is None
