"""ONNX Runtime as the backend. The only module that imports it, outside of model building."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from edgevision.errors import BackendError, ModelMismatchError

if TYPE_CHECKING:
    from edgevision.config.settings import RuntimeConfig
    from edgevision.frames import F32, U8
    from edgevision.model_card import Model

try:
    import onnxruntime
except ImportError:  # no wheel for 32-bit ARM
    onnxruntime = None


class OnnxRuntimeBackend:
    """A network in an ONNX Runtime session."""

    name = "onnxruntime"

    def __init__(self, model: Model, config: RuntimeConfig, *, graph: bytes | None = None) -> None:
        """Load the card's graph, or another one with the same input and outputs.

        Raises:
            BackendError: ONNX Runtime is missing, lacks a provider, or refuses the graph.
            ModelError: the model's file is not the one on its card.
            ModelMismatchError: the graph's input or outputs are not those on the card.
        """
        if onnxruntime is None:
            msg = "expected the package onnxruntime, got none: pip install onnxruntime"
            raise BackendError(msg)
        self.threads = config.thread_count
        card = model.card
        self._input = card.input.name
        self._outputs = list(model.output_shapes)
        _check_providers(config.providers)
        content = model.read(card.onnx) if graph is None else graph
        try:
            self._session = onnxruntime.InferenceSession(
                content,
                sess_options=_session_options(config),
                providers=list(config.providers),
            )
        except Exception as error:
            msg = f"{model.folder / card.onnx}: ONNX Runtime cannot load it: {_first_line(error)}"
            raise BackendError(msg) from error
        self._check_graph(model)

    @classmethod
    def load(cls, model: Model, runtime: RuntimeConfig) -> Self:
        """Load the card's graph; raises as the constructor does."""
        return cls(model, runtime)

    @staticmethod
    def is_installed() -> bool:
        """Return whether ONNX Runtime can be imported."""
        return onnxruntime is not None

    def run(self, image: U8) -> dict[str, F32]:
        """Run the network on uint8 [1, height, width, 3] BGR.

        Returns:
            The card's outputs by name, float32, without the batch axis.

        Raises:
            BackendError: ONNX Runtime failed.
        """
        try:
            arrays = self._session.run(self._outputs, {self._input: image})
        except Exception as error:
            msg = f"ONNX Runtime failed: {_first_line(error)}"
            raise BackendError(msg) from error
        return {name: array[0] for name, array in zip(self._outputs, arrays, strict=True)}

    def _check_graph(self, model: Model) -> None:
        card = model.card
        found = {
            value.name: f"{value.type} {value.shape}"
            for value in (*self._session.get_inputs(), *self._session.get_outputs())
        }
        expected = {
            card.input.name: f"tensor(uint8) {[1, card.input.height, card.input.width, 3]}",
        } | {name: f"tensor(float) {[1, *shape]}" for name, shape in model.output_shapes.items()}
        for name, wanted in expected.items():
            if found.get(name) != wanted:
                msg = (
                    f"{model.folder / card.onnx}: expected {name} {wanted} as on the card, got "
                    f"{found.get(name, 'nothing of that name')}"
                )
                raise ModelMismatchError(msg)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _check_providers(wanted: tuple[str, ...]) -> None:
    available = onnxruntime.get_available_providers()
    missing = [name for name in wanted if name not in available]
    if missing:
        msg = (
            f"runtime.providers: expected some of {', '.join(available)} (what this build of "
            f"ONNX Runtime has), got {', '.join(missing)}"
        )
        raise BackendError(msg)


def _session_options(config: RuntimeConfig) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = config.thread_count
    options.inter_op_num_threads = config.inter_op_threads
    options.execution_mode = (
        onnxruntime.ExecutionMode.ORT_PARALLEL
        if config.inter_op_threads > 1
        else onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    )
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = {
        "all": levels.ORT_ENABLE_ALL,
        "extended": levels.ORT_ENABLE_EXTENDED,
        "basic": levels.ORT_ENABLE_BASIC,
        "disabled": levels.ORT_DISABLE_ALL,
    }[config.graph_optimization]
    options.log_severity_level = 4  # errors come as exceptions
    return options
