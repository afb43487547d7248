from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from capture.cameras import Behaviour, MjpegCamera
from capture.sources import BAD, Openings, ScriptedSource, picture, wait_until

from edgevision.capture.protocol import MAX_BAD_FRAMES
from edgevision.capture.reader import END_OF_RECORDING, STARTING, STOPPED, CameraReader
from edgevision.clock import ManualClock, SystemClock
from edgevision.config.camera import CameraConfig
from edgevision.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from edgevision.capture.protocol import FrameSource
    from edgevision.clock import Clock
    from edgevision.frames import Frame

NOON = datetime(2024, 6, 1, 12, tzinfo=UTC)
GONE = SourceError("/dev/video0: the camera delivers no frames; was it unplugged?")


class Reading:
    """A started reader, what it delivered and where from."""

    def __init__(self, opener: Any, clock: Clock, **settings: Any) -> None:
        self.frames: list[Frame] = []
        self.clock = clock
        first_pause_s = settings.pop("first_pause_s", 0.001)
        deliver: Callable[[Frame], None] = settings.pop("deliver", self.frames.append)
        source = "clip.avi" if settings.get("loop") else "0"
        plain = {"frozen_after_s": None, "black_after_s": None}  # the scripted pictures are both
        camera = CameraConfig.model_validate({"source": source, **plain, **settings})
        arguments: dict[str, Any] = {"opener": opener} if opener else {}
        self.reader = CameraReader(
            "yard",
            camera,
            deliver=deliver,
            clock=clock,
            first_pause_s=first_pause_s,
            **arguments,
        )
        self.begun_s = time.monotonic()
        self.reader.start()

    def wait_for(self, status: str, reason: str = "") -> None:
        wait_until(
            lambda: self.reader.state().status == status and reason in self.reader.state().reason
        )

    @property
    def alive(self) -> bool:
        return self.reader._thread.is_alive()


@contextmanager
def reading(*sources: Any, clock: Clock | None = None, **settings: Any) -> Iterator[Reading]:
    """Read these sources, one opening after the other, until the block ends."""
    started = Reading(Openings(*sources), clock or ManualClock(wall=NOON), **settings)
    yield started
    started.reader.stop(timeout_s=30)
    assert not started.alive


def playing(*script: Any, fps: float | None = None) -> Callable[[], ScriptedSource]:
    """Make such a source at each opening."""
    return lambda: ScriptedSource(*script, fps=fps)


# States.


def test_before_it_starts_a_camera_is_offline_and_starting() -> None:
    clock = ManualClock(wall=NOON)
    camera = CameraConfig(source="rtsp://u:hunter2@camera/a")
    reader = CameraReader("yard", camera, deliver=lambda _: None, clock=clock)
    state = reader.state()
    assert (state.status, state.reason, state.since) == ("offline", STARTING, NOON)
    assert reader.shown_source == "rtsp://***@camera/a"


def test_a_reader_that_never_started_can_be_stopped() -> None:
    camera = CameraConfig(source="0")
    CameraReader("yard", camera, deliver=lambda _: None, clock=ManualClock()).stop(timeout_s=1)


def test_a_camera_whose_frames_arrive_is_online() -> None:
    forever = threading.Event()
    with reading(playing(picture(1), forever)) as begun:
        begun.wait_for("online", "frames arrive")
        forever.set()


def test_a_recording_at_its_end_is_offline_and_its_thread_has_ended() -> None:
    opened = Openings(playing(picture(1), picture(2)))
    begun = Reading(opened, ManualClock())
    begun.wait_for("offline", END_OF_RECORDING)
    wait_until(lambda: not begun.alive)
    assert len(begun.frames) == 2
    assert [source.closed for source in opened.opened] == [True]
    assert begun.reader.reconnects == 0


def test_a_camera_that_cannot_be_opened_is_offline_for_the_reason_given() -> None:
    with reading(GONE) as begun:
        begun.wait_for("offline", str(GONE))


def test_a_camera_is_stalled_when_no_frame_came_for_longer_than_10_s() -> None:
    clock, forever = ManualClock(wall=NOON), threading.Event()
    with reading(playing(picture(1), forever), clock=clock) as begun:
        begun.wait_for("online")
        clock.advance(10.0)
        assert begun.reader.state().status == "online"
        clock.advance(0.001)
        state = begun.reader.state()
        assert (state.status, state.reason) == ("stalled", "no frame for 10 s")
        assert state.since == NOON  # when the last frame came
        forever.set()


