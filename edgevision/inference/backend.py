"""The protocol of an inference engine, and the choice of one."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from edgevision.model_card import load_model

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from edgevision.config.settings import Config
    from edgevision.frames import U8, RawOutputs
    from edgevision.model_card import Model

log = logging.getLogger(__name__)

# OpenBLAS (the wheels, Debian), BLIS, MKL and Apple's Accelerate.
VARIABLES = (
    "OPENBLAS_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


class Backend(Protocol):
    """An engine with a loaded network."""

    @property
    def name(self) -> str:
        """Return the engine's name as it is published."""
        ...

    def run(self, image: U8) -> RawOutputs:
        """Run the network.

        Args:
            image: uint8 [1, height, width, 3] BGR, of the size on the model card.

        Raises:
            BackendError: the engine failed.
        """
        ...


def open_backend(model: Model, config: Config) -> Backend:
    """Load the model into the configured engine; `auto` takes NumPy where there is no other.

    `numpy` does not import ONNX Runtime.

    Raises:
        BackendError: the engine is missing or cannot load the model.
        ModelError: the model's file is not the one on its card.
    """
    backend: Backend
    if config.backend == "numpy":
        backend = _numpy(model)
    else:
        from edgevision.inference.onnxruntime import OnnxRuntimeBackend  # noqa: PLC0415

        if config.backend == "auto" and not OnnxRuntimeBackend.is_installed():
            log.warning("backend numpy, slower: the package onnxruntime is missing")
            backend = _numpy(model)
        else:
            backend = OnnxRuntimeBackend(model, config.runtime)
    threads = config.runtime.thread_count
    log.info("backend %s (threads: %s), model %s", backend.name, threads, model.card.name)
    return backend


def _numpy(model: Model) -> Backend:
    from edgevision.inference.numpy_backend import NumpyBackend  # noqa: PLC0415

    return NumpyBackend(model)


# FOLDED:
# Threads of NumPy's matrix products: a setting that BLAS reads once, when NumPy is loaded.


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


# FOLDED:
# The loaded network: what takes long to build and survives most configuration changes.


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A checked model and the backend that has loaded it."""

    model: Model
    backend: Backend


def load_engine(config: Config) -> LoadedModel:
    """Load the configured model and run it once on a blank picture.

    The first inference allocates memory and proves that this CPU can run the network.

    Raises:
        ModelError: the model cannot be used.
        BackendError: the engine cannot run it.
    """
    model = load_model(config.model)
    backend = open_backend(model, config)
    size = model.card.input
    backend.run(np.zeros((1, size.height, size.width, 3), np.uint8))
    return LoadedModel(model, backend)
