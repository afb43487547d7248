"""The published model under its own interpreter: what the float graph must reproduce."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from edgevision.nets.session import GraphSession
from edgevision.nets.ssd import BOX_OUTPUT, CLASS_OUTPUT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgevision.nets.progress import Progress
    from edgevision.records import U8

_OUTPUTS = {
    BOX_OUTPUT: "raw_outputs/box_encodings",
    CLASS_OUTPUT: "raw_outputs/class_predictions",
}


def largest_difference(
    float_graph: bytes, tflite: bytes, images: Sequence[U8], on_progress: Progress
) -> float:
    """Run both models on images and return the largest absolute difference of any output.

    Args:
        float_graph: the ONNX file.
        tflite: the TFLite file; takes float32 RGB of -1..1.
        images: each uint8 [300, 300, 3] BGR.
        on_progress: told about every image.
    """
    session = GraphSession(float_graph, list(_OUTPUTS))
    interpreter = Interpreter(model_content=tflite, num_threads=1)
    interpreter.allocate_tensors()
    position = interpreter.get_input_details()[0]["index"]
    outputs = {detail["name"]: detail["index"] for detail in interpreter.get_output_details()}
    largest = 0.0
    for index, image in enumerate(images):
        on_progress("comparing with TFLite", index, len(images))
        rgb = image[np.newaxis, ..., ::-1].astype(np.float32)
        interpreter.set_tensor(position, rgb / np.float32(127.5) - np.float32(1))
        interpreter.invoke()
        for name, values in session.run(image).items():
            expected = interpreter.get_tensor(outputs[_OUTPUTS[name]])
            largest = max(largest, float(np.abs(values - expected).max()))
    on_progress("comparing with TFLite", len(images), len(images))
    return largest
