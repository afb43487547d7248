"""What is told on Frigate's topics besides our own, for `frigate_compat`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevision.messaging import frigate
from edgevision.messaging.frigatecounts import FrigateCounts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from edgevision.config import Config
    from edgevision.messaging.message import Message
    from edgevision.messaging.payload import CameraStatus
    from edgevision.service.watcher import Watcher


class FrigateSide:
    """States and counts of one configuration as Frigate publishes them. For the main thread."""

    def __init__(self, config: Config, labels: Sequence[str]) -> None:
        """Begin with nothing told; without `frigate_compat` there is nothing to tell.

        Args:
            config: cameras, zones and labels.
            labels: the model's, without the background.
        """
        self._enabled = config.frigate_compat
        self._counts = FrigateCounts(config, labels)
        self._told: dict[str, CameraStatus] = {}

    def retained(self, statuses: Mapping[str, CameraStatus], *, online: bool) -> Iterator[Message]:
        """Yield what stays at the broker.

        Args:
            statuses: what each camera does.
            online: whether the service runs.
        """
        if self._enabled:
            yield frigate.available(online=online)
            for camera, status in statuses.items():
                yield from (m for m in frigate.camera_status(camera, status) if m.retain)

    def farewell(self) -> Iterator[Message]:
        """Yield zeros for what was there, before another configuration takes over."""
        if self._enabled:
            yield from self._counts.nobody()

    def passing(
        self,
        statuses: Mapping[str, CameraStatus],
        watchers: Mapping[str, Watcher],
        *,
        everything: bool,
    ) -> Iterator[Message]:
        """Yield what Frigate does not retain: states and counts that changed, or all of them."""
        if not self._enabled:
            return
        for camera, status in statuses.items():
            if everything or self._told.get(camera) != status:
                yield from (m for m in frigate.camera_status(camera, status) if not m.retain)
        self._told = dict(statuses)
        for camera, watcher in watchers.items():
            changes = self._counts.changes(camera, watcher.open_objects())
            if not everything:
                yield from changes
        if everything:
            yield from self._counts.everything()
