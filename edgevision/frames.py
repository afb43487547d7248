"""The records that travel from the camera to the broker, in that order.

Each room takes one type and gives the next, so two steps cannot be swapped by accident.
Coordinates change space in two places only: `detection.boxes.decode_boxes` (SSD offsets to
fractions of the model input) and `inference.preprocess.InputGeometry.to_frame` (fractions
of the model input to fractions of the frame).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgevision.errors import BadFrameError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from edgevision.clock import Percentiles
    from edgevision.events import Event, Track

U8: TypeAlias = NDArray[np.uint8]

F32: TypeAlias = NDArray[np.float32]

I64: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture from one camera.

    Attributes:
        camera: the camera's name in the configuration.
        sequence: number of this frame at its camera, from 0; overwritten frames leave gaps.
        image: uint8 [height, width, 3] BGR, [height, width] or [h, w, 1] grey, or [h, w, 4]
            BGRA; at least one pixel.
        captured_ns: monotonic stamp taken when the frame had arrived.
        captured_at: the time of day of the same moment, UTC; only ever published.

    Raises:
        BadFrameError: the image is empty or of another type or shape.
    """

    camera: str
    sequence: int
    image: U8
    captured_ns: int
    captured_at: datetime

    def __post_init__(self) -> None:
        """Refuse what no later step could use."""
        image = self.image
        channels = image.shape[2] if image.ndim == 3 else 1
        usable = image.dtype == np.uint8 and image.ndim in {2, 3} and channels in {1, 3, 4}
        if not usable or image.size == 0:
            msg = (
                f"{self.camera}: expected a frame of uint8 [height, width] with 1, 3 or 4 "
                f"channels, got {image.dtype} {list(image.shape)}"
            )
            raise BadFrameError(msg)


@dataclass(frozen=True, slots=True)
class RawOutputs:
    """What an SSD network emits for one image, a = number of anchors.

    Attributes:
        box_offsets: float32 [a, 4], (ty, tx, th, tw) relative to the anchors.
        class_logits: float32 [a, c], before the sigmoid; the background class included.
    """

    box_offsets: F32
    class_logits: F32


@dataclass(frozen=True, slots=True)
class Detections:
    """The objects found in one image, best score first; n may be 0.

    Attributes:
        boxes: float32 [n, 4], corners (x0, y0, x1, y1), as fractions of the model input
            when they leave the detection room and of the frame, clipped to 0..1, after
            `InputGeometry.to_frame`.
        scores: float32 [n], 0..1.
        class_ids: int64 [n], line numbers of the model's label file, from 0.
    """

    boxes: F32
    scores: F32
    class_ids: I64

    def __len__(self) -> int:
        """Return n."""
        return len(self.scores)


@dataclass(frozen=True, slots=True)
class DetectedObject:
    """One object as it is published.

    Attributes:
        label: the class name from the model's label file.
        score: 0..1.
        box_frac: (x, y, w, h), left upper corner and size as fractions of the frame.
        track_id: id of the object that it belongs to, once that is confirmed.
    """

    label: str
    score: float
    box_frac: tuple[float, float, float, float]
    track_id: str | None = None


@dataclass(frozen=True, slots=True)
class StageLatency:
    """Where the time of one frame went, in milliseconds.

    Attributes:
        capture: conversion to BGR, rotation and waiting in the newest-frame slot.
        preprocess: resize to the model input.
        inference: the network.
        decode: thresholds, box decoding and non-maximum suppression.
        tracking: objects over time, zones, lines and their events.
        total: from arrival to the finished result.
    """

    capture: float
    preprocess: float
    inference: float
    decode: float
    tracking: float
    total: float


@dataclass(frozen=True, slots=True)
class FrameResult:
    """Everything known about one inferred frame.

    Attributes:
        camera: the camera's name in the configuration.
        frame: the frame's sequence number.
        captured_at: time of day of its arrival, UTC.
        captured_ns: monotonic stamp of its arrival.
        frame_size_px: (width, height) as captured, after rotation.
        latency_ms: where the time went.
        objects: what was found, best score first.
        candidates: all boxes down to the weak ones that only the tracker takes, best score first.
        tracks: the confirmed objects; none where nothing is tracked.
        events: what is to be told of them.
        inferred: False for a frame of a still scene, in which nothing was looked for.
    """

    camera: str
    frame: int
    captured_at: datetime
    captured_ns: int
    frame_size_px: tuple[int, int]
    latency_ms: StageLatency
    objects: tuple[DetectedObject, ...]
    candidates: tuple[DetectedObject, ...] = ()
    tracks: tuple[Track, ...] = ()
    events: tuple[Event, ...] = ()
    inferred: bool = True


@dataclass(frozen=True, slots=True)
class FrameCounts:
    """How many frames of a camera went which way since it was started.

    Attributes:
        captured: frames that the camera delivered.
        inferred: frames that the network has seen.
        published: results that the MQTT connection took.
        still: frames that were not inferred because nothing moved.
        overwritten: frames that a newer one replaced before they were inferred.
        unusable: frames that could not be decoded, prepared or inferred.
        unpublished: results that the MQTT connection did not take.
    """

    captured: int
    inferred: int
    published: int
    still: int
    overwritten: int
    unusable: int
    unpublished: int


@dataclass(frozen=True, slots=True)
class CameraMetrics:
    """What is measured of one camera.

    Attributes:
        camera: name of the camera.
        measured_at: wall clock.
        capture_fps: frames a second that arrive, 0.0 while the camera delivers none.
        inference_fps: frames a second that are inferred.
        publish_fps: results a second that are published.
        frames: counts since the camera was started.
        reconnects: how many times the camera was opened again.
        latency_ms: percentiles by stage, in milliseconds; None before the first published result.
    """

    camera: str
    measured_at: datetime
    capture_fps: float
    inference_fps: float
    publish_fps: float
    frames: FrameCounts
    reconnects: int
    latency_ms: Mapping[str, Percentiles] | None
