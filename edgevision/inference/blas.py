"""Threads of NumPy's matrix products: a setting that BLAS reads once, when NumPy is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableMapping

# OpenBLAS (the wheels, Debian), BLIS, MKL and Apple's Accelerate.
VARIABLES = (
    "OPENBLAS_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def limit_blas(threads: int, environment: MutableMapping[str, str], *, force: bool = False) -> None:
    """Say how many threads a matrix product may use; call it before anything imports NumPy.

    Args:
        threads: the number.
        environment: this process's.
        force: also where the user has set a number.
    """
    for name in VARIABLES:
        if force or name not in environment:
            environment[name] = str(threads)
