"""The loaded network: what takes long to build and survives most configuration changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgevision.card import load_model
from edgevision.inference.backend import open_backend

if TYPE_CHECKING:
    from edgevision.card import Model
    from edgevision.config import Config
    from edgevision.inference.backend import Backend


@dataclass(frozen=True, slots=True)
class Engine:
    """A checked model and the backend that has loaded it."""

    model: Model
    backend: Backend


def load_engine(config: Config) -> Engine:
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
    return Engine(model, backend)
