"""The records that travel from the camera to the broker, in that order.

Each package takes one type and returns the next, so two steps cannot be swapped by accident.
Between a frame and its detections lie the network's outputs, float32 arrays by name.
Coordinates change space in three places only: the decoder named on the model card (the
network's outputs to fractions of the model input; `detection.ssd.decode_boxes`),
`inference.preprocess.InputGeometry.to_frame` (fractions of the model input to fractions of the
frame) and, for an image that is a crop, `detection.regions.in_window` (fractions of the model
input to fractions of the frame that the crop was cut from).
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
        """Reject an image that no later step could use."""
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
class Detections:
    """The objects found in one image, best score first; n may be 0.

    Attributes:
        boxes: float32 [n, 4], corners (x0, y0, x1, y1), as fractions of the model input
            as the decoder returns them, and of the frame, clipped to 0..1, after
            `InputGeometry.to_frame`.
        scores: float32 [n], 0..1.
        class_ids: int64 [n], line numbers in the model's label file, from 0.
    """

    boxes: F32
    scores: F32
    class_ids: I64

    def __len__(self) -> int:
        """Return n."""
        return len(self.scores)


@dataclass(frozen=True, slots=True)
class DetectedObject:
    """One detected object as it is published.

    Attributes:
        label: the class name from the model's label file.
        score: 0..1.
        box_frac: (x, y, w, h), top left corner and size as fractions of the frame.
        track_id: id of the track it belongs to, once that is confirmed.
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
        tracking: tracks, zones, lines and their events.
        total: from the frame's arrival to the finished result.
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
        captured_at: time of day at its arrival, UTC.
        captured_ns: monotonic stamp of its arrival.
        frame_size_px: (width, height) as captured, after rotation.
        latency_ms: where the time went.
        objects: the detected objects, best score first.
        candidates: all boxes, including the weak ones that only the tracker uses, best score
            first.
        tracks: the confirmed tracks; none where tracking is off.
        events: the events of this frame, to be published.
        inferred: False for a frame of a still scene, which was not run through the network.
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
    """What became of a camera's frames since the camera was started.

    Attributes:
        captured: frames that the camera delivered.
        inferred: frames that were run through the network.
        published: results that the MQTT connection accepted.
        still: frames that were not inferred because nothing moved.
        overwritten: frames that a newer one replaced before they were inferred.
        unusable: frames that could not be decoded, prepared or inferred.
        unpublished: results that the MQTT connection did not accept.
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
    """The metrics of one camera.

    Attributes:
        camera: name of the camera.
        measured_at: time of day, UTC.
        capture_fps: frames captured per second, 0.0 while the camera delivers none.
        inference_fps: frames inferred per second.
        publish_fps: results published per second.
        frames: counts since the camera was started.
        reconnects: how many times the camera was reopened.
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
