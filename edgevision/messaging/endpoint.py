"""A broker, and who we are to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

    from edgevision.messaging.message import Message


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A broker and who we are to it."""

    host: str
    port: int
    client_id: str
    keepalive_s: int = 30
    connect_timeout_s: float = 10.0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = None
    will: Message | None = None

    @property
    def address(self) -> str:
        """Return host:port."""
        return f"{self.host}:{self.port}"
