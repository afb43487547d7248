"""NumPy as the backend: read the plan, lay out memory once, compute every image in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np

from edgevision.errors import BackendError, ModelError, ModelMismatchError
from edgevision.inference.numpy_compiler import StepBuilder
from edgevision.inference.numpy_plan import read_plan

if TYPE_CHECKING:
    from edgevision.config.settings import RuntimeConfig
    from edgevision.frames import F32, U8
    from edgevision.inference.numpy_plan import PlannedNetwork
    from edgevision.model_card import Model


class NumpyBackend:
    """A model's network, computed by NumPy."""

    name = "numpy"

    def __init__(self, model: Model) -> None:
        """Load the card's plan.

        Raises:
            BackendError: the model has no plan for NumPy.
            ModelError: the plan is not the one on the card, or malformed.
            ModelMismatchError: the plan's input or outputs are not those on the card.
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
        expected = model.output_shapes
        found = {name: self._network.tables.get(name) for name in expected}
        image = (card.input.height, card.input.width, 3)
        if found != expected or self._network.image_shape != image:
            msg = (
                f"{path}: expected an image {list(image)} and outputs {expected} as on the card, "
                f"got {list(self._network.image_shape)} and {found}"
            )
            raise ModelMismatchError(msg)

    @classmethod
    def load(cls, model: Model, runtime: RuntimeConfig) -> Self:
        """Load the card's plan; raises as the constructor does.

        Args:
            model: the model.
            runtime: unused: BLAS reads its number of threads when NumPy is imported.
        """
        del runtime
        return cls(model)

    @staticmethod
    def is_installed() -> bool:
        """Return True: NumPy is a dependency."""
        return True

    def run(self, image: U8) -> dict[str, F32]:
        """Run the network on uint8 [1, height, width, 3] BGR.

        Returns:
            The outputs by name, float32 [a, width], which belong to the caller.

        Raises:
            BackendError: the image has another type or shape.
        """
        return self._network.run(image)


class NumpyNetwork:
    """A network with its memory laid out. One image at a time: `run` is not re-entrant."""

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
            The outputs by name, float32 [a, width], which belong to the caller.

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
