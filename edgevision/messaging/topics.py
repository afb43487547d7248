"""The topic names of the MQTT contract."""

from __future__ import annotations

from dataclasses import dataclass


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
