"""Settings of a camera, of the scene that it sees, and of detection, tracking and snapshots."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationInfo,
    field_serializer,
    field_validator,
    model_validator,
)

from edgevision.config.fields import (
    Name,
    Pixels,
    Score,
    Seconds,
    Section,
    as_text,
    may_be_empty,
    resolve,
)
from edgevision.config.source_url import (
    SourceKind,
    classify_source,
    device_path,
    misspelt_address,
    redact_url,
)

_Source = Annotated[str, Field(min_length=1, max_length=4096)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Point = tuple[Fraction, Fraction]
Labels = Annotated[tuple[str, ...], Field(min_length=1)]


class FilterConfig(Section):
    """Which objects count. A limit that is not set does not apply."""

    min_score: Score | None = None
    """Lowest value of an object's highest score so far."""
    min_area: Fraction | None = None
    """Smallest share of the frame, 0..1."""
    max_area: Fraction | None = None
    """Largest share of the frame, 0..1."""
    min_ratio: Annotated[float, Field(gt=0, le=1000)] | None = None
    """Smallest ratio of width to height, in pixels: a standing person has about 0.4."""
    max_ratio: Annotated[float, Field(gt=0, le=1000)] | None = None
    """Largest ratio of width to height, in pixels."""

    @model_validator(mode="after")
    def _in_order(self) -> FilterConfig:
        for low, high in (("min_area", "max_area"), ("min_ratio", "max_ratio")):
            a, b = getattr(self, low), getattr(self, high)
            if a is not None and b is not None and a > b:
                msg = f"expected {low} to be at most {high}, got {a:g} and {b:g}"
                raise ValueError(msg)
        return self


class DetectionConfig(Section):
    """What counts as a detection."""

    min_score: Score = 0.4
    """Objects below this score are not published."""
    label_min_score: dict[str, Score] = Field(default_factory=dict)
    """Scores for individual labels, in place of min_score: {Person: 0.5}."""
    labels: tuple[str, ...] | None = None
    """Only these labels; default: all labels of the model."""
    nms_iou: Score = 0.6
    """Of two boxes of one label with a higher IoU than this, the weaker one is dropped."""
    max_objects: Annotated[int, Field(strict=True, ge=1, le=400)] = 100
    """At most this many objects per frame, highest score first."""
    filters: dict[str, FilterConfig] = Field(default_factory=dict)
    """Which objects become events and counts, by label: {Person: {min_area: 0.002}}."""

    def min_score_of(self, label: str) -> float:
        """Return the lowest score at which objects of a label are published."""
        return self.label_min_score.get(label, self.min_score)

    def shifted_score_of(self, label: str, logits: float) -> float:
        """Return `min_score_of` shifted by `logits`, so that it stays between 0 and 1.

        A score is 1 / (1 + e^-x) of the network's output x; this shifts x.
        """
        score = self.min_score_of(label)
        return 1 / (1 + (1 - score) / score * math.exp(-logits))

    def weak_score_of(self, label: str) -> float:
        """Return the lowest score at which a box may confirm an object that is already tracked.

        It is a little below the score for publishing (0.35 for 0.4): Zhang et al. 2022,
        "ByteTrack", associate every box, not only the confident ones.
        """
        return self.shifted_score_of(label, -0.2)


