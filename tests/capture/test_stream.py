from __future__ import annotations

import os

import pytest
from capture.cameras import Behaviour, MjpegCamera

from edgevision.capture.video import Stream
from edgevision.errors import SourceError

SOON_MS = 300


def grab_all(stream: Stream) -> None:
    while stream.grab():
        pass


def test_a_stream_gives_frame_after_frame_in_their_order() -> None:
    with MjpegCamera() as camera:
        stream = Stream(camera.url)
        greys = []
        for _ in range(20):
            assert stream.grab()
            greys.append(int(stream.retrieve()[0, 0, 0]))
        stream.close()
    assert greys == list(range(greys[0], greys[0] + 20))


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (3840, 2160)])
def test_frames_far_above_the_probed_100_kb_are_read(width: int, height: int) -> None:
    with MjpegCamera(Behaviour(width=width, height=height, noisy=True)) as camera:
        stream = Stream(camera.url)
        assert stream.grab()
        assert stream.retrieve().shape == (height, width, 3)
        stream.close()


def test_a_camera_that_asks_for_user_and_password_gets_them() -> None:
    with MjpegCamera(Behaviour(login="viewer:hunter2")) as camera:
        stream = Stream(f"http://viewer:hunter2@{camera.address}/video.mjpg")
        assert stream.grab()
        stream.close()


@pytest.mark.parametrize("login", ["viewer:hunter3@", ""])
def test_a_refused_password_is_said_without_the_password(login: str) -> None:
    with MjpegCamera(Behaviour(login="viewer:hunter2")) as camera:
        with pytest.raises(SourceError) as caught:
            Stream(f"http://{login}{camera.address}/video.mjpg")
        shown = f"http://{'***@' if login else ''}{camera.address}/video.mjpg"
    assert str(caught.value) == (
        f"{shown}: cannot be opened; check address, path, user and password"
    )


def test_a_path_that_the_camera_lacks_is_said_at_once() -> None:
    with MjpegCamera() as camera, pytest.raises(SourceError, match="cannot be opened; check"):
        Stream(f"http://{camera.address}/nothing")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/",
        "rtsp://127.0.0.1:1/stream",
        "rtsp://viewer:hunter2@127.0.0.1:1/stream",
        "http://[::1",
        "http://",
        "rtsp://:::",
    ],
)
def test_where_nothing_answers_the_error_comes_without_a_password(url: str) -> None:
    with pytest.raises(SourceError, match="cannot be opened; check address, path") as caught:
        Stream(url)
    assert "hunter2" not in str(caught.value)


def test_an_rtsp_address_of_a_camera_that_speaks_http_is_refused() -> None:
    with MjpegCamera() as camera, pytest.raises(SourceError, match="cannot be opened"):
        Stream(f"rtsp://{camera.address}/video.mjpg")


def test_a_stream_that_ends_after_5_frames_is_said_to_have_broken_off() -> None:
    with MjpegCamera(Behaviour(frames=5)) as camera:
        stream = Stream(camera.url)
        with pytest.raises(SourceError) as caught:
            grab_all(stream)
        assert str(caught.value) == f"{camera.url}: the stream broke off or is silent"
        stream.close()


def test_a_stream_without_any_frame_cannot_be_opened() -> None:
    with (
        MjpegCamera(Behaviour(frames=0)) as camera,
        pytest.raises(SourceError, match="cannot be opened"),
    ):
        Stream(camera.url)


def test_a_camera_that_falls_silent_after_3_frames_is_waited_for_no_longer_than_the_timeout() -> (
    None
):
    with MjpegCamera(Behaviour(frames=3, hangs=True)) as camera:
        stream = Stream(camera.url, timeout_ms=SOON_MS)
        with pytest.raises(SourceError, match="the stream broke off or is silent"):
            grab_all(stream)
        stream.close()


def test_a_camera_that_never_answers_is_waited_for_no_longer_than_the_timeout() -> None:
    with (
        MjpegCamera(Behaviour(frames=0, hangs=True)) as camera,
        pytest.raises(SourceError, match="cannot be opened"),
    ):
        Stream(camera.url, timeout_ms=SOON_MS)


def test_after_opening_no_option_for_streams_is_left_in_the_environment() -> None:
    with MjpegCamera() as camera:
        Stream(camera.url).close()
    with pytest.raises(SourceError):
        Stream("http://127.0.0.1:1/")
    assert "OPENCV_FFMPEG_CAPTURE_OPTIONS" not in os.environ
