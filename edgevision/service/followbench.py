"""What it costs to follow twenty objects at once."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from edgevision.capture.source import open_source
from edgevision.clock import NS_PER_S, SystemClock, elapsed_ms
from edgevision.labels import known_labels
from edgevision.records import DetectedObject, Frame
from edgevision.sceneconfig import LineConfig, ZoneConfig
from edgevision.service.bench import Timings
from edgevision.service.watcher import Watcher

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgevision.cameraconfig import CameraConfig
    from edgevision.card import Model
    from edgevision.config import Config
    from edgevision.records import U8

OBJECTS = 20
FPS = 10
WARM_UP = 20
# Objects walk about; each box is off by this share of its size, and one in ten is not found.
JITTER = 0.03
MISSED = 0.1
_ZONE = ZoneConfig(polygon=((0.3, 0.3), (0.7, 0.3), (0.7, 0.7), (0.3, 0.7)))
_LINE = LineConfig.model_validate({"points": ((0.5, 0.0), (0.5, 1.0))})


def measure_following(model: Model, config: Config, source: CameraConfig, frames: int) -> Timings:
    """Time the whole step behind the network: tracker, zone, line, events.

    Args:
        model: gives the label.
        config: detection and tracking settings.
        source: a recording, in whose pictures the objects are.
        frames: how many to measure over.
    """
    scene = source.model_copy(update={"zones": {"middle": _ZONE}, "lines": {"middle": _LINE}})
    config = config.model_copy(update={"cameras": {"bench": scene}})
    clock = SystemClock()
    watcher = Watcher("bench", config, new_id=map(str, itertools.count()).__next__, clock=clock)
    pictures = itertools.cycle(_pictures(source, 16))
    label = known_labels(model)[0]
    score = config.detection.shifted_score_of(label, 0.5)
    timings, at = Timings(), clock.wall()
    for number, boxes in enumerate(itertools.islice(_walks(), WARM_UP + frames)):
        found = tuple(DetectedObject(label, score, box) for box in boxes)
        picture = next(pictures)
        size_px = picture.shape[1], picture.shape[0]
        frame = Frame("bench", number, picture, number * NS_PER_S // FPS, at)
        begun_ns = clock.monotonic_ns()
        watcher.step(frame, found, size_px)
        if number >= WARM_UP:
            timings.values_ms.append(elapsed_ms(begun_ns, clock.monotonic_ns()))
    return timings


def _pictures(source: CameraConfig, count: int) -> list[U8]:
    opened = open_source(source)
    try:
        pictures: list[U8] = []
        while len(pictures) < count and opened.grab():
            pictures.append(opened.retrieve())
        return pictures
    finally:
        opened.close()


def _walks() -> Iterator[list[tuple[float, float, float, float]]]:
    """Yield the boxes of each frame: (x, y, w, h) as fractions of the frame."""
    random = np.random.default_rng(1)
    places = random.uniform(0.05, 0.8, (OBJECTS, 2))
    steps = random.uniform(-0.1, 0.1, (OBJECTS, 2)) / FPS
    size = np.array([0.05, 0.15])
    while True:
        places += steps
        steps[(places < 0.02) | (places > 0.83)] *= -1
        places = places.clip(0.0, 0.85)
        seen = random.random(OBJECTS) > MISSED
        shown = places[seen] + random.normal(0, JITTER, (int(seen.sum()), 2)) * size
        yield [(float(x), float(y), 0.05, 0.15) for x, y in shown.clip(0.0, 0.85)]
