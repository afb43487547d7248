"""What a user can configure about one camera, and about what counts as a detection."""

from __future__ import annotations

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
from edgevision.configtypes import Pixels, Score, Seconds, Section, as_text, resolve

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
