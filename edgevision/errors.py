"""Everything that can go wrong and be said in one line, each with its exit status.

Exit statuses follow BSD's sysexits.h where it has a fitting one: 65 data, 66 no input,
69 unavailable, 70 software, 73 cannot create, 75 try later, 77 permission, 78 configuration.
systemd must not restart the service on 78 and may on all others.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

CameraFault: TypeAlias = Literal[
    "unauthorized",
    "not_found",
    "rejected",
    "port_closed",
    "unknown_host",
    "unreachable",
    "tls",
    "no_frames",
    "wrong_format",
    "broken_off",
    "corrupt",
    "hung",
    "crashed",
    "no_device",
    "no_permission",
    "busy",
    "not_installed",
]

"""What is wrong with a live camera, for programs; the message says it for people."""


class EdgevisionError(Exception):
    """Base of all errors a user may see: `str(error)` is complete, `exit_status` distinct."""

    exit_status = 1


class UsageError(EdgevisionError):
    """A command was called with arguments that make no sense."""

    exit_status = 2


class ConfigError(EdgevisionError):
    """The configuration cannot be used. Holds every fault found, one line each."""

    exit_status = 78

    def __init__(self, *faults: str) -> None:
        """Keep the faults in the order in which they stand in the file."""
        super().__init__("\n".join(faults))
        self.faults = faults


class RestartError(ConfigError):
    """What a configuration asks for only a restart can change."""


class ModelError(EdgevisionError):
    """A model folder is missing, incomplete, altered or not what its card says."""

    exit_status = 65


class ModelMismatchError(ModelError):
    """Two parts of a model disagree about a shape."""


class SourceError(EdgevisionError):
    """A camera, stream, recording or image cannot be opened or read."""

    exit_status = 66


class CameraError(SourceError):
    """A live camera cannot be opened or read; it is tried again."""

    def __init__(self, message: str, *, fault: CameraFault) -> None:
        """Keep the kind of fault beside the message."""
        super().__init__(message)
        self.fault = fault


class BadFrameError(SourceError):
    """A single frame cannot be used; the source may well deliver the next one."""


class BrokerError(EdgevisionError):
    """The MQTT broker cannot be reached or does not speak MQTT."""

    exit_status = 69


class BrokerRefusedError(BrokerError):
    """The MQTT broker answered and said no: wrong user, password or rights."""

    exit_status = 77


class BackendError(EdgevisionError):
    """The inference engine is missing or fails."""

    exit_status = 70


class OutputError(EdgevisionError):
    """A result cannot be written."""

    exit_status = 73


class StateInUseError(EdgevisionError):
    """Another service works with this state folder."""

    exit_status = 75


class MissingExtraError(EdgevisionError):
    """A command needs packages that only an extra installs."""

    exit_status = 72

    def __init__(self, *, command: str, extra: str, missing: str) -> None:
        """Name the command, the extra that it needs and the package that was not found."""
        super().__init__(
            f"{command} needs the package {missing}, which is not installed: "
            f'in the checkout: pip install ".[{extra}]"'
        )
