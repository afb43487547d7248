"""The types of values in a configuration, and `Section`, the base of all its parts.

A module of its own because every other module of the configuration uses these types.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo


class Section(BaseModel):
    """A part of the configuration: frozen; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def resolve(path: Path, info: ValidationInfo) -> Path:
    """Return a path relative to the configuration file's folder; `~` is a home folder."""
    base: Path = (info.context or {}).get("folder", Path())
    if "\0" in str(path):
        msg = "expected a path without NUL characters, got one with some"
        raise ValueError(msg)
    try:
        return base / path.expanduser()
    except RuntimeError:
        msg = f"expected the home folder of a user on this machine, got {path.parts[0]}"
        raise ValueError(msg) from None


def as_text(value: object) -> object:
    """Return a number as text: YAML reads `source: 0` and `protocol: 5` as numbers."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def may_be_empty(section: type[Section]) -> BeforeValidator:
    """Read a key without a value as an empty section: `tls:` switches TLS on."""
    return BeforeValidator(
        lambda value: {} if value is None else value, json_schema_input_type=section | None
    )


FilePath = Annotated[Path, AfterValidator(resolve)]
Score = Annotated[float, Field(strict=True, gt=0, lt=1)]
Seconds = Annotated[float, Field(strict=True, gt=0, le=86400)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Pixels = Annotated[int, Field(strict=True, ge=1, le=16384)]
