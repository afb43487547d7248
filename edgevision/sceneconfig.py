"""What a user can configure about the scene that a camera sees: zones, lines, masks, filters."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from edgevision.configtypes import Name, Score, Seconds, Section

Fraction = Annotated[float, Field(ge=0, le=1)]
Point = tuple[Fraction, Fraction]
Labels = Annotated[tuple[str, ...], Field(min_length=1)]


def _encloses_something(points: tuple[Point, ...]) -> tuple[Point, ...]:
    """Shoelace formula: the area of a simple polygon."""
    pairs = zip(points, (*points[1:], points[0]), strict=True)
    if abs(sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairs)) < 1e-6:
        msg = f"expected corners that enclose an area, got {list(map(list, points))}"
        raise ValueError(msg)
    return points


def _time_of_day(value: object) -> object:
    """Return what YAML 1.1 reads as a number of minutes as it was written: 22:30 as 1350."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 24 * 60:
        return f"{value // 60:02}:{value % 60:02}"
    return value


TimeOfDay = Annotated[
    str,
    Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$"),
    BeforeValidator(_time_of_day, json_schema_input_type=str),
]
Polygon = Annotated[
    tuple[Point, ...],
    Field(min_length=3, max_length=100),
    AfterValidator(_encloses_something),
]


class FilterConfig(Section):
    """Which objects count. What is not given is not asked."""

    min_score: Score | None = None
    """Score that an object must have reached, its highest so far."""
    min_area: Fraction | None = None
    """Smallest share of the frame, 0..1."""
    max_area: Fraction | None = None
    """Largest share of the frame, 0..1."""
    min_ratio: Annotated[float, Field(gt=0, le=1000)] | None = None
    """Smallest width by height, in pixels: a standing person has about 0.4."""
    max_ratio: Annotated[float, Field(gt=0, le=1000)] | None = None
    """Largest width by height, in pixels."""

    @model_validator(mode="after")
    def _in_order(self) -> FilterConfig:
        for low, high in (("min_area", "max_area"), ("min_ratio", "max_ratio")):
            a, b = getattr(self, low), getattr(self, high)
            if a is not None and b is not None and a > b:
                msg = f"expected {low} at most {high}, got {a:g} and {b:g}"
                raise ValueError(msg)
        return self


class ZoneConfig(Section):
    """A named part of the picture; an object is in it while the foot of its box is."""

    polygon: Polygon
    """Corners as fractions of the frame, [[x, y], …]."""
    labels: Labels | None = None
    """Only these labels; default: all."""
    filters: dict[str, FilterConfig] = Field(default_factory=dict)
    """Which objects count in this zone, by label."""
    min_dwell_s: Annotated[float, Field(ge=0, le=86400)] = 0.0
    """An object has entered once it has been inside for this long."""
    loiter_after_s: Seconds | None = None
    """An object that stays this long is published as loitering; default: never."""


class MaskConfig(Section):
    """A part of the picture where nothing is looked for."""

    polygon: Polygon
    """Corners as fractions of the frame, [[x, y], …]."""
    labels: Labels | None = None
    """Only these labels are ignored there; default: all."""
    motion: bool = True
    """Motion there is ignored, too."""


class LineConfig(Section):
    """A line across which objects are counted, with the names of its two sides."""

    points: tuple[Point, Point]
    """Both ends as fractions of the frame, [[x, y], [x, y]]."""
    from_side: Annotated[Name, Field(alias="from")] = "left"
    """Name of the side on the left, looking from the first end to the second."""
    to_side: Annotated[Name, Field(alias="to")] = "right"
    """Name of the side on the right."""
    labels: Labels | None = None
    """Only these labels; default: all."""
    reset_at: TimeOfDay | None = None
    """Local time of day at which the counters begin again, as 00:00; default: never."""

    @model_validator(mode="after")
    def _possible(self) -> LineConfig:
        (x0, y0), (x1, y1) = self.points
        if abs(x1 - x0) + abs(y1 - y0) < 1e-3:
            msg = f"expected two ends apart from each other, got {list(map(list, self.points))}"
            raise ValueError(msg)
        if self.from_side == self.to_side:
            msg = f"expected two names of sides, got {self.from_side!r} for both"
            raise ValueError(msg)
        return self


class MotionConfig(Section):
    """Motion gating: a still scene is not inferred."""

    min_area: Annotated[float, Field(gt=0, le=1)] = 0.0005
    """Smallest share of the frame that has to change at once."""
    threshold: Annotated[int, Field(strict=True, ge=1, le=254)] = 20
    """By how many of 255 grey levels a pixel has to change."""
    hold_s: Seconds = 5.0
    """Frames are inferred for this long after the last motion."""
    refresh_s: Seconds = 30.0
    """A still scene is inferred this often all the same."""


class RegionsConfig(Section):
    """Crops around motion and small objects, inferred besides the full frame."""

    max: Annotated[int, Field(strict=True, ge=1, le=8)] = 2
    """At most this many a frame; each takes as long as a frame."""


class TrackingConfig(Section):
    """When an object is new, gone, or at rest."""

    lost_after_s: Annotated[float, Field(strict=True, ge=0.5, le=600)] = 5.0
    """An object that is not seen for this long has ended."""
    stationary_after_s: Seconds = 10.0
    """An object that has not moved for this long is stationary."""
    update_interval_s: Annotated[float, Field(strict=True, ge=1, le=60)] = 60.0
    """An update is published at least this often while an object is there."""


class SnapshotsConfig(Section):
    """JPEG pictures of the best view of each object."""

    enabled: bool = True
    """Whether they are published."""
    box: bool = True
    """Whether the box is drawn in."""
    crop: bool = False
    """Only the object and what is around it."""
    height: Annotated[int, Field(strict=True, ge=32, le=4096)] = 480
    """Largest height in pixels."""
    quality: Annotated[int, Field(strict=True, ge=1, le=100)] = 80
    """JPEG quality, 1..100."""