def test_a_stalled_camera_whose_next_frame_comes_is_online_again() -> None:
    clock, pause, forever = ManualClock(), threading.Event(), threading.Event()
    with reading(playing(picture(1), pause, picture(2), forever), clock=clock) as begun:
        begun.wait_for("online")
        clock.advance(11)
        begun.wait_for("stalled")
        pause.set()
        begun.wait_for("online")
        forever.set()


def test_bad_frames_do_not_keep_a_camera_from_being_stalled() -> None:
    clock, pause, forever = ManualClock(), threading.Event(), threading.Event()
    with reading(playing(picture(1), pause, BAD, forever), clock=clock) as begun:
        begun.wait_for("online")
        clock.advance(11)
        pause.set()
        wait_until(lambda: begun.reader.unusable == 1)
        assert begun.reader.state().status == "stalled"
        forever.set()


@pytest.mark.parametrize("step_s", [3600, -3600])
def test_a_clock_step_of_an_hour_stalls_nothing(step_s: float) -> None:
    clock, forever = ManualClock(wall=NOON), threading.Event()
    with reading(playing(picture(1), forever), clock=clock) as begun:
        begun.wait_for("online")
        clock.step_wall(step_s)
        assert begun.reader.state().status == "online"
        forever.set()


def test_a_camera_that_is_offline_does_not_become_stalled() -> None:
    clock = ManualClock()
    with reading(GONE, clock=clock) as begun:
        begun.wait_for("offline", str(GONE))
        clock.advance(1000)
        assert begun.reader.state().status == "offline"


def test_the_time_of_a_state_is_that_of_its_change_and_not_of_the_question() -> None:
    clock, forever = ManualClock(wall=NOON), threading.Event()
    with reading(playing(picture(1), forever), clock=clock) as begun:
        begun.wait_for("online")
        clock.advance(5)
        assert begun.reader.state().since == NOON
        forever.set()


# Frames.


def test_frames_carry_camera_number_and_the_time_of_their_arrival() -> None:
    clock, pause = ManualClock(wall=NOON), threading.Event()
    clock.advance(2)
    with reading(playing(picture(1), pause, picture(2)), clock=clock) as begun:
        wait_until(lambda: begun.frames)
        clock.advance(3)
        pause.set()
        begun.wait_for("offline", END_OF_RECORDING)
    first, second = begun.frames
    assert (first.camera, first.sequence, first.captured_ns) == ("yard", 0, 2_000_000_000)
    assert (second.camera, second.sequence, second.captured_ns) == ("yard", 1, 5_000_000_000)
    assert second.captured_at == NOON + timedelta(seconds=5)
    assert (second.image == picture(2)).all()


def test_29_bad_frames_in_a_row_are_counted_and_skipped() -> None:
    opened = Openings(playing(picture(1), *[BAD] * (MAX_BAD_FRAMES - 1), picture(2)))
    begun = Reading(opened, ManualClock())
    begun.wait_for("offline", END_OF_RECORDING)
    assert [frame.sequence for frame in begun.frames] == [0, 30]
    assert (begun.reader.captured, begun.reader.unusable, begun.reader.reconnects) == (31, 29, 0)


def test_after_30_bad_frames_in_a_row_the_camera_is_reopened() -> None:
    forever = threading.Event()
    with reading(
        playing(picture(1), *[BAD] * MAX_BAD_FRAMES, picture(9)), playing(picture(2), forever)
    ) as begun:
        wait_until(lambda: len(begun.frames) == 2)
        assert begun.frames[1].image[0, 0, 0] == 2
        assert (begun.reader.unusable, begun.reader.reconnects) == (30, 1)
        forever.set()


def test_the_reason_says_how_many_bad_frames_came() -> None:
    with reading(playing(*[BAD] * MAX_BAD_FRAMES), first_pause_s=600) as begun:
        begun.wait_for("offline", "a frame cannot be decoded (30 times in a row)")


