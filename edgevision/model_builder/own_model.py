"""Building a model folder from a blueprint and one's own weights."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgevision.errors import ModelError, OutputError, UsageError
from edgevision.model_builder.calibrate import OUTLIER_SHARE, quantize_on
from edgevision.model_builder.heads import (
    BOX_CODER,
    BOX_OUTPUT,
    CLASS_OUTPUT,
    LOGITS_OUTPUT,
    OUTPUT_RANGES,
)
from edgevision.model_builder.numpy_export import float_plan, int8_plan
from edgevision.model_builder.onnx_export import float_onnx, int8_onnx
from edgevision.model_builder.weights import checked_weights
from edgevision.model_card import (
    CARD_NAME,
    MAX_FILE_BYTES,
    Calibration,
    CalibrationFrame,
    CardFile,
    ClassifierCard,
    ClassifierOutputSpec,
    InputSpec,
    ModelCard,
    OutputSpec,
    Provenance,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from edgevision.model_builder.architectures import Blueprint
    from edgevision.model_builder.calibration_images import CalibrationImage
    from edgevision.model_builder.graph import Progress
    from edgevision.model_card import AnyCard, Measurement

BACKGROUND = "???"

FLOAT_FILE = "float.onnx"

INT8_FILE = "int8.onnx"

LABEL_FILE = "labels.txt"

NUMPY_FILE = "numpy.npz"


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


# FOLDED:
# Writing a model folder so that nobody ever reads half of one.


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What a build made.

    Attributes:
        folder: the model folder.
        sizes: bytes of every file written, by name, but for the card.
        parameters: number of weights and biases.
        measured: the figures that went into the card.
    """

    folder: Path
    sizes: dict[str, int]
    parameters: int
    measured: tuple[Measurement, ...] = ()


def describe(files: Mapping[str, bytes]) -> dict[str, CardFile]:
    """Return size and hash of files, as the card lists them."""
    return {
        name: CardFile(size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
        for name, content in sorted(files.items())
    }


def card_bytes(card: AnyCard) -> bytes:
    """Return `card.json`."""
    return (card.model_dump_json(indent=2, exclude_none=True) + "\n").encode()


def write_folder(
    folder: Path, card: AnyCard, files: Mapping[str, bytes], unlisted: Mapping[str, bytes]
) -> None:
    """Write a model folder.

    Everything is first written to a folder beside it, then moved file by file, the card last:
    until then the old card refuses new files, because it knows every file by its hash.

    Args:
        folder: the model folder, made where it is missing; other files in it are kept.
        card: lists `files`.
        files: contents by name.
        unlisted: further files that the card does not know.

    Raises:
        OutputError: the folder or a file cannot be written.
    """
    contents = {**unlisted, **files, CARD_NAME: card_bytes(card)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as made:
            for name, content in contents.items():
                Path(made, name).write_bytes(content)
            for name in contents:
                Path(made, name).replace(folder / name)
    except OSError as error:
        msg = f"{folder}: the model cannot be written ({error.strerror})"
        raise OutputError(msg) from None
