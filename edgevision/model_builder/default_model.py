"""Building the default model, `ssd_mobilenet_v2_oid`, from its published weights.

1. Fetch the package; map its weights to the layers of our own network.
2. Export the float graph and compare it with the published model.
3. Calibrate on photographs: measure ranges, round weights, correct biases. The result is the
   INT8 graph.
4. Measure the accuracy of both graphs, if there is a recording with ground truth.
5. Write the folder.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from importlib.resources import files as resources
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter

from edgevision.config.camera import DetectionConfig
from edgevision.config.settings import RuntimeConfig
from edgevision.detection.decoder import make_decoder
from edgevision.errors import ModelError, SourceError
from edgevision.evaluation.ground_truth import AveragePrecision, read_ground_truth
from edgevision.inference.onnxruntime import OnnxRuntimeBackend
from edgevision.inference.preprocess import Preprocessor
from edgevision.model_builder.architectures import ssd_mobilenet_v2
from edgevision.model_builder.calibrate import OUTLIER_SHARE, quantize_on
from edgevision.model_builder.calibration_images import calibration_frames
from edgevision.model_builder.heads import (
    BACKGROUND,
    BOX_CODER,
    BOX_OUTPUT,
    CLASS_OUTPUT,
    OUTPUT_RANGES,
)
from edgevision.model_builder.npm_package import NpmPackage, fetch, read_members
from edgevision.model_builder.numpy_export import int8_plan
from edgevision.model_builder.onnx_export import GraphSession, float_onnx, int8_onnx
from edgevision.model_builder.own_model import (
    FLOAT_FILE,
    INT8_FILE,
    LABEL_FILE,
    NUMPY_FILE,
    BuildReport,
    calibrated_on,
    card_files,
    write_folder,
)
from edgevision.model_builder.tflite_import import match, read_convs
from edgevision.model_card import (
    InputSpec,
    Measurement,
    ModelCard,
    OutputSpec,
    Provenance,
    load_model,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from edgevision.frames import U8
    from edgevision.model_builder.calibration_images import CalibrationImage
    from edgevision.model_builder.graph import Network, Progress
    from edgevision.model_builder.weights import Weights
    from edgevision.model_card import AnchorMap, CardFile, Model

NAME = "ssd_mobilenet_v2_oid"

# The checks of a build; if one fails, nothing is written.
COMPARED_FRAMES = 8  # about as many are run through both models
MAX_DIFFERENCE = 1e-3  # of any output of the float graph from the published model
MIN_AP = 0.725
MAX_AP_LOSS = 0.01  # INT8 against float

# Where the published weights are.
PACKAGE = NpmPackage(
    name="@mediapipe/objectron",
    version="0.4.1675468480",
    integrity=(
        "sha512-IoWuW0ojc9GaSW6UoDCIXgwjLSqTEcR5w8NYuGH+R5+q+nKzS7KOIGfY/eyx4DttReumb398W6+PpW0DQ2Rs/w=="
    ),
)

LICENCE = "Apache-2.0"
FILE = "objectron_solution_packed_assets.data"
MAX_PACKED_BYTES = 16 << 20

# The file is a label map, one class name per line, followed by a TFLite model to its end.
LABEL_BYTES = 184
LABEL_COUNT = 24

NOTICE = f"""\
SSD-MobileNetV2, 300x300, 23 classes of Open Images V4 and a background

The weights in this folder are derived from the model
object_detection_ssd_mobilenetv2_oidv4_fp16.tflite of MediaPipe Objectron,
Copyright The MediaPipe Authors, licensed under the Apache License, Version 2.0
(see LICENSE). They were published in the npm package {PACKAGE.name},
version {PACKAGE.version}, file {FILE}.

