"""Weights in a file: a NumPy archive (.npz) of one float32 array for every name."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from edgevision.errors import ModelError, OutputError
from edgevision.regularfile import check_regular

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from edgevision.nets.weights import Weights

MAX_BYTES = 2 << 30


def read_weights(path: Path) -> Mapping[str, NDArray[Any]]:
    """Return the arrays by name, as they are: `checked_weights` says what is wrong with them.

    Arrays of Python objects are never unpickled; they come back empty, of dtype object.

    Raises:
        ModelError: the file cannot be read or is no NumPy archive.
    """
    try:
        check_regular(path)
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > MAX_BYTES:
            msg = f"{path}: expected at most {MAX_BYTES} bytes of weights, got {unpacked}"
            raise ModelError(msg)
        with np.load(path, allow_pickle=False) as arrays:
            return {name: _array(arrays, name) for name in arrays.files}
    except OSError as error:
        msg = f"{path}: cannot be read ({error.strerror or error}): expected a .npz file of weights"
        raise ModelError(msg) from error
    except (zipfile.BadZipFile, EOFError, ValueError) as error:
        msg = f"{path}: expected a NumPy archive (.npz) of one array a name, got something else"
        raise ModelError(msg) from error


def _array(arrays: Mapping[str, NDArray[Any]], name: str) -> NDArray[Any]:
    try:
        return np.asarray(arrays[name])
    except Exception as error:  # a header is Python source to NumPy, with all its errors
        if "allow_pickle" not in str(error):
            raise ValueError(str(error)) from error
        return np.empty(0, object)


def write_weights(path: Path, weights: Weights) -> None:
    """Write weights to a file; the same weights give the same bytes.

    Raises:
        OutputError: the file cannot be written.
    """
    packed = io.BytesIO()
    arrays: dict[str, Any] = {name: weights[name] for name in sorted(weights)}
    np.savez(packed, **arrays)
    try:
        path.write_bytes(packed.getvalue())
    except OSError as error:
        msg = f"{path}: the weights cannot be written ({error.strerror})"
        raise OutputError(msg) from None
