"""What is handed to the broker: a topic, a payload, and how it is to be delivered."""

from __future__ import annotations

from dataclasses import dataclass, replace

# How every payload of the contract begins. Other documents, such as those that Home Assistant
# asks for, allow no further key and are sent as they are.
_CONTRACT = b'{"schema_version"'


def is_topic(topic: str) -> bool:
    """Return whether a message can be published on this topic (MQTT 5, 4.7.1, 4.7.3)."""
    return 0 < len(topic.encode()) < 65536 and not set(topic) & set("+#\0")


@dataclass(frozen=True, slots=True)
class Message:
    """A topic and its payload, with how it is to be delivered."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False

    @property
    def size_bytes(self) -> int:
        """Return the bytes of topic and payload, UTF-8."""
        return len(self.topic.encode()) + len(self.payload)

    @property
    def packet_bytes(self) -> int:
        """Return the size of its PUBLISH packet at QoS 1 without properties (MQTT 5, 3.3).

        Length of the topic 2, packet identifier 2, length of the properties 1; before them the
        type 1 and the length of all that, 7 bits a byte (1.5.5).
        """
        rest = 5 + self.size_bytes
        return 1 + max(1, -(-rest.bit_length() // 7)) + rest

    def delayed(self) -> Message:
        """Return the message marked as one that waited: `"delayed": true` in its JSON object."""
        if not self.payload.startswith(_CONTRACT):
            return self
        return replace(self, payload=self.payload[:-1] + b',"delayed":true}')
