"""The topic names of the MQTT contract."""

from __future__ import annotations

import re
from dataclasses import dataclass

# What a label may hold and a topic level must not (MQTT 5, 4.7.1, 4.7.3): separators, wildcards,
# zero and, since receivers may refuse them (1.5.4), the other control characters.
_NOT_IN_LEVEL = re.compile(r"[/+#\x00-\x1f\x7f-\x9f]")


def level(label: str) -> str:
    """Return a label as one level of a topic: as it is, but for characters that cannot be there."""
    return _NOT_IN_LEVEL.sub("_", label)


@dataclass(frozen=True, slots=True)
class Topics:
    """All topics under one prefix, `edgevision/<device>` by default."""

    prefix: str

    @property
    def status(self) -> str:
        """Return the topic of the service's own status; also its last will."""
        return f"{self.prefix}/status"

    @property
    def metrics(self) -> str:
        """Return the topic of the board's metrics."""
        return f"{self.prefix}/metrics"

    @property
    def everything(self) -> str:
        """Return the filter that matches every topic of this device."""
        return f"{self.prefix}/#"

    @property
    def requests(self) -> str:
        """Return the filter that matches every request."""
        return f"{self.prefix}/request/+"

    def response(self, verb: str | None) -> str:
        """Return the topic of responses to one verb; None: to what is none."""
        return f"{self.prefix}/response/{verb or 'unknown'}"

    def camera_status(self, camera: str) -> str:
        """Return the topic of one camera's status."""
        return f"{self.prefix}/{camera}/status"

    def events(self, camera: str) -> str:
        """Return the topic of one camera's events."""
        return f"{self.prefix}/{camera}/events"

    def camera_metrics(self, camera: str) -> str:
        """Return the topic of one camera's metrics."""
        return f"{self.prefix}/{camera}/metrics"

    def detections(self, camera: str) -> str:
        """Return the topic of one camera's detections."""
        return f"{self.prefix}/{camera}/detections"

    def count(self, camera: str, zone: str | None, label: str) -> str:
        """Return the topic of how many objects of a label are in a zone; None: in the picture."""
        place = camera if zone is None else f"{camera}/zones/{zone}"
        return f"{self.prefix}/{place}/{level(label)}/count"

    def line_count(self, camera: str, line: str) -> str:
        """Return the topic of how often a line has been crossed."""
        return f"{self.prefix}/{camera}/lines/{line}/count"

    def snapshot(self, camera: str, label: str | None) -> str:
        """Return the topic of the best view of a label's last object; None: of the picture."""
        place = camera if label is None else f"{camera}/{level(label)}"
        return f"{self.prefix}/{place}/snapshot"

    def request(self, verb: str) -> str:
        """Return the topic of requests of one verb."""
        return f"{self.prefix}/request/{verb}"
