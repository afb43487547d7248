"""A small world with known truth: bodies that move, a camera that sees them, a tracker."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from edgevision.clock import NS_PER_S
from edgevision.config.camera import DetectionConfig, TrackingConfig
from edgevision.frames import DetectedObject
from edgevision.tracking.tracker import Tracker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from edgevision.events import Track
    from edgevision.frames import U8

SIZE_PX = (320, 240)
# A body covered by more than this is not detected.
MAX_COVERED = 0.6


@dataclass(frozen=True)
class Body:
    """An object in the world.

    Attributes:
        foot: its bottom centre at a second, fractions of the frame; None: it is absent.
        label: its label from the detector at a second.
        score: its score from the detector at a second.
        size: width and height, fractions of the frame.
        bgr: its colour.
    """

    foot: Callable[[float], tuple[float, float] | None]
    label: Callable[[float], str] = lambda _second: "Person"
    score: Callable[[float], float] = lambda _second: 0.7
    size: tuple[float, float] = (0.1, 0.3)
    bgr: tuple[int, int, int] = (60, 60, 160)

    def box(self, second: float) -> tuple[float, float, float, float] | None:
        foot = self.foot(second)
        if foot is None:
            return None
        width, height = self.size
        return (foot[0] - width / 2, foot[1] - height, width, height)


@dataclass
class Seen:
    """The tracks of one frame, and the number of each body."""

    second: float
    tracks: tuple[Track, ...]
    at: dict[int, int] = field(default_factory=dict)


def standing(x: float, y: float = 0.8) -> Callable[[float], tuple[float, float]]:
    return lambda _second: (x, y)


def walking(x: float, speed: float, y: float = 0.8) -> Callable[[float], tuple[float, float]]:
    return lambda second: (x + speed * second, y)


def during(
    there: Callable[[float], tuple[float, float]], *spans: tuple[float, float]
) -> Callable[[float], tuple[float, float] | None]:
    """Be present only in these spans of seconds."""
    return lambda second: there(second) if any(a <= second < b for a, b in spans) else None


def make_tracker(lost_after_s: float = 5.0, **detection: object) -> Tracker:
    return Tracker(
        DetectionConfig.model_validate(detection), TrackingConfig(lost_after_s=lost_after_s)
    )


def watch(
    *bodies: Body,
    seconds: Iterable[float],
    tracker: Tracker | None = None,
    with_image: bool = True,
) -> list[Seen]:
    """Run the tracker on the world at these seconds."""
    tracker = tracker or make_tracker()
    history = []
    for second in seconds:
        detected = detect(bodies, second)
        found = [one for _, one in detected]
        image = render(bodies, second) if with_image else None
        tracks = tracker.step(found, image, SIZE_PX, round(second * NS_PER_S))
        seen = Seen(second, tracks)
        for track in tracks:
            if track.detection is not None:
                seen.at[detected[track.detection][0]] = track.number
        history.append(seen)
    return history


def frames(fps: float, seconds: float, start: float = 0.0) -> list[float]:
    return [start + frame / fps for frame in range(round(fps * seconds))]


def numbers_of(history: Iterable[Seen], body: int) -> list[int]:
    """Return the numbers that a body has had, in order."""
    found: list[int] = []
    for seen in history:
        number = seen.at.get(body)
        if number is not None and (not found or found[-1] != number):
            found.append(number)
    return found


def all_numbers(history: Iterable[Seen]) -> set[int]:
    return {track.number for seen in history for track in seen.tracks}


def detect(bodies: tuple[Body, ...], second: float) -> list[tuple[int, DetectedObject]]:
    """Return the detections and the index of the body of each: those that no nearer one covers."""
    boxes = [body.box(second) for body in bodies]
    found = []
    for index, (body, box) in enumerate(zip(bodies, boxes, strict=True)):
        if box is None:
            continue
        nearer = [
            other
            for place, other in enumerate(boxes)
            if other is not None and (other[1] + other[3], place) > (box[1] + box[3], index)
        ]
        if max((covered(box, other) for other in nearer), default=0.0) <= MAX_COVERED:
            found.append((index, DetectedObject(body.label(second), body.score(second), box)))
    return sorted(found, key=lambda one: -one[1].score)


def covered(
    box: tuple[float, float, float, float], other: tuple[float, float, float, float]
) -> float:
    width = min(box[0] + box[2], other[0] + other[2]) - max(box[0], other[0])
    height = min(box[1] + box[3], other[1] + other[3]) - max(box[1], other[1])
    return max(0.0, width) * max(0.0, height) / (box[2] * box[3])


def render(bodies: tuple[Body, ...], second: float) -> U8:
    """Draw the bodies over a grey background, the nearest last."""
    width, height = SIZE_PX
    image = np.full((height, width, 3), 120, np.uint8)
    placed = [(box[1] + box[3], body, box) for body in bodies if (box := body.box(second))]
    for _, body, (x, y, w, h) in sorted(placed, key=lambda item: item[0]):
        left, right = (round(np.clip(v, 0, 1) * width) for v in (x, x + w))
        top, bottom = (round(np.clip(v, 0, 1) * height) for v in (y, y + h))
        image[top:bottom, left:right] = body.bgr
    return image
