"""What a user can configure about one camera, and about what counts as a detection."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
    Field,
    ValidationInfo,
    field_serializer,
    field_validator,
    model_validator,
)

from edgevision.address import (
    SourceKind,
    classify_source,
    device_path,
    misspelt_address,
    redact_url,
)
from edgevision.configtypes import (
    Name,
    Pixels,
    Score,
    Seconds,
    Section,
    as_text,
    may_be_empty,
    resolve,
)
from edgevision.sceneconfig import (
    FilterConfig,
    LineConfig,
    MaskConfig,
    MotionConfig,
    RegionsConfig,
    ZoneConfig,
)

# Sources that can be asked for a size.
_SIZED = frozenset({SourceKind.DEVICE, SourceKind.CSI})
_Source = Annotated[str, Field(min_length=1, max_length=4096)]


class DetectionConfig(Section):
    """What counts as a detection."""

    min_score: Score = 0.4
    """Objects below this score are not published."""
    label_min_score: dict[str, Score] = Field(default_factory=dict)
    """Scores for single labels, in place of min_score: {Person: 0.5}."""
    labels: tuple[str, ...] | None = None
    """Only these labels; default: all that the model knows."""
    nms_iou: Score = 0.6
    """Of two boxes of one label that overlap more than this, the weaker one goes."""
    max_objects: Annotated[int, Field(strict=True, ge=1, le=400)] = 100
    """At most this many objects a frame, best first."""
    filters: dict[str, FilterConfig] = Field(default_factory=dict)
    """Which objects become events and counts, by label: {Person: {min_area: 0.002}}."""

    def min_score_of(self, label: str) -> float:
        """Return the score from which objects of a label are published."""
        return self.label_min_score.get(label, self.min_score)

    def shifted_score_of(self, label: str, logits: float) -> float:
        """Return `min_score_of` moved on the scale of the network, where it cannot pass 0 or 1.

        A score is 1 / (1 + e^-x) of the network's output x; this moves x.
        """
        score = self.min_score_of(label)
        return 1 / (1 + (1 - score) / score * math.exp(-logits))

    def weak_score_of(self, label: str) -> float:
        """Return the score from which a box may confirm an object that is already tracked.

        A little below what is published (0.35 for 0.4), as Zhang et al. 2022, "ByteTrack",
        associate every box and not only the confident ones.
        """
        return self.shifted_score_of(label, -0.2)


class CameraConfig(Section):
    """One camera, stream, recording or image folder."""

    source: Annotated[
        _Source, BeforeValidator(as_text, json_schema_input_type=_Source | int), Field(repr=False)
    ]
    """0, /dev/v4l/by-id/…, csi, rtsp://…, http://…, a recording, or a folder of images."""
    enabled: bool = True
    """Whether this camera is used."""
    width: Pixels | None = None
    """Width to ask a device for, in pixels; streams and recordings have their own."""
    height: Pixels | None = None
    """Height to ask a device for, in pixels."""
    fps: Annotated[float, Field(strict=True, gt=0, le=1000)] | None = None
    """Rate to ask a device for; pace of a recording or image folder in place of its own."""
    pixel_format: Annotated[str, Field(pattern=r"^[A-Z0-9]{4}$")] | None = None
    """Four-character code to ask a device for; MJPG is what most USB cameras need above 640x480."""
    rotation: Literal[0, 90, 180, 270] = 0
    """Degrees clockwise to turn each frame by."""
    loop: bool = False
    """Begin a recording or image folder again at its end."""
    stall_after_s: Seconds = 10.0
    """A camera without a frame for this long is published as stalled."""
    frozen_after_s: Seconds | None = 60.0
    """A live camera whose picture stays the same for this long is published as frozen."""
    black_after_s: Seconds | None = 10.0
    """A live camera whose picture is dark and empty for this long is published as black."""
    detection: DetectionConfig | None = None
    """Settings that differ from the general ones for this camera."""
    zones: Annotated[dict[Name, ZoneConfig], Field(max_length=64)] = Field(default_factory=dict)
    """Named parts of the picture; the name is part of their topics."""
    lines: Annotated[dict[Name, LineConfig], Field(max_length=64)] = Field(default_factory=dict)
    """Named lines across which objects are counted; the name is part of their topics."""
    masks: Annotated[dict[Name, MaskConfig], Field(max_length=64)] = Field(default_factory=dict)
    """Named parts of the picture where nothing is looked for."""
    motion: Annotated[MotionConfig | None, may_be_empty(MotionConfig)] = None
    """Infer only while something moves; `motion: {}` does it with the defaults."""
    regions: Annotated[RegionsConfig | None, may_be_empty(RegionsConfig)] = None
    """Also infer crops, so that small objects are found; `regions: {}` does it."""

    @field_validator("source")
    @classmethod
    def _absolute(cls, source: str, info: ValidationInfo) -> str:
        source = source.strip()
        expected = misspelt_address(source)
        if expected is not None:
            raise ValueError(expected)
        if classify_source(source).is_live:
            return source
        return str(resolve(Path(source), info))

    @field_serializer("source")
    def _without_secrets(self, source: str) -> str:
        return redact_url(source)

    @model_validator(mode="after")
    def _possible(self) -> CameraConfig:
        if self.kind.is_live and self.loop:
            msg = "expected loop only for recordings and image folders, got it for a live source"
            raise ValueError(msg)
        for key in ("width", "height", "pixel_format"):
            takers = {SourceKind.DEVICE} if key == "pixel_format" else _SIZED
            if getattr(self, key) is not None and self.kind not in takers:
                msg = f"expected {key} only for devices, got it for a {self.kind.value}"
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
        """Return the source as it may be logged and published: without user and password."""
        return redact_url(self.source)
