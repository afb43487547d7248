"""How many objects there are, on the topics and by the rules of Frigate: not retained, on change.

A zone is counted over all cameras that have one of its name, and shares its topics with cameras:
a zone named as a camera is left out.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from edgevision.messaging.frigate import PREFIX, label_of
from edgevision.messaging.message import Message
from edgevision.messaging.topics import level

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edgevision.config import Config
    from edgevision.tracks import ObjectState


class FrigateCounts:
    """The counts of one configuration, as they were last told.

    Bounded: a figure for each camera or zone and label, of which a model has so many.
    """

    def __init__(self, config: Config, labels: Sequence[str]) -> None:
        """Begin with nobody anywhere.

        Args:
            config: cameras and zones.
            labels: the model's, without the background.
        """
        self._cameras = frozenset(config.cameras)
        self._zones = (
            frozenset(zone for camera in config.cameras.values() for zone in camera.zones)
            - self._cameras
        )
        self._objects: dict[str, tuple[ObjectState, ...]] = {}
        self._told: Counter[str] = Counter()
        for place in sorted(self._cameras | self._zones):
            self._told.update(dict.fromkeys(_topics(place, "all"), 0))
        for name in config.cameras:
            zones = self._zones.intersection(config.cameras[name].zones)
            for label in config.detection_of(name).labels or labels:
                for place in (name, *sorted(zones)):
                    self._told.update(dict.fromkeys(_topics(place, label), 0))

    def changes(self, camera: str, objects: Sequence[ObjectState]) -> tuple[Message, ...]:
        """Take the objects that are at a camera now and return the counts that are others."""
        self._objects[camera] = tuple(objects)
        now = self._count()
        before = self._told
        # What is no longer there stays known and reads 0.
        self._told = Counter({**dict.fromkeys(before, 0), **now})
        return tuple(
            _message(topic, count) for topic, count in self._told.items() if before[topic] != count
        )

    def everything(self) -> tuple[Message, ...]:
        """Return all counts, for a new connection."""
        return tuple(_message(topic, count) for topic, count in self._told.items())

    def nobody(self) -> tuple[Message, ...]:
        """Return zeros for what was told last to be there, for another configuration."""
        return tuple(_message(topic, 0) for topic, count in self._told.items() if count)

    def _count(self) -> Counter[str]:
        counts: Counter[str] = Counter()
        for camera, objects in self._objects.items():
            for each in objects:
                for place in (camera, *self._zones.intersection(each.current_zones)):
                    counts.update(_topics_of(place, each))
        return counts


def _topics_of(place: str, state: ObjectState) -> Iterable[str]:
    """Return the topics in which an object counts: its label's and all labels', also if active."""
    total, active = zip(_topics(place, state.label), _topics(place, "all"), strict=True)
    return total if state.stationary else (*total, *active)


def _topics(place: str, label: str) -> tuple[str, str]:
    """Return the topics of all objects and of those that are active, in Frigate's sense."""
    topic = f"{PREFIX}/{place}/{level(label_of(label))}"
    return topic, f"{topic}/active"


def _message(topic: str, count: int) -> Message:
    return Message(topic, b"%d" % count)
