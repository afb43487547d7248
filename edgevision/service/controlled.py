"""What the service offers to requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from edgevision.config import Config


@dataclass(frozen=True, slots=True)
class ServiceInfo:
    """What is running.

    Attributes:
        model: name of the model.
        backend: inference engine in use.
        started_at: when the service started.
        restart_reasons: what the configuration file asks for that only a restart can change.
    """

    model: str
    backend: str
    started_at: datetime
    restart_reasons: tuple[str, ...] = ()


class Controlled(Protocol):
    """The service, as requests may change it. All but `config` is for the main thread."""

    @property
    def config(self) -> Config:
        """Return the configuration in force; also asked for on the network thread."""

    @property
    def file_config(self) -> Config:
        """Return the same as its file said, without what requests have changed."""

    @property
    def labels(self) -> Collection[str]:
        """Return what the model in use knows."""

    def set_config(self, config: Config) -> None:
        """Put another configuration in force.

        Raises:
            EdgevisionError: it cannot be; the old one still is.
        """

    def reload(self) -> None:
        """Read the configuration file again and put it in force.

        Raises:
            EdgevisionError: it cannot be; the old one still is.
        """

    def snapshot(self, camera: str) -> tuple[str, int]:
        """Publish a camera's picture as it is now; return the topic and how many bytes.

        Raises:
            EdgevisionError: there is no picture.
        """

    def reset(self, camera: str, line: str | None) -> None:
        """Let the counters of one line begin again, or those of all lines of a camera."""

    def info(self) -> ServiceInfo:
        """Return what is running."""
