"""Average precision of ONNX graphs on a pedestrian recording with MOTChallenge ground truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from edgevision.config.camera import DetectionConfig
from edgevision.config.settings import RuntimeConfig
from edgevision.detection.decoder import make_decoder
from edgevision.errors import SourceError
from edgevision.evaluation.ground_truth import AveragePrecision, read_ground_truth
from edgevision.inference.onnxruntime import OnnxRuntimeBackend
from edgevision.inference.preprocess import Preprocessor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from edgevision.frames import U8
    from edgevision.model_builder.graph import Progress
    from edgevision.model_card import Model

LABEL = "Person"
VIDEO = "video.avi"
GROUND_TRUTH = "gt.txt"
MIN_SCORE = 0.1
NMS_IOU = 0.6
MIN_IOU = 0.5
SETTINGS = (
    f"AP at IoU {MIN_IOU}, boxes above score {MIN_SCORE}, NMS at IoU {NMS_IOU}, "
    "resize INTER_LINEAR_EXACT"
)


def person_ap(
    model: Model, graphs: Mapping[str, bytes], folder: Path, on_progress: Progress
) -> dict[str, float]:
    """Run graphs on a recording like the service does and return their average precision.

    Args:
        model: the model that all graphs belong to.
        graphs: ONNX files by the name to report them under.
        folder: contains `video.avi` and `gt.txt`.
        on_progress: called for every frame.

    Raises:
        SourceError: a file is missing or cannot be read.
    """
    truth = read_ground_truth(folder / GROUND_TRUTH, LABEL)
    runtime = RuntimeConfig()
    backends = {name: OnnxRuntimeBackend(model, runtime, graph=g) for name, g in graphs.items()}
    precision = {name: AveragePrecision(min_iou=MIN_IOU) for name in graphs}
    decoder = make_decoder(
        model, DetectionConfig(min_score=MIN_SCORE, nms_iou=NMS_IOU, labels=(LABEL,))
    )
    preprocessor = Preprocessor(model.card.input)
    total = truth.last_frame
    for number, frame in enumerate(_frames(folder / VIDEO), 1):
        on_progress("measuring accuracy", min(number, total) - 1, total)
        prepared = preprocessor.prepare(frame)
        height, width = frame.shape[:2]
        size = np.array([width, height, width, height], np.float32)
        for name, backend in backends.items():
            found = prepared.geometry.to_frame(decoder.decode(backend.run(prepared.image)))
            precision[name].add(found.boxes * size, found.scores, truth.at(number).boxes)
    on_progress("measuring accuracy", total, total)
    return {name: collected.value() for name, collected in precision.items()}


def _frames(path: Path) -> Iterator[U8]:
    capture = cv2.VideoCapture(str(path))
    if not capture.isOpened():
        msg = f"{path}: expected a recording that can be opened"
        raise SourceError(msg)
    try:
        delivered, frame = capture.read()
        while delivered:
            yield np.asarray(frame, np.uint8)
            delivered, frame = capture.read()
    finally:
        capture.release()