Changes: the weights were taken out of the TensorFlow Lite file, put into a network
written out anew, quantized to 8-bit integers and stored as ONNX; the colour order and
the scaling of the input were folded into the first convolution. labels.txt is unchanged.
"""

# The published model's names of the outputs.
_OUTPUTS = {
    BOX_OUTPUT: "raw_outputs/box_encodings",
    CLASS_OUTPUT: "raw_outputs/class_predictions",
}

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


@dataclass(frozen=True, slots=True)
class PublishedModel:
    """The contents of the package.

    Attributes:
        labels: class names in the order of the logits; the first is the background.
        tflite: the TFLite flatbuffer.
    """

    labels: tuple[str, ...]
    tflite: bytes


def build_ssd_mobilenet_v2_oid(
    *, folder: Path, cache: Path, evaluate: Path | None = None, on_progress: Progress
) -> BuildReport:
    """Build the default model.

    Args:
        folder: where to write it; its files are replaced once everything has been checked.
        cache: folder for fetched packages, about 120 MB.
        evaluate: folder of a pedestrian recording (`video.avi`, `gt.txt`) to measure accuracy
            on; without it the card states no accuracy.
        on_progress: called for every step.

    Raises:
        SourceError: a file cannot be fetched or read, or is not the pinned one.
        ModelError: the result is not accurate enough; nothing is written.
        OutputError: a folder cannot be written.
    """
    source = fetch_published(cache, on_progress)
    network, anchors, weights = _network(source)
    frames = calibration_frames(
        cache, lambda done, total: on_progress("fetching photographs", done, total)
    )
    images = [frame.image for frame in frames]
    float_graph = float_onnx(network, weights)
    compared = images[:: max(1, len(images) // COMPARED_FRAMES)]
    measured = [_compare(float_graph, source.tflite, compared, on_progress)]
    quantized = quantize_on(network, weights, images, OUTPUT_RANGES, on_progress)
    int8_graph = int8_onnx(quantized)
    contents = {
        INT8_FILE: int8_graph,
        NUMPY_FILE: int8_plan(quantized),
        LABEL_FILE: ("\n".join(source.labels) + "\n").encode(),
        "LICENSE": resources("edgevision.model_builder").joinpath("apache-2.0.txt").read_bytes(),
        "NOTICE": NOTICE.encode(),
    }
    unlisted = {FLOAT_FILE: float_graph}
    card = _card(network, anchors, frames, card_files(contents))
    if evaluate is not None:
        with tempfile.TemporaryDirectory() as draft:
            write_folder(Path(draft), card, contents, {})
            graphs = {"float": float_graph, "INT8": int8_graph}
            found = person_ap(load_model(Path(draft)), graphs, evaluate, on_progress)
        measured += _accuracy(found, evaluate.name)
    card = card.model_copy(update={"measured": tuple(measured)})
    sizes = write_folder(folder, card, contents, unlisted)
    return BuildReport(folder, sizes, network.parameter_count, card.measured)


def published_weights(cache: Path, on_progress: Progress) -> Weights:
    """Return the published weights by the names of our own layers.

    Raises:
        SourceError: they cannot be fetched or are not the pinned ones.
        OutputError: the cache folder cannot be created.
    """
    _, _, weights = _network(fetch_published(cache, on_progress))
    return weights


def fetch_published(cache: Path, on_progress: Progress) -> PublishedModel:
    """Fetch the package, check it and return its model.

    Raises:
        SourceError: the package cannot be fetched or is not the pinned one.
        OutputError: the cache folder cannot be created.
    """
    archive = fetch(PACKAGE, cache, on_progress)
    member = f"package/{FILE}"
    content = read_members(archive, [member], max_bytes=MAX_PACKED_BYTES)[member]
    labels = content[:LABEL_BYTES].decode("ascii", errors="replace").splitlines()
    if len(labels) != LABEL_COUNT or labels[0] != BACKGROUND:
        msg = (
            f"{archive}: {FILE}: expected {LABEL_COUNT} labels, the first {BACKGROUND!r}, got "
            f"{labels[:3]}…"
        )
        raise SourceError(msg)
    return PublishedModel(tuple(labels), content[LABEL_BYTES:])


def largest_difference(
    float_graph: bytes, tflite: bytes, images: Sequence[U8], on_progress: Progress
) -> float:
    """Run both models on images and return the largest absolute difference of any output.

    The published model runs in its own interpreter; the float graph must reproduce it.

    Args:
        float_graph: the ONNX file.
        tflite: the TFLite file; it takes float32 RGB, -1..1.
        images: each uint8 [300, 300, 3] BGR.
        on_progress: called for every image.
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


