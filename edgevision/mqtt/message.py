"""What is sent to the broker: a topic, a payload and how to deliver it; and all topic names."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

# The start of every payload of the contract. Other documents, such as those that Home Assistant
# expects, allow no further key and are sent unchanged.
_CONTRACT = b'{"schema_version"'

# Allowed in a label, but not in a topic level (MQTT 5, 4.7.1, 4.7.3): separators, wildcards, zero
# and, since receivers may refuse them (1.5.4), the other control characters.
_NOT_IN_LEVEL = re.compile(r"[/+#\x00-\x1f\x7f-\x9f]")


def is_topic(topic: str) -> bool:
    """Return whether a message can be published on this topic (MQTT 5, 4.7.1, 4.7.3)."""
    return 0 < len(topic.encode()) < 65536 and not set(topic) & set("+#\0")


@dataclass(frozen=True, slots=True)
class Message:
    """A topic and its payload, with how to deliver it."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False

    @property
    def size_bytes(self) -> int:
        """Return the size of topic and payload, in UTF-8."""
        return len(self.topic.encode()) + len(self.payload)

    @property
    def packet_bytes(self) -> int:
        """Return the size of its PUBLISH packet at QoS 1 without properties (MQTT 5, 3.3).

        Length of the topic 2, packet identifier 2, length of the properties 1; before them the
        type 1 and the remaining length, 7 bits a byte (1.5.5).
        """
        rest = 5 + self.size_bytes
        return 1 + max(1, -(-rest.bit_length() // 7)) + rest

    def delayed(self) -> Message:
        """Return the message marked as sent late: `"delayed": true` in its JSON object."""
        if not self.payload.startswith(_CONTRACT):
            return self
        return replace(self, payload=self.payload[:-1] + b',"delayed":true}')


def level(label: str) -> str:
    """Return a label as one topic level, with `_` for each character that is not allowed in one."""
    return _NOT_IN_LEVEL.sub("_", label)


@dataclass(frozen=True, slots=True)
class Topics:
    """The topic names of the contract under one prefix, `edgevision/<device>` by default."""

    prefix: str

    @property
    def status(self) -> str:
        """Return the topic of the service's status and last will."""
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
        """Return the topic of responses to one verb; None: to an invalid one."""
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
        """Return the topic of a label's count in a zone; None: in the whole picture."""
        place = camera if zone is None else f"{camera}/zones/{zone}"
        return f"{self.prefix}/{place}/{level(label)}/count"

    def line_count(self, camera: str, line: str) -> str:
        """Return the topic of a line's counters."""
        return f"{self.prefix}/{camera}/lines/{line}/count"

    def snapshot(self, camera: str, label: str | None) -> str:
        """Return the topic of the best view of a label's last object; None: of the picture."""
        place = camera if label is None else f"{camera}/{level(label)}"
        return f"{self.prefix}/{place}/snapshot"

    def request(self, verb: str) -> str:
        """Return the topic of requests of one verb."""
        return f"{self.prefix}/request/{verb}"
