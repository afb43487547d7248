"""Events and pictures of one frame: a picture that fails loses no event."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from objects import START, a_config, an_object

from edgevision.clock import ManualClock
from edgevision.daemon.uplink import Uplink
from edgevision.events import Event, EventIds, ObjectEvent
from edgevision.frames import Frame
from edgevision.mqtt.encoder import Encoder

# JPEG has 16 bits for each side.
TOO_WIDE = np.zeros((1, 70_000, 3), np.uint8)
SOUND = np.zeros((48, 64, 3), np.uint8)


@pytest.fixture
def uplink(tmp_path: Path) -> Uplink:
    config, ids = a_config(), EventIds(START)
    return Uplink(
        config,
        Encoder(config, model_name="m", backend_name="b", started_at=START, event_ids=ids),
        folder=tmp_path,
        clock=ManualClock(),
        on_connected=lambda: None,
        on_request=lambda _message: None,
    )


def frame(image: np.ndarray) -> Frame:
    return Frame("yard", 0, image, 0, START)


def life() -> list[Event]:
    """Two objects of one frame that are new, and the first one's end."""
    first, second = an_object(id="1-a"), an_object(id="1-b", label="Cat")
    ended = an_object(id="1-a", ended_at=START)
    return [
        ObjectEvent("new", "appeared", None, first, START),
        ObjectEvent("new", "appeared", None, second, START),
        ObjectEvent("end", "lost", first, ended, START),
    ]


def record(uplink: Uplink, image: np.ndarray) -> list[tuple[str, str]]:
    """Do what the daemon does with a frame's events; return kind and object of those stored."""
    for event in life():
        uplink.record_event(event, ())
    for event in life():
        uplink.take_picture(event, frame(image))
    messages = [json.loads(each.payload) for each in uplink._publisher._take().messages]
    return [(each["type"], each["after"]["id"]) for each in messages]


def test_a_picture_that_fails_loses_no_event_is_logged_once_and_counted(
    uplink: Uplink, caplog: pytest.LogCaptureFixture
) -> None:
    assert record(uplink, TOO_WIDE) == [("new", "1-a"), ("new", "1-b"), ("end", "1-a")]
    assert uplink.pictures.topics() == frozenset()
    assert uplink.pictures.failed == 2
    assert [each.getMessage() for each in caplog.records] == [
        "camera yard: no picture could be made of a Person"
    ]


def test_after_a_failed_picture_the_next_ones_are_kept(uplink: Uplink) -> None:
    record(uplink, TOO_WIDE)
    record(uplink, SOUND)
    assert uplink.pictures.topics() == {
        "edgevision/porch/yard/Person/snapshot",
        "edgevision/porch/yard/Cat/snapshot",
    }