def _network(source: PublishedModel) -> tuple[Network, tuple[AnchorMap, ...], Weights]:
    network, anchors = ssd_mobilenet_v2(classes=len(source.labels))
    return network, anchors, match(network, read_convs(source.tflite))


def _compare(
    float_graph: bytes, tflite: bytes, images: Sequence[U8], on_progress: Progress
) -> Measurement:
    difference = largest_difference(float_graph, tflite, images, on_progress)
    if difference >= MAX_DIFFERENCE:
        msg = (
            f"{NAME}: expected the float graph within {MAX_DIFFERENCE} of the published model, "
            f"got {difference:.2g}: the network or the weight import is wrong"
        )
        raise ModelError(msg)
    return Measurement(
        metric="largest difference of the float graph from the published TFLite model",
        value=float(f"{difference:.1e}"),
        dataset=f"{len(images)} of the calibration photographs",
        settings="any output; float32 on one x86-64 processor, other processors differ slightly",
    )


def _accuracy(found: dict[str, float], dataset: str) -> list[Measurement]:
    if found["INT8"] < MIN_AP or found["float"] - found["INT8"] > MAX_AP_LOSS:
        msg = (
            f"{NAME}: expected an AP of at least {MIN_AP} and within {MAX_AP_LOSS} of float, got "
            f"{found['INT8']:.4f} (float {found['float']:.4f}): preprocessing, anchors or "
            "calibration are wrong"
        )
        raise ModelError(msg)
    return [
        Measurement(
            metric=f"{LABEL} AP, {name}",
            value=round(value, 4),
            dataset=dataset,
            settings=SETTINGS,
        )
        for name, value in found.items()
    ]


def _card(
    network: Network,
    anchors: tuple[AnchorMap, ...],
    frames: Sequence[CalibrationImage],
    files: dict[str, CardFile],
) -> ModelCard:
    return ModelCard(
        name=NAME,
        description="SSD-MobileNetV2 1.0 for 23 everyday classes of Open Images V4, INT8",
        input=InputSpec(
            name=network.input.name,
            width=network.input.columns,
            height=network.input.rows,
            scaling="x / 127.5 - 1, RGB; folded into the first convolution with the BGR order",
        ),
        outputs=OutputSpec(box_offsets=BOX_OUTPUT, class_logits=CLASS_OUTPUT),
        anchors=anchors,
        box_coder=BOX_CODER,
        labels=LABEL_FILE,
        background_index=0,
        onnx=INT8_FILE,
        numpy=NUMPY_FILE,
        licence=LICENCE,
        provenance=Provenance(
            package=f"npm {PACKAGE.name}",
            version=PACKAGE.version,
            integrity=PACKAGE.integrity,
            file=FILE,
            licence=LICENCE,
        ),
        calibration=calibrated_on(
            frames,
            method=(
                "activations uint8: ReLU6 0 to the largest value, linear ones without the "
                f"outermost {OUTLIER_SHARE:g} at either end, box offsets -12..12, logits -8..8; "
                "weights int8 per channel, 1x1 convolutions rounded to the inputs' covariance, "
                "biases corrected for the mean rounding error"
            ),
        ),
        files=files,
    )


def person_ap(
    model: Model, graphs: Mapping[str, bytes], folder: Path, on_progress: Progress
) -> dict[str, float]:
    """Run graphs on a recording as the service does and return their average precision.

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
