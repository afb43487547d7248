"""Records of what happens at a camera: its state, tracked objects, their events, and counts."""

from __future__ import annotations

import itertools
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from edgevision.boxes import area_of, ratio_of

if TYPE_CHECKING:
    from datetime import datetime

    from edgevision.boxes import BoxFrac
    from edgevision.errors import CameraFault

Status: TypeAlias = Literal["online", "offline", "stalled", "frozen", "black", "disabled"]

# Frames of a camera with one of these statuses are inferred.
DELIVERING: frozenset[Status] = frozenset({"online", "frozen", "black"})

ObjectEventKind: TypeAlias = Literal["new", "update", "end"]

# Why an object event is published. `end`: lost from sight; the camera stopped delivering; its
# settings changed; the service stops; the service was interrupted, which its next start reports.
Reason: TypeAlias = Literal[
    "appeared",
    "zone",
    "stationary",
    "label",
    "better_view",
    "interval",
    "lost",
    "camera",
    "reconfigured",
    "stopped",
    "interrupted",
]


@dataclass(frozen=True, slots=True)
class CameraState:
    """What a camera is doing.

    Attributes:
        status: as published.
        reason: why, as text for people.
        since: time of day when this status, with this fault, started, UTC.
        fault: what is wrong with a live camera, for programs.
        frame_size: width and height of the last frame, after rotation.
    """

    status: Status
    reason: str
    since: datetime
    fault: CameraFault | None = None
    frame_size: tuple[int, int] | None = None


class EventIds:
    """The ids of the events of one run: unique across runs, numbered without gaps within one."""

    def __init__(self, started_at: datetime, *, salt: str | None = None) -> None:
        """Start with 1.

        Args:
            started_at: time of day of the run; the ids start with it.
            salt: lower-case hexadecimal digits that keep the runs of a board apart whose clock
                starts at the same time of day on each boot; default: random ones. A replay sets
                its own, so that its ids are the same each time.
        """
        moment = max(0, round(started_at.timestamp() * 1000))
        self._run = f"{moment:011x}{secrets.token_hex(4) if salt is None else salt}"
        self._numbers = itertools.count(1)

    def next(self) -> str:
        """Return an id that has not been used."""
        return f"{self._run}-{next(self._numbers):08x}"


@dataclass(frozen=True, slots=True)
class Track:
    """One confirmed object as the tracker sees it after one frame.

    Attributes:
        number: unique and ascending within a tracker.
        label: the label with the highest sum of scores over its life, by a tenth at least.
        score: of the last detection that belonged to it.
        box_frac: (x, y, w, h), left upper corner and size as fractions of the frame, smoothed;
            predicted while it is not seen. May reach beyond the frame.
        detection: index of the detection of this frame that belongs to it; None: there is none.
        seen: a detection of the last inferred frame belonged to it.
        shown: it is seen, and its recent scores support it; `evaluate` counts these objects.
        begun_ns: monotonic stamp of the frame in which it was first seen.
        seen_ns: monotonic stamp of the frame in which it was last seen.
    """

    number: int
    label: str
    score: float
    box_frac: BoxFrac
    detection: int | None
    seen: bool
    shown: bool
    begun_ns: int
    seen_ns: int


@dataclass(frozen=True, slots=True)
class PathPoint:
    """Where the foot of an object's box, its bottom-centre point, was at a time of day (UTC)."""

    x_frac: float
    y_frac: float
    at: datetime


@dataclass(frozen=True, slots=True)
class ObjectState:
    """All that is published about an object at one moment.

    Attributes:
        id: unique across cameras and restarts.
        camera: the camera's name in the configuration.
        label: by vote over its life.
        score: of the last detection that belonged to it, 0..1.
        top_score: the highest so far.
        box_frac: (x, y, w, h) as fractions of the frame, clipped to it.
        frame_size_px: (width, height) of the frame.
        started_at: time of day of its first frame, UTC; never changes.
        ended_at: time of day of its last frame, UTC, once it has ended.
        duration_s: monotonic seconds from its first frame to its last.
        current_zones: names of the zones it is in, in the order of the configuration.
        entered_zones: names of all zones it has been in, in the order of entering.
        loitering_zones: those of current_zones where it has stayed for their `loiter_after_s`.
        stationary: it has not moved for `tracking.stationary_after_s`.
        motionless_frames: frames since it last moved.
        position_changes: how often it has started to move again.
        path: where its foot was, oldest first; thinned, the first and last points are exact.
    """

    id: str
    camera: str
    label: str
    score: float
    top_score: float
    box_frac: BoxFrac
    frame_size_px: tuple[int, int]
    started_at: datetime
    ended_at: datetime | None
    duration_s: float
    current_zones: tuple[str, ...]
    entered_zones: tuple[str, ...]
    loitering_zones: tuple[str, ...]
    stationary: bool
    motionless_frames: int
    position_changes: int
    path: tuple[PathPoint, ...]

    @property
    def area_frac(self) -> float:
        """Return the box's share of the frame, 0..1."""
        return area_of(self.box_frac)

    @property
    def ratio(self) -> float:
        """Return the box's width by its height, both in pixels; 0 for a box without height."""
        return ratio_of(self.box_frac, self.frame_size_px)


@dataclass(frozen=True, slots=True)
class ObjectEvent:
    """The life cycle of one object: exactly one `new`, any number of `update`, one `end`.

    Attributes:
        kind: new, update or end.
        reason: why it is published.
        before: the object as last published; None for `new`.
        after: the object now.
        occurred_at: time of day, UTC.
    """

    kind: ObjectEventKind
    reason: Reason
    before: ObjectState | None
    after: ObjectState
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class ZoneEvent:
    """An object has entered or left a zone, or loiters in it.

    Attributes:
        kind: enter, leave or loitering.
        zone: name of the zone.
        object: its state after the event.
        dwell_s: monotonic seconds since it entered; 0 for `enter`.
        occurred_at: time of day, UTC.
    """

    kind: Literal["enter", "leave", "loitering"]
    zone: str
    object: ObjectState
    dwell_s: float
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class LineEvent:
    """An object has crossed a line.

    Attributes:
        line: name of the line.
        from_side: name of the side it came from.
        to_side: name of the side it went to.
        object: its state after the event.
        occurred_at: time of day, UTC.
    """

    line: str
    from_side: str
    to_side: str
    object: ObjectState
    occurred_at: datetime


Event: TypeAlias = ObjectEvent | ZoneEvent | LineEvent


@dataclass(frozen=True, slots=True)
class Occupancy:
    """How many objects of a label are there now.

    Attributes:
        camera: the camera's name in the configuration.
        zone: name of the zone; None: the whole frame.
        label: the label.
        count: objects there now.
    """

    camera: str
    zone: str | None
    label: str
    count: int


@dataclass(frozen=True, slots=True)
class LineCount:
    """How often a line has been crossed.

    Attributes:
        camera: the camera's name in the configuration.
        line: name of the line.
        from_side: name of one side.
        to_side: name of the other side.
        forward: crossings from `from_side` to `to_side`.
        backward: crossings the other way.
        since: time of day when counting started, UTC.
    """

    camera: str
    line: str
    from_side: str
    to_side: str
    forward: int
    backward: int
    since: datetime
