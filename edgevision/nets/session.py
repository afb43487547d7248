"""Running a graph in memory with ONNX Runtime, for calibration and measurements."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnxruntime as ort

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edgevision.records import U8


class GraphSession:
    """A graph with one image as its input."""

    def __init__(self, content: bytes, outputs: Sequence[str], *, threads: int = 0) -> None:
        """Load the graph.

        Args:
            content: the ONNX file.
            outputs: names of the outputs to compute.
            threads: that compute; 0: one a core.
        """
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4
        # Threads that wait without sleeping slow each other down where cores are few.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = ort.InferenceSession(
            content, sess_options=options, providers=["CPUExecutionProvider"]
        )
        self._input = self._session.get_inputs()[0].name
        self._outputs = list(outputs)

    def run(self, image: U8) -> dict[str, NDArray[np.generic]]:
        """Run the graph on uint8 [rows, columns, 3] BGR and return its outputs by name."""
        results = self._session.run(self._outputs, {self._input: image[np.newaxis]})
        return dict(zip(self._outputs, results, strict=True))
