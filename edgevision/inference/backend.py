"""The protocol of an inference engine, and the choice of one."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from edgevision.card import Model
    from edgevision.config import Config
    from edgevision.records import U8, RawOutputs

log = logging.getLogger(__name__)


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
