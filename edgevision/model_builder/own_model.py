"""Building a model folder from a blueprint and a user's own weights."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgevision.errors import ModelError, OutputError, UsageError
from edgevision.model_builder.calibrate import OUTLIER_SHARE, quantize_on
from edgevision.model_builder.heads import (
    BACKGROUND,
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

FLOAT_FILE = "float.onnx"
INT8_FILE = "int8.onnx"
LABEL_FILE = "labels.txt"
NUMPY_FILE = "numpy.npz"


@dataclass(frozen=True, slots=True)
class Trained:
    """A user's trained weights for a blueprint, with labels and provenance.

    Attributes:
        weights: by the names of `Network.weight_shapes`.
        labels: a name for every class, without the background.
        provenance: where the weights come from.
        calibration: pictures of the network's input size; empty for a float model.
    """

    weights: Mapping[str, NDArray[Any]]
    labels: tuple[str, ...]
    provenance: Provenance
    calibration: tuple[CalibrationImage, ...] = ()


@dataclass(frozen=True, slots=True)
class BuildReport:
    """The result of a build.

    Attributes:
        folder: the model folder.
        sizes: bytes of every file written, by name, without the card.
        parameters: number of weights and biases.
        measured: the measurements on the card.
    """

    folder: Path
    sizes: dict[str, int]
    parameters: int
    measured: tuple[Measurement, ...] = ()


def build_own(
    blueprint: Blueprint, trained: Trained, *, folder: Path, on_progress: Progress
) -> BuildReport:
    """Build a model; nothing is written until everything has been checked.

    Args:
        blueprint: the network.
        trained: weights, labels and calibration pictures.
        folder: where to write it.
        on_progress: called for every step.

    Raises:
        UsageError: the number of labels is not the number of classes.
        ModelMismatchError: the weights do not fit the network; lists every fault.
        ModelError: the network is too large for a file.
        OutputError: the folder cannot be written.
    """
    network = blueprint.network
    if len(trained.labels) != blueprint.classes:
        msg = f"expected {blueprint.classes} labels, one per class, got {len(trained.labels)}"
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
    card = _card(blueprint, trained, card_files(contents))
    sizes = write_folder(folder, card, contents, unlisted)
    return BuildReport(folder, sizes, network.parameter_count)


def write_folder(
    folder: Path, card: AnyCard, files: Mapping[str, bytes], unlisted: Mapping[str, bytes]
) -> dict[str, int]:
    """Write a model folder such that a half-written one is never loaded.

    Everything is first written to a temporary folder beside it, then moved file by file, the
    card last. Until then loading fails, because the old card has other hashes.

    Args:
        folder: the model folder, created if it is missing; other files in it are kept.
        card: lists `files`.
        files: contents by name.
        unlisted: further files, which are not on the card.

    Returns:
        The size in bytes of every file but the card, by name.

    Raises:
        OutputError: the folder or a file cannot be written.
    """
    text = card.model_dump_json(indent=2, exclude_none=True) + "\n"
    contents = {**unlisted, **files, CARD_NAME: text.encode()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as draft:
            for name, content in contents.items():
                Path(draft, name).write_bytes(content)
            for name in contents:
                Path(draft, name).replace(folder / name)
    except OSError as error:
        msg = f"{folder}: the model cannot be written ({error.strerror})"
        raise OutputError(msg) from None
    return {name: len(content) for name, content in {**files, **unlisted}.items()}


def card_files(files: Mapping[str, bytes]) -> dict[str, CardFile]:
    """Return the size and hash of files, as a card lists them."""
    return {
        name: CardFile(size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
        for name, content in sorted(files.items())
    }


def calibrated_on(frames: Sequence[CalibrationImage], *, method: str) -> Calibration:
    """Return a card's description of a calibration."""
    return Calibration(
        method=method,
        frames=tuple(
            CalibrationFrame(source=f.source, licence=f.licence, sha256=f.sha256) for f in frames
        ),
    )


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
    return calibrated_on(
        frames,
        method=(
            "activations uint8: ReLU and ReLU6 0 to the largest value, sigmoid 0..1, all others "
            f"without the outermost {OUTLIER_SHARE:g} at either end, {outputs}; weights int8 per "
            "channel, 1x1 convolutions rounded to the inputs' covariance, biases corrected for "
            "the mean rounding error"
        ),
    )
