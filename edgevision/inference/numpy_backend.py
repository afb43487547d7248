"""NumPy as the engine: reads the plan, lays out memory once, computes it for every image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgevision.errors import BackendError, ModelError, ModelMismatchError
from edgevision.frames import RawOutputs
from edgevision.inference.numpy_compiler import StepBuilder
from edgevision.inference.numpy_plan import read_plan

if TYPE_CHECKING:
    from edgevision.frames import F32, U8
    from edgevision.inference.numpy_plan import PlannedNetwork, Shape
    from edgevision.model_card import Model


class NumpyBackend:
    """A model's network, computed by NumPy."""

    name = "numpy"

    def __init__(self, model: Model) -> None:
        """Load the card's plan.

        Raises:
            BackendError: the model has no plan for NumPy.
            ModelError: the plan is not the one on the card, or malformed.
            ModelMismatchError: the plan does not take or give what the card says.
        """
        card = model.card
        if card.numpy is None:
            msg = (
                f"{model.folder}: expected a model with a plan for NumPy (`numpy` in card.json), "
                "got one without: set backend: onnxruntime, or build the model again"
            )
            raise BackendError(msg)
        path = model.folder / card.numpy
        try:
            self._network = NumpyNetwork(read_plan(model.read(card.numpy)))
        except ModelMismatchError:
            raise
        except ModelError as error:
            msg = f"{path}: {error}" if str(path) not in str(error) else str(error)
            raise ModelError(msg) from error
        self._outputs = card.outputs.box_offsets, card.outputs.class_logits
        expected: dict[str, Shape] = {
            self._outputs[0]: (card.anchor_count, 4),
            self._outputs[1]: (card.anchor_count, len(model.labels)),
        }
        found = {name: self._network.tables.get(name) for name in expected}
        image = (card.input.height, card.input.width, 3)
        if found != expected or self._network.image_shape != image:
            msg = (
                f"{path}: expected an image {list(image)} and outputs {expected} as on the card, "
                f"got {list(self._network.image_shape)} and {found}"
            )
            raise ModelMismatchError(msg)

    def run(self, image: U8) -> RawOutputs:
        """Run the network on uint8 [1, height, width, 3] BGR."""
        outputs = self._network.run(image)
        return RawOutputs(outputs[self._outputs[0]], outputs[self._outputs[1]])


class NumpyNetwork:
    """A network with its memory laid out. One image at a time: `run` is not reentrant."""

    def __init__(self, planned: PlannedNetwork) -> None:
        """Lay out memory and prepare weights.

        Raises:
            ModelError: the network needs too much memory.
        """
        builder = StepBuilder(planned)
        self.image_shape = planned.shapes.maps[planned.plan.input.name]
        self.tables = planned.shapes.tables
        self._offset = np.float32(planned.plan.input.offset)
        self._image = builder.image
        self._steps = builder.steps()
        self._tables = builder.tables()

    def run(self, image: U8) -> dict[str, F32]:
        """Compute all outputs.

        Args:
            image: uint8 [1, rows, columns, channels].

        Returns:
            By name, float32 [a, width], the caller's own.

        Raises:
            BackendError: the image has another type or shape.
        """
        if image.dtype != np.uint8 or image.shape != (1, *self.image_shape):
            msg = (
                f"expected an image uint8 {[1, *self.image_shape]}, got {image.dtype} "
                f"{list(image.shape)}"
            )
            raise BackendError(msg)
        np.subtract(image[0], self._offset, out=self._image, dtype=np.float32)
        for step in self._steps:
            step()
        return {name: self._table(name) for name in self.tables}

    def _table(self, name: str) -> F32:
        width = self.tables[name][1]
        parts = [(m * unit).reshape(-1, width) for m, unit in self._tables[name]]
        return np.concatenate(parts)
