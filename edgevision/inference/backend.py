"""Inference backends: the protocol, the table of those there are, and loading a model into one.

Another backend is one file and one line in `BACKENDS`; users choose it by its name there, which
the configuration's `backend` must allow. A backend's module is imported only when the backend is
used, or when `auto` asks whether it is installed: ONNX Runtime takes time and memory to import.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np

from edgevision.errors import BackendError
from edgevision.model_card import load_model

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgevision.config.settings import Config, RuntimeConfig
    from edgevision.frames import F32, U8
    from edgevision.model_card import Model

log = logging.getLogger(__name__)

AUTO = "auto"


class Backend(Protocol):
    """An inference engine with a network loaded."""

    @property
    def name(self) -> str:
        """Return the engine's name as it is published."""
        ...

    def run(self, image: U8) -> Mapping[str, F32]:
        """Run the network.

        Args:
            image: uint8 [1, height, width, 3] BGR, of the size on the model card.

        Returns:
            By name, float32, the outputs on the model card in the shapes of
            `Model.output_shapes`, without the batch axis. They are valid until the next run,
            which may reuse their memory.

        Raises:
            BackendError: the engine failed.
        """
        ...


class BackendClass(Protocol):
    """How a backend is made; its class satisfies this."""

    def is_installed(self) -> bool:
        """Return whether the engine's package can be imported."""
        ...

    def load(self, model: Model, runtime: RuntimeConfig) -> Backend:
        """Load a model's network.

        Raises:
            BackendError: the engine is missing, or cannot run this network.
            ModelError: the model's file is malformed or not the one on its card.
            ModelMismatchError: the network's input and outputs are not those on the card.
        """
        ...


@dataclass(frozen=True, slots=True)
class BackendEntry:
    """Where a backend is.

    Attributes:
        module: the module to import.
        class_name: the class in it.
        package: what has to be installed.
    """

    module: str
    class_name: str
    package: str

    def backend_class(self) -> BackendClass:
        """Import the backend."""
        return cast("BackendClass", getattr(import_module(self.module), self.class_name))


# In the order in which `auto` tries them, fastest first; NumPy is always there.
BACKENDS: dict[str, BackendEntry] = {
    "onnxruntime": BackendEntry(
        "edgevision.inference.onnxruntime", "OnnxRuntimeBackend", "onnxruntime"
    ),
    "numpy": BackendEntry("edgevision.inference.numpy_backend", "NumpyBackend", "numpy"),
}


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A checked model and the backend that has loaded it.

    It takes long to make and is kept over most changes of the configuration.
    """

    model: Model
    backend: Backend


def load_engine(config: Config) -> LoadedModel:
    """Load the configured model and run it once on a blank image.

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


def open_backend(model: Model, config: Config) -> Backend:
    """Load the model into the configured engine; `auto` takes the first one that is installed.

    Raises:
        BackendError: the engine is missing or cannot load the model.
        ModelError: the model's file is not the one on its card.
    """
    chosen = _first_installed() if config.backend == AUTO else _configured(config.backend)
    backend = chosen.load(model, config.runtime)
    threads = config.runtime.thread_count
    log.info("backend %s (threads: %s), model %s", backend.name, threads, model.card.name)
    return backend


def _configured(name: str) -> BackendClass:
    if name not in BACKENDS:
        msg = f"backend: expected {AUTO} or one of {', '.join(BACKENDS)}, got {name}"
        raise BackendError(msg)
    return BACKENDS[name].backend_class()


def _first_installed() -> BackendClass:
    missing: list[str] = []
    for name, entry in BACKENDS.items():
        found = entry.backend_class()
        if found.is_installed():
            if missing:
                packages = ", ".join(missing)
                log.warning(
                    "backend %s, which is slower: the package %s is missing", name, packages
                )
            return found
        missing.append(entry.package)
    msg = f"backend: expected one of the packages {', '.join(missing)}, got none: install one"
    raise BackendError(msg)
