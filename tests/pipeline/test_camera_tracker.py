"""The objects of one camera, from three threads."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import numpy as np

from edgevision.clock import NS_PER_S, ManualClock
from edgevision.config.settings import Config
from edgevision.events import Event, LineCount, ObjectEvent
from edgevision.frames import DetectedObject, Frame
from edgevision.pipeline.camera_tracker import CameraTracker

AT = datetime(2026, 1, 1, tzinfo=UTC)
PICTURE = np.full((48, 64, 3), 90, np.uint8)
CAT = DetectedObject("Cat", 0.8, (0.3, 0.3, 0.3, 0.4))
LINE = {"points": [[0.5, 0], [0.5, 1]]}


class Yard:
    """A tracker with its clock, and the events it has recorded."""

    def __init__(self) -> None:
        config = {"cameras": {"yard": {"source": "0", "lines": {"middle": LINE}}}}
        self.clock = ManualClock(wall=AT)
        self.recorded: list[Event] = []
        self.tracker = CameraTracker(
            "yard",
            Config.model_validate(config),
            new_id=map(str, itertools.count(1)).__next__,
            clock=self.clock,
            on_events=lambda _camera, events, _counts: self.recorded.extend(events),
        )
        self._numbers = itertools.count()

    def frame(self) -> Frame:
        self.clock.advance(0.1)
        now_ns = self.clock.monotonic_ns()
        return Frame("yard", next(self._numbers), PICTURE, now_ns, self.clock.wall())

    def see(self, frames: int, *found: DetectedObject) -> None:
        for _ in range(frames):
            self.tracker.follow(self.frame(), found, (64, 48))

    def lives(self) -> list[tuple[str, str]]:
        return [(e.kind, e.after.id) for e in self.recorded
                if isinstance(e, ObjectEvent) and e.kind != "update"]  # fmt: skip


def test_frames_that_were_on_their_way_when_the_camera_went_begin_no_object() -> None:
    yard = Yard()
    yard.see(10, CAT)
    late = [yard.frame() for _ in range(10)]
    yard.tracker.close("camera")
    for frame in late:
        tracked = yard.tracker.follow(frame, (CAT,), (64, 48))
        assert [found.label for found in tracked.objects] == ["Cat"]
        yard.tracker.keep(frame)
    assert yard.lives() == [("new", "1"), ("end", "1")]
    assert {each.count for each in yard.tracker.occupancy()} <= {0}


def test_an_object_after_an_outage_is_another_one_that_begins_then() -> None:
    yard = Yard()
    yard.see(10, CAT)
    yard.tracker.close("camera")
    yard.clock.advance(3600)
    yard.tracker.keep(yard.frame())
    assert yard.lives() == [("new", "1"), ("end", "1")]
    began_at = yard.clock.wall()
    yard.see(10, CAT)
    assert yard.lives()[2:] == [("new", "2")]
    (state,) = yard.tracker.open_objects()
    assert state.started_at >= began_at


def test_one_who_was_overlooked_in_the_last_look_at_a_still_scene_is_still_there() -> None:
    yard = Yard()
    yard.see(10, CAT)
    yard.see(1)
    for _ in range(600):
        yard.tracker.keep(yard.frame())
    assert yard.lives() == [("new", "1")]


def test_one_who_left_before_the_scene_became_still_ends() -> None:
    yard = Yard()
    yard.see(10, CAT)
    yard.see(30)
    for _ in range(60):
        yard.tracker.keep(yard.frame())
    assert yard.lives() == [("new", "1"), ("end", "1")]


def test_after_it_has_retired_a_tracker_records_nothing() -> None:
    yard = Yard()
    yard.see(10, CAT)
    yard.tracker.retire("reconfigured")
    yard.see(10, CAT)
    assert yard.lives() == [("new", "1"), ("end", "1")]


def test_a_still_frame_that_overtakes_one_in_the_network_turns_no_time_back() -> None:
    yard = Yard()
    yard.see(10, CAT)
    slow, quick = yard.frame(), yard.frame()
    yard.tracker.keep(quick)
    yard.tracker.follow(slow, (CAT,), (64, 48))
    (state,) = yard.tracker.open_objects()
    assert state.duration_s == 1.1


def test_a_counter_that_begins_again_is_kept_before_it_counts_on() -> None:
    yard = Yard()
    yard.see(3, CAT)
    kept: list[LineCount] = []
    yard.tracker.reset("middle", kept.append)
    assert [(each.line, each.forward, each.backward) for each in kept] == [("middle", 0, 0)]
    yard.tracker.reset_due(AT, kept.append)
    assert len(kept) == 1
    assert yard.clock.monotonic_ns() < NS_PER_S
