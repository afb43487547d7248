"""A backend in one file: the network of `fake_model`, computed without an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np
from fake_model import CAT_ANCHOR, DARK_LOGIT, LABELS, PERSON_ANCHOR

if TYPE_CHECKING:
    from edgevision.config.settings import RuntimeConfig
    from edgevision.frames import F32, U8
    from edgevision.model_card import Model


class FakeBackend:
    """Gives the same two arrays each time, with new contents."""

    name = "fake"

    def __init__(self, model: Model) -> None:
        shapes = model.output_shapes
        self._outputs = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}

    @staticmethod
    def is_installed() -> bool:
        return True

    @classmethod
    def load(cls, model: Model, runtime: RuntimeConfig) -> Self:
        assert runtime.thread_count >= 1
        return cls(model)

    def run(self, image: U8) -> dict[str, F32]:
        brightness = image.mean() / 255
        logits = self._outputs["logits"]
        logits[:] = DARK_LOGIT
        logits[CAT_ANCHOR, LABELS.index("Cat")] += brightness * (4.0 - DARK_LOGIT)
        logits[PERSON_ANCHOR, LABELS.index("Person")] += brightness * (2.0 - DARK_LOGIT)
        return self._outputs
