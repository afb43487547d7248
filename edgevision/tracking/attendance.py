"""How many objects of which label are where."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from edgevision.tracks import Occupancy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgevision.cameraconfig import CameraConfig, DetectionConfig
    from edgevision.tracking.objects import Place, SceneObject


class Attendance:
    """The occupancy counts of one camera.

    A count that has once been above zero is given ever after, so that a subscriber sees the
    zero; there is at most one for the picture and each zone, and each label.
    """

    def __init__(self, name: str, camera: CameraConfig, detection: DetectionConfig) -> None:
        """Begin with zeros for the labels that the configuration names."""
        self._name = name
        self._order = {zone: at for at, zone in enumerate((None, *camera.zones))}
        named: list[Place] = [(None, label) for label in detection.labels or ()]
        for zone, config in camera.zones.items():
            named += [(zone, label) for label in config.labels or detection.labels or ()]
        self._counts: dict[Place, int] = dict.fromkeys(named, 0)

    def count(self, objects: Iterable[SceneObject]) -> None:
        """Count the objects that are there now."""
        now = Counter(place for one in objects for place in one.places)
        self._counts = dict.fromkeys(self._counts, 0) | now

    @property
    def counts(self) -> tuple[Occupancy, ...]:
        """Return all counts: the whole picture, then zones as configured, each by label."""
        return tuple(
            Occupancy(self._name, zone, label, self._counts[zone, label])
            for zone, label in sorted(
                self._counts, key=lambda place: (self._order[place[0]], place[1])
            )
        )
