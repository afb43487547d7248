from __future__ import annotations

import gc
import random
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from types import FunctionType, ModuleType

from pydantic import BaseModel
from tracking.stage import DRIVE, GATE, MOMENT, SIZE_PX, YARD, box_at, camera, make_scene

from edgevision.clock import NS_PER_S
from edgevision.events import Event, LineEvent, ObjectEvent, Track, ZoneEvent
from edgevision.tracking.scene import Scene

FRAME_S = 3
AT_ONCE = 3
HOUR_S = 3600
PORCH = camera(
    zones={"drive": DRIVE | {"loiter_after_s": 20.0}, "yard": YARD | {"min_dwell_s": 3.0}},
    lines={"gate": GATE},
    masks={"corner": {"polygon": [[0.0, 0.0], [0.2, 0.0], [0.2, 0.6], [0.0, 0.6]]}},
)


class Visitors:
    """Three visitors at a time wander about, are hidden at times, leave, and are replaced."""

    def __init__(self) -> None:
        self._dice = random.Random(5)  # noqa: S311 - the same day on each run
        self._there: dict[int, tuple[float, float]] = {}
        self._begun_ns: dict[int, int] = {}
        self.number = 0

    def tracks(self, now_ns: int) -> list[Track]:
        dice = self._dice
        for number in list(self._there):
            if dice.random() < 0.03:
                del self._there[number], self._begun_ns[number]
        while len(self._there) < AT_ONCE:
            self.number += 1
            self._there[self.number] = (dice.random(), dice.random())
            self._begun_ns[self.number] = now_ns
        return [self._track(number, now_ns) for number in self._there]

    def _track(self, number: int, now_ns: int) -> Track:
        dice = self._dice
        x, y = self._there[number]
        x = min(max(x + dice.uniform(-0.06, 0.06), 0.0), 1.0)
        y = min(max(y + dice.uniform(-0.06, 0.06), 0.0), 1.0)
        self._there[number] = (x, y)
        seen = self._begun_ns[number] == now_ns or dice.random() < 0.95
        label = ("Person", "Car", "Dog")[number % 3]
        detection = 0 if seen else None
        box = box_at((x, y))
        begun_ns = self._begun_ns[number]
        return Track(number, label, 0.6, box, detection, seen, seen, begun_ns, now_ns)


class Ledger:
    """Counts what is published, and refuses what is impossible."""

    def __init__(self) -> None:
        self.published: Counter[str] = Counter()
        self.crossed: Counter[str] = Counter()
        self.ids: set[str] = set()
        self.open: set[str] = set()
        self._in: set[tuple[str, str]] = set()

    def take(self, event: Event) -> None:
        if isinstance(event, LineEvent):
            assert event.object.id in self.open
            self.crossed[event.to_side] += 1
            return
        self.published[event.kind] += 1
        if isinstance(event, ZoneEvent):
            self._take_zone(event.object.id, event)
            return
        assert isinstance(event, ObjectEvent)
        one = event.after.id
        if event.kind == "new":
            assert one not in self.ids
            self.ids.add(one)
            self.open.add(one)
        assert one in self.open
        if event.kind == "end":
            assert not any((one, zone) in self._in for zone in PORCH.zones)
            self.open.remove(one)

    def _take_zone(self, one: str, event: ZoneEvent) -> None:
        assert one in self.open
        stay = (one, event.zone)
        assert (stay in self._in) == (event.kind != "enter")
        if event.kind == "enter":
            self._in.add(stay)
        elif event.kind == "leave":
            self._in.remove(stay)


def test_a_day_of_visitors_leaves_nothing_behind_and_every_new_has_its_end() -> None:
    scene, visitors, ledger = make_scene(PORCH), Visitors(), Ledger()
    sizes = []
    for now_s in range(0, 24 * HOUR_S, FRAME_S):
        now_ns = now_s * NS_PER_S
        _take(scene, visitors.tracks(now_ns), now_ns, ledger)
        assert {one.id for one in scene.open_objects} == ledger.open or now_s % 60
        if now_s % HOUR_S == HOUR_S - FRAME_S:
            _take(scene, (), now_ns + 1, ledger)
            sizes.append(sum(sys.getsizeof(each) for each in _held_by(scene)))
            assert not any(each.count for each in scene.occupancy())
    assert ledger.open == set()
    assert (
        ledger.published["new"]
        == ledger.published["end"]
        == len(ledger.ids)
        > visitors.number * 0.9
    )
    assert ledger.published["enter"] == ledger.published["leave"] > 1000
    assert ledger.published["loitering"] > 100
    (gate,) = scene.line_counts()
    assert (gate.forward, gate.backward) == (ledger.crossed["garden"], ledger.crossed["street"])
    assert gate.forward > 100
    assert gate.since == MOMENT
    assert max(sizes) <= sizes[0] * 1.1


def _take(scene: Scene, tracks: list[Track] | tuple[()], now_ns: int, ledger: Ledger) -> None:
    for event in scene.step(tracks, now_ns=now_ns, at=_wall(now_ns), frame_size_px=SIZE_PX):
        ledger.take(event)


def _wall(now_ns: int) -> datetime:
    """The time of day is set by an hour, back or forward, now and then."""
    now_s = now_ns / NS_PER_S
    return MOMENT + timedelta(seconds=now_s, hours=(0, 1, 0, -1)[int(now_s / 1000) % 4])


def _held_by(scene: Scene) -> Iterator[object]:
    """Yield everything that a scene holds, without its configuration and its code."""
    waiting: list[object] = [vars(scene)]
    known: set[int] = set()
    while waiting:
        one = waiting.pop()
        outside = isinstance(one, type | FunctionType | ModuleType | BaseModel)
        if id(one) not in known and not outside:
            known.add(id(one))
            yield one
            waiting += gc.get_referents(one)