def test_a_good_frame_ends_a_row_of_bad_ones() -> None:
    row = [BAD] * (MAX_BAD_FRAMES - 1)
    begun = Reading(Openings(playing(*row, picture(1), *row, picture(2))), ManualClock())
    begun.wait_for("offline", END_OF_RECORDING)
    assert (begun.reader.unusable, begun.reader.reconnects) == (58, 0)


@pytest.mark.parametrize(
    "empty",
    [np.empty((0, 0, 3), np.uint8), np.zeros((2, 2, 3), np.float32)],
    ids=["empty", "float"],
)
def test_a_frame_that_is_no_picture_is_counted_and_skipped(empty: Any) -> None:
    begun = Reading(Openings(playing(empty, picture(1), empty)), ManualClock())
    begun.wait_for("offline", END_OF_RECORDING)
    assert [frame.sequence for frame in begun.frames] == [1]
    assert (begun.reader.captured, begun.reader.unusable) == (3, 2)


def test_a_recording_without_any_usable_frame_is_a_fault_and_not_its_end() -> None:
    with reading(playing(BAD, BAD), first_pause_s=600) as begun:
        begun.wait_for("offline", "none of its frames can be used")
        assert begun.reader.unusable == 2


# Opening again.


def test_a_camera_that_breaks_off_is_closed_and_opened_again() -> None:
    opened = Openings(playing(picture(1), GONE), playing(picture(2)))
    begun = Reading(opened, ManualClock())
    begun.wait_for("offline", END_OF_RECORDING)
    assert [frame.sequence for frame in begun.frames] == [0, 1]
    assert [source.closed for source in opened.opened] == [True, True]
    assert begun.reader.reconnects == 1


def test_a_camera_that_comes_back_after_3_failed_openings_is_online() -> None:
    forever = threading.Event()
    with reading(GONE, GONE, GONE, playing(picture(1), forever)) as begun:
        begun.wait_for("online")
        assert begun.reader.reconnects == 3
        forever.set()


def test_pauses_double_from_one_failed_opening_to_the_next() -> None:
    opened = Openings(GONE, GONE, GONE, GONE, playing(picture(1)))
    begun = Reading(opened, ManualClock(), first_pause_s=0.02)
    begun.wait_for("offline", END_OF_RECORDING)
    gaps_s = np.diff(opened.times_s)
    # Jitter takes away at most half of a pause.
    assert (gaps_s >= [0.01, 0.02, 0.04, 0.08]).all()


def test_a_camera_that_held_for_5_s_is_tried_again_after_the_first_pause() -> None:
    clock = ManualClock()
    opened = Openings(*[playing(picture(1), GONE)] * 12, playing(picture(1)))

    def open_after_5_s(camera: CameraConfig) -> FrameSource:
        clock.advance(5)
        return opened(camera)

    begun = Reading(open_after_5_s, clock, first_pause_s=0.005)
    begun.wait_for("offline", END_OF_RECORDING)
    # Doubled 12 times, the last pause alone would take at least 10 s.
    assert len(begun.frames) == 13
    assert opened.times_s[-1] - opened.times_s[0] < 10


def test_a_camera_that_breaks_off_soon_after_each_opening_is_tried_ever_less_often() -> None:
    opened = Openings(*[playing(picture(1), GONE)] * 4, playing(picture(1)))
    begun = Reading(opened, ManualClock(), first_pause_s=0.02)
    begun.wait_for("offline", END_OF_RECORDING)
    assert (np.diff(opened.times_s) >= [0.01, 0.02, 0.04, 0.08]).all()


def test_a_recording_that_breaks_off_is_not_played_again() -> None:
    opened = Openings(playing(picture(1), GONE), playing(picture(2)))
    begun = Reading(opened, ManualClock(), source="clip.avi")
    begun.wait_for("offline", str(GONE))
    wait_until(lambda: not begun.alive)
    assert len(begun.frames) == len(opened.opened) == 1


def test_an_unexpected_error_is_logged_and_the_camera_reopened(
    caplog: pytest.LogCaptureFixture,
) -> None:
    surprise = ValueError("surprise")
    begun = Reading(Openings(playing(picture(1), surprise), playing(picture(2))), ManualClock())
    begun.wait_for("offline", END_OF_RECORDING)
    assert len(begun.frames) == 2
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.getMessage() == "camera yard: unexpected fault"
    assert record.exc_info is not None
    assert record.exc_info[1] is surprise


