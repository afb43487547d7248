from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from capture.answers import Answering, http, rtsp
from capture.cameras import Behaviour, MjpegCamera
from capture.sources import wait_until

from edgevision.capture.worker_client import CameraWorker, open_request
from edgevision.config.camera import CameraConfig
from edgevision.errors import BadFrameError, CameraError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgevision.capture.worker_protocol import OpenRequest


def request(url: str, **settings: Any) -> OpenRequest:
    return open_request(CameraConfig(source=url, **settings))


@contextmanager
def opened(url: str, *, grace_s: float = 20.0, **settings: Any) -> Iterator[CameraWorker]:
    """Start a worker; end it with the block. Deadlines are for a machine that is busy."""
    worker = CameraWorker(request(url, **settings), open_deadline_s=60, read_grace_s=grace_s)
    try:
        yield worker
    finally:
        worker.close()


def read_to_end(worker: CameraWorker) -> None:
    while worker.grab():
        worker.retrieve()


def fault_of(url: str, **settings: Any) -> CameraError:
    with opened(url, **settings) as worker, pytest.raises(CameraError) as caught:
        read_to_end(worker)
    return caught.value


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def is_gone(pid: int) -> bool:
    """Return whether a process has ended; a zombie counts as ended."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


# Frames.


def test_frames_come_one_after_the_other_in_their_order() -> None:
    with MjpegCamera(Behaviour(period_s=0.02)) as camera, opened(camera.url) as worker:
        greys = []
        for _ in range(20):
            assert worker.grab()
            greys.append(int(worker.retrieve()[0, 0, 0]))
    assert greys == sorted(set(greys))


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (3840, 2160)])
def test_frames_far_above_the_probed_100_kb_are_read(width: int, height: int) -> None:
    large = Behaviour(width=width, height=height, noisy=True)
    with MjpegCamera(large) as camera, opened(camera.url) as worker:
        assert worker.grab()
        assert worker.retrieve().shape == (height, width, 3)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_frames_are_turned_by_the_worker(rotation: int) -> None:
    with MjpegCamera() as camera, opened(camera.url, rotation=rotation) as worker:
        for _ in range(3):
            assert worker.grab()
            shape = worker.retrieve().shape
        assert shape == ((48, 64, 3) if rotation == 180 else (64, 48, 3))


def test_a_frame_stays_as_it_is_while_anything_of_it_is_used() -> None:
    with MjpegCamera() as camera, opened(camera.url) as worker:
        assert worker.grab()
        corner = worker.retrieve()[:1, :1]
        grey = int(corner[0, 0, 0])
        for _ in range(30):
            assert worker.grab()
            worker.retrieve()
        assert corner[0, 0, 0] == grey
    assert corner[0, 0, 0] == grey  # and after the end of the worker


def test_a_frame_cannot_be_written_to_and_is_no_copy() -> None:
    with MjpegCamera() as camera, opened(camera.url) as worker:
        assert worker.grab()
        image = worker.retrieve()
    assert not image.flags.writeable
    assert not image.flags.owndata


def test_while_the_daemon_keeps_all_slots_frames_are_counted_as_overwritten() -> None:
    with MjpegCamera() as camera, opened(camera.url) as worker:
        kept = []
        for _ in range(5):
            assert worker.grab()
            kept.append(worker.retrieve())
        reader = threading.Thread(target=worker.grab, daemon=True)
        reader.start()
        reader.join(0.3)
        assert reader.is_alive()  # no slot is free
        kept.clear()
        gc.collect()
        reader.join(30)
        assert worker.skipped.overwritten > 0


def test_every_frame_that_arrived_is_delivered_or_counted_as_overwritten() -> None:
    total = 100
    with MjpegCamera(Behaviour(frames=total)) as camera, opened(camera.url) as worker:
        delivered, greys = 0, []
        with contextlib.suppress(CameraError):  # the stream breaks off
            while worker.grab():
                delivered += 1
                greys.append(int(worker.retrieve()[0, 0, 0]))
                time.sleep(0.03)
        arrived = delivered + worker.skipped.overwritten
        assert worker.skipped.overwritten > delivered
        # FFmpeg keeps the first picture for itself and at most one at the end of the stream.
        assert total - 2 <= arrived <= total
        assert greys == sorted(set(greys))


def test_a_frame_is_handed_over_with_the_time_of_its_arrival() -> None:
    with MjpegCamera(Behaviour(frames=3, hangs=True)) as camera, opened(camera.url) as worker:
        before_ns = time.monotonic_ns()
        assert worker.grab()
        assert worker.arrival is not None
        assert before_ns < worker.arrival.captured_ns < time.monotonic_ns()
        assert abs(worker.arrival.captured_at.timestamp() - time.time()) < 60


def test_pictures_that_grow_in_mid_stream_are_scaled_to_the_first_size() -> None:
    # OpenCV's FFmpeg reader does that. Boxes are fractions of the frame, so they stay right.
    with MjpegCamera(Behaviour(grows_at=20)) as camera, opened(camera.url) as worker:
        grey = 0
        while grey < 45:
            assert worker.grab()
            image = worker.retrieve()
            grey = int(image[0, 0, 0])
            assert image.shape == (48, 64, 3)


def test_retrieve_without_grab_is_refused() -> None:
    with opened("http://127.0.0.1:1/") as worker, pytest.raises(BadFrameError, match="before"):
        worker.retrieve()


# Kinds of faults.


@pytest.mark.parametrize(
    ("scheme", "answer", "fault"),
    [
        ("http", http("401 Unauthorized\r\nWWW-Authenticate: Basic realm=x"), "unauthorized"),
        ("http", http("403 Forbidden"), "unauthorized"),
        ("http", http("404 Not Found"), "not_found"),
        ("http", http("503 Service Unavailable"), "rejected"),
        ("http", http("200 OK", b"<html>log in</html>" * 99), "wrong_format"),
        ("rtsp", rtsp("401 Unauthorized\r\nWWW-Authenticate: Basic realm=x"), "unauthorized"),
        ("rtsp", rtsp("404 Not Found"), "not_found"),
        ("rtsp", rtsp("453 Not Enough Bandwidth"), "rejected"),
        ("https", http("200 OK"), "tls"),
    ],
)
def test_an_answer_that_is_not_video_is_reported_by_its_kind_and_without_the_password(
    scheme: str, answer: bytes, fault: str
) -> None:
    with Answering(answer) as server:
        error = fault_of(f"{scheme}://viewer:hunter2@127.0.0.1:{server.port}/stream")
    assert error.fault == fault
    assert str(error).startswith(f"{scheme}://***@127.0.0.1:{server.port}/stream: ")
    assert "hunter2" not in str(error)


def test_an_rtsp_address_of_a_camera_that_speaks_http_has_the_wrong_format() -> None:
    with MjpegCamera() as camera:
        assert fault_of(f"rtsp://{camera.address}/video.mjpg").fault == "wrong_format"


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("http://127.0.0.1:1/", "port_closed"),
        ("rtsp://viewer:hunter2@127.0.0.1:1/stream", "port_closed"),
        ("rtsp://nosuch.invalid/stream", "unknown_host"),
        ("http://[::1", "unknown_host"),
        ("rtsp://:::", "unknown_host"),
        ("/dev/video77", "no_device"),
        ("/dev/v4l/by-id/usb-nothing", "no_device"),
        ("/dev/null", "wrong_format"),
    ],
)
def test_where_there_is_no_camera_the_kind_of_fault_says_why(url: str, fault: str) -> None:
    error = fault_of(url)
    assert error.fault == fault
    assert "hunter2" not in str(error)


def test_a_missing_device_is_named_with_how_to_find_those_that_are_there() -> None:
    assert str(fault_of("77")) == (
        "/dev/video77: no such device; list cameras with: ls /dev/v4l/by-id/"
    )


@pytest.mark.parametrize(
    ("answer", "hangs", "fault"),
    [
        (b"", True, "no_frames"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=f\r\n\r\n", True,
         "no_frames"),
        (b"", False, "wrong_format"),
        (None, False, "unreachable"),
    ],
    ids=["silence", "no frames", "hangs up", "does not accept"],
)  # fmt: skip
def test_a_camera_that_answers_without_frames_is_not_one_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
    answer: bytes | None,
    hangs: bool,  # noqa: FBT001
    fault: str,
) -> None:
    monkeypatch.setattr("edgevision.capture.worker_client.OPEN_TIMEOUT_S", 0.5)
    with Answering(answer, hangs=hangs) as server:
        assert fault_of(f"http://127.0.0.1:{server.port}/").fault == fault


def test_a_camera_that_asks_for_user_and_password_gets_them() -> None:
    with MjpegCamera(Behaviour(login="viewer:hunter2")) as camera:
        with opened(f"http://viewer:hunter2@{camera.address}/video.mjpg") as worker:
            assert worker.grab()
        error = fault_of(f"http://viewer:hunter3@{camera.address}/video.mjpg")
    assert str(error) == (
        f"http://***@{camera.address}/video.mjpg: rejects the user name or password (status 401)"
    )


def test_a_stream_that_ends_after_5_frames_is_reported_as_broken_off() -> None:
    with MjpegCamera(Behaviour(frames=5)) as camera:
        error = fault_of(camera.url)
    assert (error.fault, str(error)) == ("broken_off", f"{camera.url}: the stream broke off")


def test_a_camera_that_falls_silent_is_waited_for_as_long_as_configured() -> None:
    with MjpegCamera(Behaviour(frames=3, hangs=True)) as camera:
        error = fault_of(camera.url, stall_after_s=0.4)
    assert (error.fault, str(error)) == ("no_frames", f"{camera.url}: no frame for 0.4 s")


# Processes.


def test_nothing_secret_is_on_the_command_line_or_in_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EDGEVISION_MQTT__PASSWORD", "hunter2")
    with opened("rtsp://viewer:hunter2@127.0.0.1:1/") as worker:
        process = Path(f"/proc/{worker.pid}")
        wait_until(lambda: b"edgevision" in (process / "cmdline").read_bytes())
        shown = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
    assert b"hunter2" not in shown


def test_a_worker_that_is_stopped_is_found_to_hang_and_is_killed_and_reaped() -> None:
    with MjpegCamera() as camera:
        with opened(camera.url, stall_after_s=0.2, grace_s=0.2) as worker:
            assert worker.grab()
            os.kill(worker.pid, signal.SIGSTOP)
            with pytest.raises(CameraError, match=r"hung for 0\.4 s") as caught:
                read_to_end(worker)
        assert caught.value.fault == "hung"
        assert not psutil.pid_exists(worker.pid)


def test_a_worker_that_is_killed_has_crashed_by_that_signal() -> None:
    with MjpegCamera() as camera, opened(camera.url) as worker:
        assert worker.grab()
        os.kill(worker.pid, signal.SIGKILL)
        with pytest.raises(CameraError, match="ended by SIGKILL") as caught:
            read_to_end(worker)
    assert caught.value.fault == "crashed"


def test_a_grab_that_waits_is_interrupted_from_another_thread() -> None:
    silent = Behaviour(frames=0, hangs=True)
    with MjpegCamera(silent) as camera, opened(camera.url, grace_s=600) as worker:
        threading.Timer(0.2, worker.interrupt).start()
        with pytest.raises(CameraError):
            worker.grab()


def test_50_openings_leave_no_file_no_process_and_no_thread_behind() -> None:
    with MjpegCamera(Behaviour(frames=3)) as camera:
        before = 0
        for number in range(52):
            with opened(camera.url) as worker:
                worker.grab()
                worker.retrieve()
            if number == 1:
                gc.collect()
                before = open_files()
    gc.collect()
    assert open_files() <= before + 1
    assert not psutil.Process().children()


@pytest.mark.parametrize("stopped", [False, True])
def test_a_daemon_that_is_killed_leaves_no_worker(
    tmp_path: Path,
    stopped: bool,  # noqa: FBT001
) -> None:
    script = (
        "import sys, time\n"
        "from edgevision.config.camera import CameraConfig\n"
        "from edgevision.capture.worker_client import CameraWorker, open_request\n"
        "worker = CameraWorker(open_request(CameraConfig(source=sys.argv[1])))\n"
        "worker.grab()\n"
        "print(worker.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    with MjpegCamera() as camera:
        daemon = psutil.Popen(
            [sys.executable, "-c", script, camera.url], stdout=-1, cwd=tmp_path, text=True
        )
        with daemon.stdout:
            pid = int(daemon.stdout.readline())
        if stopped:
            os.kill(pid, signal.SIGSTOP)
        daemon.kill()
        daemon.wait(30)
        wait_until(lambda: is_gone(pid))
