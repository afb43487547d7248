"""Every error that is reported in one line, with its exit status.

Exit statuses follow BSD's sysexits.h where one fits: 65 data, 66 no input, 69 unavailable,
70 software, 73 cannot create, 75 try later, 77 permission, 78 configuration. systemd must not
restart the service on 78 and may on all others.
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
"""What is wrong with a live camera, for programs; the message is for people."""


class EdgevisionError(Exception):
    """Base of all errors that a user may see: `str(error)` is the complete message."""

    exit_status = 1


class UsageError(EdgevisionError):
    """A command was called with arguments that it cannot take."""

    exit_status = 2


class ConfigError(EdgevisionError):
    """The configuration cannot be used. `faults` has every one found, a line each."""

    exit_status = 78

    def __init__(self, *faults: str) -> None:
        """Keep the faults, in the order of their lines in the file."""
        super().__init__("\n".join(faults))
        self.faults = faults


class RestartError(ConfigError):
    """A configuration changes something that takes effect only after a restart."""


class ModelError(EdgevisionError):
    """A model folder is missing, incomplete or altered, or does not match its card."""

    exit_status = 65


class ModelMismatchError(ModelError):
    """Two parts of a model disagree on a shape."""


class SourceError(EdgevisionError):
    """A camera, stream, recording or image cannot be opened or read."""

    exit_status = 66


class CameraError(SourceError):
    """A live camera cannot be opened or read; the reader tries again."""

    def __init__(self, message: str, *, fault: CameraFault) -> None:
        """Keep the kind of fault and the message."""
        super().__init__(message)
        self.fault = fault


class BadFrameError(SourceError):
    """A single frame cannot be used; the next one may be usable."""


class BrokerError(EdgevisionError):
    """The MQTT broker cannot be reached or does not speak MQTT."""

    exit_status = 69


class BrokerRefusedError(BrokerError):
    """The MQTT broker refused: wrong user, password or permissions."""

    exit_status = 77


class BackendError(EdgevisionError):
    """The inference engine is missing or fails."""

    exit_status = 70


class OutputError(EdgevisionError):
    """A result cannot be written."""

    exit_status = 73


class StateInUseError(EdgevisionError):
    """Another service uses this state folder."""

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
