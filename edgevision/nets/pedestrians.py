"""Accuracy on a pedestrian recording with MOTChallenge ground truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from edgevision.cameraconfig import DetectionConfig
from edgevision.config import RuntimeConfig
from edgevision.detection.detector import Detector
from edgevision.errors import SourceError
from edgevision.inference.onnxruntime import OnnxRuntimeBackend
from edgevision.inference.preprocess import Preprocessor
from edgevision.nets.average_precision import AveragePrecision

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from edgevision.card import Model
    from edgevision.nets.progress import Progress
    from edgevision.records import F32, U8

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
    """Run graphs over the recording the way the service does and return their AP.

    Args:
        model: the model that all graphs belong to.
        graphs: ONNX files by the name to report them under.
        folder: holds `video.avi` and `gt.txt`.
        on_progress: told about every frame.

    Raises:
        SourceError: a file is missing or cannot be read.
    """
    truth = read_ground_truth(folder / GROUND_TRUTH)
    runtime = RuntimeConfig()
    backends = {name: OnnxRuntimeBackend(model, runtime, graph=g) for name, g in graphs.items()}
    precision = {name: AveragePrecision(min_iou=MIN_IOU) for name in graphs}
    detector = Detector(
        model, DetectionConfig(min_score=MIN_SCORE, nms_iou=NMS_IOU, labels=(LABEL,))
    )
    preprocessor = Preprocessor(model.card.input)
    nobody = np.zeros((0, 4), np.float32)
    total = max(truth)
    for number, frame in enumerate(_frames(folder / VIDEO), 1):
        on_progress("measuring accuracy", min(number, total) - 1, total)
        prepared = preprocessor.prepare(frame)
        height, width = frame.shape[:2]
        size = np.array([width, height, width, height], np.float32)
        for name, backend in backends.items():
            found = prepared.geometry.to_frame(detector.detect(backend.run(prepared.image)))
            precision[name].add(found.boxes * size, found.scores, truth.get(number, nobody))
    on_progress("measuring accuracy", total, total)
    return {name: collected.value() for name, collected in precision.items()}


def read_ground_truth(path: Path) -> dict[int, F32]:
    """Read MOTChallenge rows: frame from 1, identity, x, y, w, h in pixels, 0 to ignore, ….

    Returns:
        By frame, float32 [n, 4] corners (x0, y0, x1, y1) in pixels.

    Raises:
        SourceError: the file cannot be read or has other rows.
    """
    try:
        lines = path.read_text(encoding="ascii").split()
        rows = np.array([line.split(",") for line in lines], np.float64)
    except (OSError, ValueError) as error:
        msg = f"{path}: expected MOTChallenge ground truth ({error})"
        raise SourceError(msg) from None
    if rows.ndim != 2 or rows.shape[1] < 7:
        msg = f"{path}: expected rows of frame, id, x, y, w, h, used, …, got {list(rows.shape)}"
        raise SourceError(msg)
    rows = rows[rows[:, 6] != 0]
    corners = np.concatenate([rows[:, 2:4], rows[:, 2:4] + rows[:, 4:6]], axis=1)
    return {
        int(frame): corners[rows[:, 0] == frame].astype(np.float32)
        for frame in np.unique(rows[:, 0])
    }


def _frames(path: Path) -> Iterator[U8]:
    capture = cv2.VideoCapture(str(path))
    if not capture.isOpened():
        msg = f"{path}: expected a recording"
        raise SourceError(msg)
    try:
        delivered, frame = capture.read()
        while delivered:
            yield np.asarray(frame, np.uint8)
            delivered, frame = capture.read()
    finally:
        capture.release()