def test_the_state_after_an_unexpected_error_points_to_the_log() -> None:
    with reading(ValueError("surprise"), first_pause_s=600) as begun:
        begun.wait_for("offline", "unexpected fault; see the log")


# Recordings: pace and loop.


def test_a_looped_recording_restarts_and_continues_to_count() -> None:
    forever = threading.Event()
    with reading(
        playing(picture(1), picture(2)),
        playing(picture(1), picture(2)),
        playing(picture(3), forever),
        loop=True,
    ) as begun:
        wait_until(lambda: len(begun.frames) == 5)
        assert [frame.sequence for frame in begun.frames] == [0, 1, 2, 3, 4]
        assert begun.reader.reconnects == 0
        forever.set()


def test_5_frames_of_a_recording_at_50_fps_take_at_least_4_periods() -> None:
    script = [picture(value) for value in range(5)]
    begun = Reading(Openings(playing(*script, fps=50.0)), SystemClock())
    begun.wait_for("offline", END_OF_RECORDING)
    assert begun.frames[-1].captured_ns / 1e9 >= begun.begun_s + 4 / 50


def test_a_looped_picture_comes_at_its_own_rate_and_not_as_fast_as_possible() -> None:
    with reading(playing(picture(1), fps=50.0), clock=SystemClock(), loop=True) as begun:
        wait_until(lambda: len(begun.frames) >= 5)
        assert begun.frames[4].captured_ns / 1e9 >= begun.begun_s + 4 / 50


def test_a_live_source_is_not_paced() -> None:
    script = [picture(value % 256) for value in range(500)]
    begun = Reading(Openings(playing(*script, fps=None)), ManualClock())
    begun.wait_for("offline", END_OF_RECORDING)
    assert len(begun.frames) == 500


# Stopping.


def test_stopping_a_camera_that_reads_ends_its_thread_and_is_its_reason() -> None:
    endless = [picture(1)] * 1000
    with reading(playing(*endless), loop=True) as begun:
        begun.wait_for("online")
    state = begun.reader.state()
    assert (state.status, state.reason) == ("offline", STOPPED)


def test_stopping_does_not_wait_for_the_end_of_a_pause() -> None:
    with reading(GONE, first_pause_s=3600) as begun:
        begun.wait_for("offline", str(GONE))


def test_stopping_does_not_wait_for_the_next_frame_of_a_slow_recording() -> None:
    script = [picture(1)] * 5
    with reading(playing(*script, fps=0.001), clock=SystemClock()) as begun:
        begun.wait_for("online")


def test_a_blocked_read_does_not_delay_stopping() -> None:
    forever = threading.Event()
    begun = Reading(Openings(playing(picture(1), forever)), ManualClock())
    begun.wait_for("online")
    begun.reader.stop(timeout_s=0)
    assert begun.alive
    forever.set()
    wait_until(lambda: not begun.alive)


# Real sources.


def test_a_folder_of_3_images_is_read_to_its_end(tmp_path: Path) -> None:
    for index in range(3):
        cv2.imwrite(str(tmp_path / f"{index}.png"), picture(10 * index))
    begun = Reading(None, SystemClock(), source=str(tmp_path), fps=1000)
    begun.wait_for("offline", END_OF_RECORDING)
    assert [int(frame.image[0, 0, 0]) for frame in begun.frames] == [0, 10, 20]


def test_a_missing_recording_is_offline_for_that_reason(tmp_path: Path) -> None:
    begun = Reading(None, SystemClock(), source=str(tmp_path / "clip.avi"), first_pause_s=600)
    begun.wait_for("offline", f"{tmp_path}/clip.avi: cannot be read (No such file or directory)")
    begun.reader.stop(timeout_s=30)


def test_a_network_camera_that_hangs_up_is_reconnected() -> None:
    with MjpegCamera(Behaviour(frames=5)) as camera:
        begun = Reading(None, SystemClock(), source=camera.url)
        wait_until(lambda: camera.requests >= 3 and begun.reader.captured >= 6)
        begun.reader.stop(timeout_s=30)
        assert begun.reader.reconnects >= 2
