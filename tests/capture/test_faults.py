"""Live cameras that fail in every way, read as the daemon reads them."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import psutil
from capture.cameras import Behaviour, MjpegCamera
from capture.sources import wait_until

from edgevision.capture.reader import STOPPED, CameraReader
from edgevision.capture.worker_client import CameraWorker, open_request
from edgevision.clock import NS_PER_S, SystemClock
from edgevision.config.camera import CameraConfig
from edgevision.pipeline.threads import FrameSlots

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edgevision.frames import Frame

STALL_S = 1.0


class LiveReading:
    """A reader of a live camera whose worker may take its time to start, and what it delivered."""

    def __init__(self, url: str, deliver: Callable[[Frame], None] | None, **settings: Any) -> None:
        self.arrivals_ns: list[int] = []
        self.workers: list[CameraWorker] = []
        self._then = deliver
        plain = {"stall_after_s": STALL_S, "frozen_after_s": None, "black_after_s": None}
        self.camera = CameraConfig.model_validate({"source": url, **plain, **settings})
        self.reader = CameraReader(
            "yard",
            self.camera,
            deliver=self._deliver,
            clock=SystemClock(),
            opener=self._open,
            first_pause_s=0.05,
        )

    def _open(self, camera: CameraConfig) -> CameraWorker:
        request = replace(open_request(camera), open_timeout_s=20)
        self.workers.append(CameraWorker(request, open_deadline_s=60, read_grace_s=0.5))
        return self.workers[-1]

    def _deliver(self, frame: Frame) -> None:
        self.arrivals_ns.append(frame.captured_ns)
        if self._then is not None:
            self._then(frame)

    @property
    def status(self) -> str:
        return self.reader.state().status

    @property
    def fault(self) -> str | None:
        return self.reader.state().fault

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.workers[-1].pid, number)


@contextmanager
def live(
    url: str, deliver: Callable[[Frame], None] | None = None, **settings: Any
) -> Iterator[LiveReading]:
    reading = LiveReading(url, deliver, **settings)
    reading.reader.start()
    try:
        yield reading
    finally:
        reading.reader.stop(timeout_s=30)
        assert not reading.reader._thread.is_alive()
        assert not any(psutil.pid_exists(worker.pid) for worker in reading.workers)


def test_a_worker_that_hangs_is_replaced_and_the_other_camera_does_not_notice() -> None:
    with MjpegCamera() as one, MjpegCamera() as other, live(one.url) as hung, live(other.url) as ok:
        wait_until(lambda: hung.status == ok.status == "online")
        hung.signal(signal.SIGSTOP)
        began = len(ok.arrivals_ns)
        wait_until(lambda: hung.status == "stalled")
        wait_until(lambda: hung.status == "online")
        assert (hung.reader.reconnects, len(hung.workers)) == (1, 2)
        assert ok.reader.reconnects == 0
        gaps_ns = [later - sooner for sooner, later in pairwise(ok.arrivals_ns[began:])]
        assert max(gaps_ns) < STALL_S * NS_PER_S


def test_while_a_hung_worker_is_replaced_the_camera_stays_stalled_since_its_last_frame() -> None:
    with MjpegCamera() as camera, live(camera.url) as reading:
        wait_until(lambda: reading.status == "online")
        camera.behaviour = Behaviour(frames=0, hangs=True)
        reading.signal(signal.SIGSTOP)
        wait_until(lambda: reading.fault == "hung")
        state = reading.reader.state()
        assert state.status == "stalled"
        assert abs(state.since.timestamp() - time.time()) < 30
        assert state.since == reading.reader._last_frame_at


def test_a_worker_that_is_killed_is_replaced() -> None:
    with MjpegCamera() as camera, live(camera.url) as reading:
        wait_until(lambda: reading.status == "online")
        reading.signal(signal.SIGKILL)
        wait_until(lambda: len(reading.workers) == 2 and reading.status == "online")
        assert reading.reader.reconnects == 1


def test_a_crashed_worker_is_published_as_such_until_the_next_frame() -> None:
    with MjpegCamera() as camera, live(camera.url) as reading:
        wait_until(lambda: reading.status == "online")
        camera.behaviour = Behaviour(frames=0, hangs=True)
        reading.signal(signal.SIGKILL)
        wait_until(lambda: (reading.status, reading.fault) == ("offline", "crashed"))
        assert reading.reader.state().reason.endswith("the capture process ended by SIGKILL")


def test_a_camera_that_is_away_is_offline_since_it_went_and_not_since_the_last_try() -> None:
    with live("http://127.0.0.1:1/video") as reading:
        wait_until(lambda: reading.fault == "port_closed")
        since = reading.reader.state().since
        wait_until(lambda: reading.reader.reconnects >= 3)
        assert reading.reader.state().since == since


def test_a_camera_that_falls_silent_and_comes_back_is_stalled_and_online_again() -> None:
    with MjpegCamera(Behaviour(frames=20, hangs=True)) as camera, live(camera.url) as reading:
        wait_until(lambda: reading.status == "stalled")
        assert (reading.fault, reading.reader.state().reason) == ("no_frames", "no frame for 1 s")
        camera.behaviour = Behaviour()
        wait_until(lambda: reading.status == "online")
        assert reading.fault is None


def test_a_camera_that_never_answers_is_not_waited_for_when_the_service_stops() -> None:
    with MjpegCamera(Behaviour(frames=0, hangs=True)) as camera:
        with live(camera.url, stall_after_s=600) as reading:
            wait_until(lambda: camera.requests == 1)
        assert reading.reader.state().reason == STOPPED


def test_20_quick_stops_leave_nothing_behind() -> None:
    with MjpegCamera() as camera:
        for number in range(20):
            with live(camera.url):
                time.sleep(number / 100)
    gc.collect()
    assert not psutil.Process().children()
    assert not [thread.name for thread in threading.enumerate() if "camera-" in thread.name]


def test_a_few_corrupt_pictures_are_counted_and_skipped() -> None:
    with MjpegCamera(Behaviour(corrupt=range(20, 25))) as camera, live(camera.url) as reading:
        wait_until(lambda: len(reading.arrivals_ns) > 40)
        assert reading.reader.unusable == 5
        assert reading.reader.reconnects == 0


def test_after_30_corrupt_pictures_in_a_row_the_camera_is_reopened() -> None:
    corrupt = range(20, 10_000)
    with MjpegCamera(Behaviour(corrupt=corrupt)) as camera, live(camera.url) as reading:
        wait_until(lambda: reading.fault == "corrupt")
        assert reading.status == "offline"
        assert reading.reader.state().reason.endswith("cannot be decoded (30 times in a row)")
        assert reading.reader.unusable == 30


def test_a_camera_of_1_frame_a_second_is_online() -> None:
    slow = Behaviour(period_s=1.0)
    with MjpegCamera(slow) as camera, live(camera.url, stall_after_s=10) as reading:
        wait_until(lambda: len(reading.arrivals_ns) >= 2)
        assert reading.status == "online"


def test_of_120_frames_a_second_a_slow_reader_gets_the_newest_and_counts_the_others() -> None:
    def slow(_: Frame) -> None:
        time.sleep(0.05)

    with MjpegCamera(Behaviour(period_s=1 / 120)) as camera, live(camera.url, slow) as reading:
        wait_until(lambda: len(reading.arrivals_ns) >= 20)
        assert reading.status == "online"
        assert reading.reader.overwritten > 20
    reader = reading.reader
    delivered = len(reading.arrivals_ns)
    assert reader.captured == delivered + reader.overwritten + reader.unusable


def test_with_slow_inference_a_frame_is_never_older_than_one_interval_and_one_inference() -> None:
    """A queue of all frames would be 1.5 s late at the end; 0.5 s is for a busy machine."""
    period_s, inference_s, tolerance_s = 0.02, 0.15, 0.5
    slots: FrameSlots[Frame] = FrameSlots()
    ages_s = []
    with (
        MjpegCamera(Behaviour(period_s=period_s)) as camera,
        live(camera.url, slots.put) as reading,
    ):
        clock = SystemClock()
        while len(ages_s) < 12:
            frame = slots.take(timeout_s=30)
            assert frame is not None
            time.sleep(inference_s)
            ages_s.append((clock.monotonic_ns() - frame.captured_ns) / NS_PER_S)
    slots.drop_waiting()
    assert max(ages_s) < period_s + inference_s + tolerance_s
    reader = reading.reader
    overwritten = reader.overwritten + slots.overwritten("yard")
    assert reader.captured == len(ages_s) + overwritten + reader.unusable


def test_8_cameras_are_read_together_and_stopped_together() -> None:
    with MjpegCamera() as camera, ExitStack() as stack:
        readings = [stack.enter_context(live(camera.url)) for _ in range(8)]
        wait_until(lambda: all(reading.status == "online" for reading in readings), 60)
