"""Building a model folder from a blueprint and one's own weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgevision.card import (
    MAX_FILE_BYTES,
    Calibration,
    CalibrationFrame,
    ClassifierCard,
    ClassifierOutputSpec,
    InputSpec,
    ModelCard,
    OutputSpec,
    Provenance,
)
from edgevision.errors import ModelError, UsageError
from edgevision.nets.calibrate import OUTLIER_SHARE
from edgevision.nets.classifier import LOGITS_OUTPUT
from edgevision.nets.folder import (
    FLOAT_FILE,
    INT8_FILE,
    LABEL_FILE,
    NUMPY_FILE,
    BuildReport,
    describe,
    write_folder,
)
from edgevision.nets.numpy_file import float_plan, int8_plan
from edgevision.nets.onnx_float import float_onnx
from edgevision.nets.onnx_int8 import int8_onnx
from edgevision.nets.quantization import quantize_on
from edgevision.nets.ssd import BOX_CODER, BOX_OUTPUT, CLASS_OUTPUT, OUTPUT_RANGES
from edgevision.nets.weights import checked_weights

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from edgevision.card import AnyCard, CardFile
    from edgevision.nets.architectures import Blueprint
    from edgevision.nets.photographs import CalibrationImage
    from edgevision.nets.progress import Progress

BACKGROUND = "???"


@dataclass(frozen=True, slots=True)
class Trained:
    """What a user brings to a blueprint.

    Attributes:
        weights: by the names of `Network.weight_shapes`.
        labels: a name for every class, without the background.
        provenance: where the weights come from.
        calibration: pictures of the network's input size; none for a float model.
    """

    weights: Mapping[str, NDArray[Any]]
    labels: tuple[str, ...]
    provenance: Provenance
    calibration: tuple[CalibrationImage, ...] = ()


def build_own(
    blueprint: Blueprint, trained: Trained, *, folder: Path, on_progress: Progress
) -> BuildReport:
    """Build a model; nothing is written before everything has been checked.

    Args:
        blueprint: the network.
        trained: weights, labels and calibration pictures.
        folder: where to write it.
        on_progress: told about every step.

    Raises:
        UsageError: there is not one label for every class.
        ModelMismatchError: the weights are not the network's; lists every fault.
        ModelError: the network is too large for a file.
        OutputError: the folder cannot be written.
    """
    network = blueprint.network
    if len(trained.labels) != blueprint.classes:
        msg = f"expected {blueprint.classes} labels, one a class, got {len(trained.labels)}"
        raise UsageError(msg)
    if 4 * network.parameter_count > MAX_FILE_BYTES:
        msg = (
            f"{network.name}: expected at most {MAX_FILE_BYTES // 4} parameters, "
            f"got {network.parameter_count}"
        )
        raise ModelError(msg)
    weights = checked_weights(network, trained.weights)
    on_progress("writing graphs", 0, 1)
    float_graph = float_onnx(network, weights)
    on_progress("writing graphs", 1, 1)
    lines = (BACKGROUND, *trained.labels) if blueprint.head.is_detector else trained.labels
    contents = {LABEL_FILE: ("\n".join(lines) + "\n").encode()}
    unlisted: dict[str, bytes] = {}
    if trained.calibration:
        images = [frame.image for frame in trained.calibration]
        ranges = OUTPUT_RANGES if blueprint.head.is_detector else {}
        quantized = quantize_on(network, weights, images, ranges, on_progress)
        contents |= {INT8_FILE: int8_onnx(quantized), NUMPY_FILE: int8_plan(quantized)}
        unlisted[FLOAT_FILE] = float_graph
    else:
        contents |= {FLOAT_FILE: float_graph, NUMPY_FILE: float_plan(network, weights)}
    write_folder(folder, _card(blueprint, trained, describe(contents)), contents, unlisted)
    sizes = {name: len(content) for name, content in {**contents, **unlisted}.items()}
    return BuildReport(folder, sizes, network.parameter_count)


def _card(blueprint: Blueprint, trained: Trained, files: dict[str, CardFile]) -> AnyCard:
    network = blueprint.network
    side = network.input.rows
    common: dict[str, Any] = {
        "name": network.name,
        "description": f"{network.name} at {side}x{side} for {blueprint.classes} classes",
        "input": InputSpec(
            name=network.input.name,
            width=network.input.columns,
            height=network.input.rows,
            scaling="x / 127.5 - 1, RGB; the graph does it, and turns the BGR order",
        ),
        "labels": LABEL_FILE,
        "onnx": INT8_FILE if trained.calibration else FLOAT_FILE,
        "numpy": NUMPY_FILE,
        "licence": trained.provenance.licence,
        "provenance": trained.provenance,
        "calibration": _calibration(blueprint, trained.calibration),
        "files": files,
    }
    if not blueprint.head.is_detector:
        outputs = ClassifierOutputSpec(class_logits=LOGITS_OUTPUT)
        return ClassifierCard(task="classification", outputs=outputs, **common)
    return ModelCard(
        outputs=OutputSpec(box_offsets=BOX_OUTPUT, class_logits=CLASS_OUTPUT),
        anchors=blueprint.anchors,
        box_coder=BOX_CODER,
        background_index=0,
        **common,
    )


def _calibration(blueprint: Blueprint, frames: Sequence[CalibrationImage]) -> Calibration | None:
    if not frames:
        return None
    outputs = (
        "box offsets -12..12, logits -8..8" if blueprint.head.is_detector else "logits likewise"
    )
    return Calibration(
        method=(
            "activations uint8: ReLU and ReLU6 0 to the largest value, sigmoid 0..1, all others "
            f"without the outermost {OUTLIER_SHARE:g} at either end, {outputs}; weights int8 per "
            "channel, 1x1 convolutions rounded to the inputs' covariance, biases corrected for "
            "the mean rounding error"
        ),
        frames=tuple(
            CalibrationFrame(source=f.source, licence=f.licence, sha256=f.sha256) for f in frames
        ),
    )
