from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edgevision.pipeline.threads import FrameSlots

NOW = 0.0
IN_TIME_S = 30.0


@dataclass(frozen=True)
class Numbered:
    """A frame, as far as slots care."""

    camera: str
    number: int


def filled(*frames: Numbered) -> FrameSlots[Numbered]:
    slots = FrameSlots[Numbered]()
    for frame in frames:
        slots.put(frame)
    return slots


def test_a_frame_is_taken_once() -> None:
    slots = filled(Numbered("yard", 1))
    assert slots.take(NOW) == Numbered("yard", 1)
    assert slots.take(NOW) is None


def test_of_3_frames_of_a_camera_the_newest_is_taken_and_2_are_counted() -> None:
    slots = filled(*(Numbered("yard", number) for number in (1, 2, 3)))
    assert slots.take(NOW) == Numbered("yard", 3)
    assert slots.overwritten("yard") == 2


def test_a_camera_that_never_overwrote_counts_0() -> None:
    assert FrameSlots[Numbered]().overwritten("yard") == 0


def test_an_overwritten_frame_keeps_its_cameras_turn() -> None:
    slots = filled(Numbered("slow", 1), Numbered("fast", 1), Numbered("slow", 2))
    assert slots.take(NOW) == Numbered("slow", 2)


def test_a_camera_50_times_as_fast_gets_every_other_turn_and_no_more() -> None:
    slots, taken = FrameSlots[Numbered](), Counter[str]()
    for turn in range(100):
        for number in range(50):
            slots.put(Numbered("fast", 50 * turn + number))
        slots.put(Numbered("slow", turn))
        for _ in range(2):
            frame = slots.take(NOW)
            assert frame is not None
            taken[frame.camera] += 1
    assert taken == {"fast": 100, "slow": 100}
    assert slots.overwritten("slow") == 0


def test_waiting_ends_when_another_thread_brings_a_frame() -> None:
    slots = FrameSlots[Numbered]()
    bringing = threading.Thread(target=slots.put, args=(Numbered("yard", 1),))
    bringing.start()
    assert slots.take(IN_TIME_S) == Numbered("yard", 1)
    bringing.join()


@pytest.mark.parametrize("takers", [1, 3])
def test_frames_of_4_threads_are_each_taken_or_counted_as_overwritten(takers: int) -> None:
    slots, each = FrameSlots[Numbered](), 300
    cameras = [f"camera{index}" for index in range(4)]
    taken: list[Numbered] = []
    done = threading.Event()

    def bring(camera: str) -> None:
        for number in range(each):
            slots.put(Numbered(camera, number))

    def take() -> None:
        while True:
            last = done.is_set()
            frame = slots.take(0.001)
            if frame is not None:
                taken.append(frame)
            elif last:
                return

    bringing = [threading.Thread(target=bring, args=(camera,)) for camera in cameras]
    taking = [threading.Thread(target=take) for _ in range(takers)]
    for thread in (*bringing, *taking):
        thread.start()
    for thread in bringing:
        thread.join()
    done.set()
    for thread in taking:
        thread.join()
    counts = Counter(frame.camera for frame in taken)
    assert {
        camera: counts[camera] + slots.overwritten(camera) for camera in cameras
    } == dict.fromkeys(cameras, each)
    assert len(set(taken)) == len(taken)


class SlotsMachine(RuleBasedStateMachine):
    """Slots beside a model of them: cameras in the order of their turn, newest number each."""

    def __init__(self) -> None:
        super().__init__()
        self.slots = FrameSlots[Numbered]()
        self.turns: list[str] = []
        self.newest: dict[str, int] = {}
        self.put_count, self.taken_count = Counter[str](), Counter[str]()

    @rule(camera=st.sampled_from("abc"))
    def put(self, camera: str) -> None:
        self.put_count[camera] += 1
        self.newest[camera] = self.put_count[camera]
        if camera not in self.turns:
            self.turns.append(camera)
        self.slots.put(Numbered(camera, self.newest[camera]))

    @rule()
    def take(self) -> None:
        frame = self.slots.take(NOW)
        if not self.turns:
            assert frame is None
            return
        camera = self.turns.pop(0)
        assert frame == Numbered(camera, self.newest[camera])
        self.taken_count[camera] += 1

    @invariant()
    def every_frame_was_taken_overwritten_or_waits(self) -> None:
        for camera in "abc":
            waiting = int(camera in self.turns)
            accounted = self.taken_count[camera] + self.slots.overwritten(camera) + waiting
            assert accounted == self.put_count[camera]


TestSlotsMachine = SlotsMachine.TestCase


def test_a_frame_that_still_waits_at_the_end_is_counted() -> None:
    slots = filled(Numbered("yard", 1))
    slots.drop_waiting()
    assert slots.overwritten("yard") == 1
    assert slots.take(NOW) is None
