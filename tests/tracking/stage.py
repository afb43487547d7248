"""A synthetic world: actors with known trajectories, as the tracks of a perfect tracker."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from edgevision.clock import NS_PER_S
from edgevision.config.camera import CameraConfig, DetectionConfig, TrackingConfig
from edgevision.events import Event, LineCount, LineEvent, ObjectEvent, Track, ZoneEvent
from edgevision.tracking.history import History, Moment
from edgevision.tracking.scene import Scene

MOMENT = datetime(2026, 1, 31, 12, tzinfo=UTC)
SIZE_PX = (640, 480)
# Two zones side by side in the lower half, and a line across the whole picture between them.
DRIVE = {"polygon": [[0.0, 0.5], [0.5, 0.5], [0.5, 1.0], [0.0, 1.0]]}
YARD = {"polygon": [[0.5, 0.5], [1.0, 0.5], [1.0, 1.0], [0.5, 1.0]]}
GATE = {"points": [[0.5, 1.0], [0.5, 0.0]], "from": "street", "to": "garden"}


@dataclass(frozen=True)
class Actor:
    """One object: where its foot is at which second, in fractions of the frame."""

    way: Sequence[tuple[float, float, float]]
    label: str = "Person"
    size: tuple[float, float] = (0.1, 0.3)
    score: float = 0.8
    hidden: Sequence[tuple[float, float]] = ()
    jitter: Callable[[int], tuple[float, float]] = field(default=lambda _: (0.0, 0.0))

    def foot(self, now_s: float) -> tuple[float, float]:
        """Return where it is; it moves evenly from point to point and stays at the last."""
        ways = itertools.pairwise(self.way)
        for (s0, x0, y0), (s1, x1, y1) in ways:
            if now_s < s1:
                share = max(now_s - s0, 0.0) / (s1 - s0)
                return x0 + share * (x1 - x0), y0 + share * (y1 - y0)
        return self.way[-1][1:]

    def is_seen(self, now_s: float) -> bool:
        """Return whether it is in the frame and not hidden."""
        there = self.way[0][0] <= now_s <= self.way[-1][0]
        return there and not any(begin <= now_s < end for begin, end in self.hidden)


def box_at(
    foot: tuple[float, float], size: tuple[float, float] = (0.1, 0.3)
) -> tuple[float, float, float, float]:
    """Return the box (x, y, w, h) of this size that stands on a point."""
    return foot[0] - size[0] / 2, foot[1] - size[1], *size


def camera(**scene: object) -> CameraConfig:
    return CameraConfig.model_validate({"source": "0"} | scene)


def make_scene(
    config: CameraConfig | None = None,
    *,
    detection: DetectionConfig | None = None,
    tracking: TrackingConfig | None = None,
    counts: Iterable[LineCount] = (),
) -> Scene:
    """Return a scene whose object ids are 1, 2, 3, …"""
    ids = itertools.count(1)
    return Scene(
        "porch",
        config or camera(),
        detection or DetectionConfig(),
        tracking or TrackingConfig(),
        new_id=lambda: str(next(ids)),
        counts=counts,
    )


class World:
    """Plays actors to a scene and records the events it returns, with the second of each."""

    def __init__(self, scene: Scene, *actors: Actor, lost_after_s: float = 2.0) -> None:
        self.scene = scene
        self.events: list[Event] = []
        self.published: list[tuple[float, str]] = []
        self.wall_step = timedelta()
        self._actors = dict(enumerate(actors, start=1))
        self._lost_after_s = lost_after_s
        self._begun_ns: dict[int, int] = {}
        self._seen_ns: dict[int, int] = {}
        self._frame = 0

    def play(self, *, until_s: float, fps: float = 10.0, every: int = 1) -> World:
        """Continue to play; of `every` frames only the first arrives."""
        begin = self._frame / fps
        for _ in range(round((until_s - begin) * fps) + 1):
            if self._frame % every == 0:
                self._step(self._frame / fps)
            self._frame += 1
        return self

    def close(self, reason: str, now_s: float) -> World:
        at = self._wall(now_s)
        self._keep(now_s, self.scene.close(reason, now_ns=round(now_s * NS_PER_S), at=at))  # type: ignore[arg-type]
        return self

    @property
    def lines(self) -> list[str]:
        """Return what was published, without the times."""
        return [text for _, text in self.published]

    def moments(self, text: str) -> list[float]:
        """Return the seconds at which this was published."""
        return [now_s for now_s, published in self.published if published == text]

    def _step(self, now_s: float) -> None:
        now_ns = round(now_s * NS_PER_S)
        tracks = [
            track
            for number, actor in self._actors.items()
            if (track := self._track(number, actor, now_s, now_ns)) is not None
        ]
        at = self._wall(now_s)
        self._keep(now_s, self.scene.step(tracks, now_ns=now_ns, at=at, frame_size_px=SIZE_PX))

    def _track(self, number: int, actor: Actor, now_s: float, now_ns: int) -> Track | None:
        seen = actor.is_seen(now_s)
        if seen:
            self._begun_ns.setdefault(number, now_ns)
            self._seen_ns[number] = now_ns
        seen_ns = self._seen_ns.get(number)
        if seen_ns is None or now_ns - seen_ns >= self._lost_after_s * NS_PER_S:
            return None
        x, y = actor.foot(now_s)
        off_x, off_y = actor.jitter(self._frame)
        return Track(
            number=number,
            label=actor.label,
            score=actor.score,
            box_frac=box_at((x + off_x, y + off_y), actor.size),
            detection=number if seen else None,
            seen=seen,
            shown=seen,
            begun_ns=self._begun_ns[number],
            seen_ns=seen_ns,
        )

    def _wall(self, now_s: float) -> datetime:
        return MOMENT + timedelta(seconds=now_s) + self.wall_step

    def _keep(self, now_s: float, events: tuple[Event, ...]) -> None:
        self.events += events
        self.published += [(round(now_s, 3), summary(event)) for event in events]


def summary(event: Event) -> str:
    """Return an event in a few words: new 1, enter drive 1, line gate street>garden 1."""
    if isinstance(event, ObjectEvent):
        reason = "" if event.kind == "new" else f" {event.reason}"
        return f"{event.kind}{reason} {event.after.id}"
    if isinstance(event, ZoneEvent):
        return f"{event.kind} {event.zone} {event.object.id}"
    assert isinstance(event, LineEvent)
    return f"line {event.line} {event.from_side}>{event.to_side} {event.object.id}"


def seen_at(
    foot: tuple[float, float],
    now_s: float = 0.0,
    *,
    label: str = "Person",
    score: float = 0.8,
    size: tuple[float, float] = (0.1, 0.3),
) -> History:
    """Return an object that is seen first at a second, standing on a point."""
    when = Moment(round(now_s * NS_PER_S), MOMENT + timedelta(seconds=now_s), SIZE_PX)
    track = Track(
        number=1,
        label=label,
        score=score,
        box_frac=box_at(foot, size),
        detection=0,
        seen=True,
        shown=True,
        begun_ns=when.now_ns,
        seen_ns=when.now_ns,
    )
    return History(track, when, stationary_after_s=10.0)