def _time_of_day(value: object) -> object:
    """Return the text of a time that YAML 1.1 read as minutes: 1350 is 22:30."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 24 * 60:
        return f"{value // 60:02}:{value % 60:02}"
    return value


TimeOfDay = Annotated[
    str,
    Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$"),
    BeforeValidator(_time_of_day, json_schema_input_type=str),
]


class LineConfig(Section):
    """A line; objects that cross it are counted, by direction between its two named sides."""

    points: tuple[Point, Point]
    """Both ends as fractions of the frame, [[x, y], [x, y]]."""
    from_side: Annotated[Name, Field(alias="from")] = "left"
    """Name of the side on the left, looking from the first end to the second."""
    to_side: Annotated[Name, Field(alias="to")] = "right"
    """Name of the side on the right."""
    labels: Labels | None = None
    """Only these labels; default: all."""
    reset_at: TimeOfDay | None = None
    """Local time of day at which the counters are reset, as 00:00; default: never."""

    @model_validator(mode="after")
    def _possible(self) -> LineConfig:
        (x0, y0), (x1, y1) = self.points
        if abs(x1 - x0) + abs(y1 - y0) < 1e-3:
            msg = f"expected two different ends, got {list(map(list, self.points))}"
            raise ValueError(msg)
        if self.from_side == self.to_side:
            msg = f"expected a different name for each side, got {self.from_side!r} for both"
            raise ValueError(msg)
        return self


def _encloses_something(points: tuple[Point, ...]) -> tuple[Point, ...]:
    """Return the corners if they enclose an area, by the shoelace formula."""
    pairs = zip(points, (*points[1:], points[0]), strict=True)
    if abs(sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairs)) < 1e-6:
        msg = f"expected corners that enclose an area, got {list(map(list, points))}"
        raise ValueError(msg)
    return points


Polygon = Annotated[
    tuple[Point, ...],
    Field(min_length=3, max_length=100),
    AfterValidator(_encloses_something),
]


class MaskConfig(Section):
    """A part of the picture where nothing is detected."""

    polygon: Polygon
    """Corners as fractions of the frame, [[x, y], …]."""
    labels: Labels | None = None
    """Only these labels are ignored there; default: all."""
    motion: bool = True
    """Whether motion there is ignored, too."""


class MotionConfig(Section):
    """Motion gating: frames of a still scene skip inference."""

    min_area: Annotated[float, Field(gt=0, le=1)] = 0.0005
    """Smallest share of the frame that has to change at the same time."""
    threshold: Annotated[int, Field(strict=True, ge=1, le=254)] = 20
    """By how many of 255 grey levels a pixel has to change."""
    hold_s: Seconds = 5.0
    """Inference continues for this long after the last motion."""
    refresh_s: Seconds = 30.0
    """Inference also runs once per this interval while the scene is still."""


class RegionsConfig(Section):
    """Crops around motion and small objects; inference runs on them besides the full frame."""

    max: Annotated[int, Field(strict=True, ge=1, le=8)] = 2
    """At most this many per frame; each takes as long as a full frame."""


class ZoneConfig(Section):
    """A named part of the picture; an object is inside while the foot of its box is."""

    polygon: Polygon
    """Corners as fractions of the frame, [[x, y], …]."""
    labels: Labels | None = None
    """Only these labels; default: all."""
    filters: dict[str, FilterConfig] = Field(default_factory=dict)
    """Which objects count in this zone, by label."""
    min_dwell_s: Annotated[float, Field(ge=0, le=86400)] = 0.0
    """An object has entered after it has been inside for this long."""
    loiter_after_s: Seconds | None = None
    """An object that stays this long is published as loitering; default: never."""


class CameraConfig(Section):
    """One camera, stream, recording or image folder."""

    source: Annotated[
        _Source, BeforeValidator(as_text, json_schema_input_type=_Source | int), Field(repr=False)
    ]
    """0, /dev/v4l/by-id/…, csi, rtsp://…, http://…, a recording, or a folder of images."""
    enabled: bool = True
    """Whether this camera is used."""
    width: Pixels | None = None
    """Width requested from a device, in pixels; streams and recordings have their own."""
    height: Pixels | None = None
    """Height requested from a device, in pixels."""
    fps: Annotated[float, Field(strict=True, gt=0, le=1000)] | None = None
    """Rate requested from a device; for a recording or image folder, the pace to play it at."""
    pixel_format: Annotated[str, Field(pattern=r"^[A-Z0-9]{4}$")] | None = None
    """Four-character code requested from a device; most USB cameras need MJPG above 640x480."""
    rotation: Literal[0, 90, 180, 270] = 0
    """Degrees clockwise to rotate each frame by."""
    loop: bool = False
    """Restart a recording or image folder at its end."""
    stall_after_s: Seconds = 10.0
    """A camera without a frame for this long is published as stalled."""
    frozen_after_s: Seconds | None = 60.0
    """A live camera whose picture stays the same for this long is published as frozen."""
    black_after_s: Seconds | None = 10.0
    """A live camera whose picture is dark and empty for this long is published as black."""
    detection: DetectionConfig | None = None
    """Settings for this camera that differ from the general ones."""
    zones: Annotated[dict[Name, ZoneConfig], Field(max_length=64)] = Field(default_factory=dict)
    """Named parts of the picture; the name is part of their topics."""
    lines: Annotated[dict[Name, LineConfig], Field(max_length=64)] = Field(default_factory=dict)
    """Named lines; objects that cross them are counted; the name is part of their topics."""
    masks: Annotated[dict[Name, MaskConfig], Field(max_length=64)] = Field(default_factory=dict)
    """Named parts of the picture where nothing is detected."""
    motion: Annotated[MotionConfig | None, may_be_empty(MotionConfig)] = None
    """Run inference only while something moves; `motion: {}` uses the defaults."""
    regions: Annotated[RegionsConfig | None, may_be_empty(RegionsConfig)] = None
    """Also run inference on crops, to detect small objects; `regions: {}` uses the defaults."""

    @field_validator("source")
    @classmethod
    def _absolute(cls, source: str, info: ValidationInfo) -> str:
        source = source.strip()
        expected = misspelt_address(source)
        if expected is not None:
            raise ValueError(expected)
        if classify_source(source).is_path:
            return str(resolve(Path(source), info))
        return source

    @field_serializer("source")
    def _without_secrets(self, source: str) -> str:
        return redact_url(source)

    @model_validator(mode="after")
    def _possible(self) -> CameraConfig:
        if self.kind.is_live and self.loop:
            msg = "expected loop only for recordings and image folders, got it for a live source"
            raise ValueError(msg)
        for key in ("width", "height", "pixel_format"):
            if getattr(self, key) is not None and key not in self.kind.takes:
                msg = f"expected {key} only for devices, got it for a {self.kind.name}"
                raise ValueError(msg)
        if (self.width is None) != (self.height is None):
            msg = "expected width and height together, got one of them"
            raise ValueError(msg)
        return self

    @property
    def kind(self) -> SourceKind:
        """Return what kind of source this is."""
        return classify_source(self.source)

    @property
    def device_path(self) -> str:
        """Return a device's file: `0` stands for /dev/video0."""
        return device_path(self.source)

    @property
    def shown_source(self) -> str:
        """Return the source without user and password, for logs and messages."""
        return redact_url(self.source)


class TrackingConfig(Section):
    """When an object has ended or is stationary, and how often it is updated."""

    lost_after_s: Annotated[float, Field(strict=True, ge=0.5, le=600)] = 5.0
    """An object that is not seen for this long has ended."""
    stationary_after_s: Seconds = 10.0
    """An object that has not moved for this long is stationary."""
    update_interval_s: Annotated[float, Field(strict=True, ge=1, le=60)] = 60.0
    """Longest time between two updates of an object that is present."""


class SnapshotsConfig(Section):
    """JPEG pictures of the best view of each object."""

    enabled: bool = True
    """Whether snapshots are published."""
    box: bool = True
    """Whether the box is drawn."""
    crop: bool = False
    """Whether only the object and its surroundings are shown."""
    height: Annotated[int, Field(strict=True, ge=32, le=4096)] = 480
    """Largest height in pixels."""
    quality: Annotated[int, Field(strict=True, ge=1, le=100)] = 80
    """JPEG quality, 1..100."""
