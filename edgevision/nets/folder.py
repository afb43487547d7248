"""Writing a model folder so that nobody ever reads half of one."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgevision.card import CARD_NAME, CardFile
from edgevision.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgevision.card import AnyCard, Measurement

FLOAT_FILE = "float.onnx"
INT8_FILE = "int8.onnx"
LABEL_FILE = "labels.txt"
NUMPY_FILE = "numpy.npz"


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What a build made.

    Attributes:
        folder: the model folder.
        sizes: bytes of every file written, by name, but for the card.
        parameters: number of weights and biases.
        measured: the figures that went into the card.
    """

    folder: Path
    sizes: dict[str, int]
    parameters: int
    measured: tuple[Measurement, ...] = ()


def describe(files: Mapping[str, bytes]) -> dict[str, CardFile]:
    """Return size and hash of files, as the card lists them."""
    return {
        name: CardFile(size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
        for name, content in sorted(files.items())
    }


def card_bytes(card: AnyCard) -> bytes:
    """Return `card.json`."""
    return (card.model_dump_json(indent=2, exclude_none=True) + "\n").encode()


def write_folder(
    folder: Path, card: AnyCard, files: Mapping[str, bytes], unlisted: Mapping[str, bytes]
) -> None:
    """Write a model folder.

    Everything is first written to a folder beside it, then moved file by file, the card last:
    until then the old card refuses new files, because it knows every file by its hash.

    Args:
        folder: the model folder, made where it is missing; other files in it are kept.
        card: lists `files`.
        files: contents by name.
        unlisted: further files that the card does not know.

    Raises:
        OutputError: the folder or a file cannot be written.
    """
    contents = {**unlisted, **files, CARD_NAME: card_bytes(card)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as made:
            for name, content in contents.items():
                Path(made, name).write_bytes(content)
            for name in contents:
                Path(made, name).replace(folder / name)
    except OSError as error:
        msg = f"{folder}: the model cannot be written ({error.strerror})"
        raise OutputError(msg) from None
