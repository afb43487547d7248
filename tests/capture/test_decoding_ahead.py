from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from capture.sources import BAD, ScriptedSource, picture, wait_until
from hypothesis import given
from hypothesis import strategies as st

from edgevision.capture.recording import DEPTH, DecodedAhead, Recording
from edgevision.errors import BadFrameError, SourceError

if TYPE_CHECKING:
    from pathlib import Path

    from edgevision.frames import U8

BROKEN = SourceError("clip.avi: the file is cut short")


def values(ahead: DecodedAhead) -> list[int | None]:
    """Play to the end: the value of each picture, None for a bad one."""
    seen: list[int | None] = []
    while ahead.grab():
        try:
            seen.append(int(ahead.retrieve()[0, 0, 0]))
        except BadFrameError:
            seen.append(None)
    return seen


@given(st.lists(st.none() | st.integers(0, 255), max_size=20))
def test_every_frame_comes_once_in_its_order_and_bad_ones_at_their_place(
    script: list[int | None],
) -> None:
    source = ScriptedSource(*(BAD if value is None else picture(value) for value in script))
    ahead = DecodedAhead(source)
    assert values(ahead) == script
    ahead.close()
    assert source.closed


def test_rate_and_count_are_the_sources_own() -> None:
    ahead = DecodedAhead(ScriptedSource(picture(1), fps=12.5))
    assert (ahead.fps, ahead.frame_count) == (12.5, 1)
    ahead.close()


def test_the_end_stays_the_end() -> None:
    ahead = DecodedAhead(ScriptedSource(picture(1)))
    values(ahead)
    assert [ahead.grab(), ahead.grab()] == [False, False]
    ahead.close()


def test_a_recording_that_breaks_off_raises_after_its_2_frames_and_then_has_ended() -> None:
    ahead = DecodedAhead(ScriptedSource(picture(1), picture(2), BROKEN))
    assert ahead.grab()
    assert ahead.grab()
    with pytest.raises(SourceError, match="the file is cut short"):
        ahead.grab()
    assert not ahead.grab()
    ahead.close()


def test_an_unexpected_error_is_raised_by_grab() -> None:
    ahead = DecodedAhead(ScriptedSource(picture(1), ValueError("surprise")))
    assert ahead.grab()
    with pytest.raises(ValueError, match="surprise"):
        ahead.grab()
    ahead.close()


def test_a_frame_may_be_retrieved_twice() -> None:
    ahead = DecodedAhead(ScriptedSource(picture(9)))
    assert ahead.grab()
    assert ahead.retrieve() is ahead.retrieve()
    ahead.close()


def test_retrieving_before_grabbing_is_refused() -> None:
    ahead = DecodedAhead(ScriptedSource(picture(9)))
    with pytest.raises(BadFrameError, match="expected grab before retrieve"):
        ahead.retrieve()
    ahead.close()


def test_at_most_4_frames_wait_and_one_is_being_decoded() -> None:
    source = ScriptedSource(*(picture(value) for value in range(50)))
    ahead = DecodedAhead(source)
    wait_until(lambda: source.grabs == DEPTH + 1)
    assert ahead.grab()
    wait_until(lambda: source.grabs == DEPTH + 2)
    ahead.close()
    assert source.grabs <= DEPTH + 3


def test_closing_while_frames_wait_ends_the_thread_and_closes_the_source() -> None:
    source = ScriptedSource(*(picture(value) for value in range(50)))
    ahead = DecodedAhead(source)
    wait_until(lambda: source.grabs == DEPTH + 1)
    ahead.close()
    assert source.closed
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decode")]


def test_after_closing_there_is_no_next_frame() -> None:
    ahead = DecodedAhead(ScriptedSource(*(picture(value) for value in range(50))))
    assert ahead.grab()
    ahead.close()
    assert not ahead.grab()


def test_the_bundled_recording_gives_the_same_frames_ahead_as_one_by_one(recording: Path) -> None:
    ahead, plain = DecodedAhead(Recording(recording)), Recording(recording)

    def next_frame() -> U8 | None:
        return plain.retrieve() if plain.grab() else None

    count = 0
    while ahead.grab():
        frame = next_frame()
        assert frame is not None
        assert (ahead.retrieve() == frame).all()
        count += 1
    assert next_frame() is None
    assert count == 160
    ahead.close()
