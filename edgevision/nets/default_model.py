"""Building the default model, `ssd_mobilenet_v2_oid`, from its published weights.

1. Fetch the package; give its weights the names of our own network's layers.
2. Write the float graph and compare it with the published model.
3. Measure ranges on photographs, round weights, correct biases: the INT8 graph.
4. Measure both graphs' accuracy, where there is a recording with ground truth.
5. Write the folder.
"""

from __future__ import annotations

import tempfile
from importlib.resources import files as resources
from pathlib import Path
from typing import TYPE_CHECKING

from edgevision.card import (
    Calibration,
    CalibrationFrame,
    InputSpec,
    Measurement,
    ModelCard,
    OutputSpec,
    Provenance,
    load_model,
)
from edgevision.errors import ModelError
from edgevision.nets import pedestrians, published
from edgevision.nets.calibrate import OUTLIER_SHARE
from edgevision.nets.folder import (
    FLOAT_FILE,
    INT8_FILE,
    LABEL_FILE,
    NUMPY_FILE,
    BuildReport,
    describe,
    write_folder,
)
from edgevision.nets.numpy_file import int8_plan
from edgevision.nets.onnx_float import float_onnx
from edgevision.nets.onnx_int8 import int8_onnx
from edgevision.nets.photographs import calibration_frames
from edgevision.nets.quantization import quantize_on
from edgevision.nets.reference import largest_difference
from edgevision.nets.ssd import BOX_CODER, BOX_OUTPUT, CLASS_OUTPUT, OUTPUT_RANGES
from edgevision.nets.ssd_mobilenet_v2 import ssd_mobilenet_v2
from edgevision.nets.tflite_import import match, read_convs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgevision.card import AnchorMap, CardFile
    from edgevision.nets.graph import Network
    from edgevision.nets.photographs import CalibrationImage
    from edgevision.nets.progress import Progress
    from edgevision.nets.weights import Weights
    from edgevision.records import U8

NAME = "ssd_mobilenet_v2_oid"

COMPARED_FRAMES = 8
MAX_DIFFERENCE = 1e-3
MIN_AP = 0.725
MAX_AP_LOSS = 0.01


def build_ssd_mobilenet_v2_oid(
    *, folder: Path, cache: Path, evaluate: Path | None = None, on_progress: Progress
) -> BuildReport:
    """Build the default model.

    Args:
        folder: where to write it; replaced file by file once everything has been checked.
        cache: folder for fetched packages, about 120 MB.
        evaluate: folder of a pedestrian recording (`video.avi`, `gt.txt`) to measure accuracy
            on; without it the card has no accuracy.
        on_progress: told about every step.

    Raises:
        SourceError: something cannot be fetched, read, or is not what was pinned.
        ModelError: the result is not good enough; nothing is written.
        OutputError: a folder cannot be written.
    """
    source = published.fetch_published(cache, on_progress)
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
        "LICENSE": resources("edgevision.nets").joinpath("apache-2.0.txt").read_bytes(),
        "NOTICE": published.NOTICE.encode(),
    }
    unlisted = {FLOAT_FILE: float_graph}
    card = _card(network, anchors, frames, describe(contents))
    if evaluate is not None:
        with tempfile.TemporaryDirectory() as draft:
            write_folder(Path(draft), card, contents, {})
            graphs = {"float": float_graph, "INT8": int8_graph}
            found = pedestrians.person_ap(load_model(Path(draft)), graphs, evaluate, on_progress)
        measured += _accuracy(found, evaluate.name)
    card = card.model_copy(update={"measured": tuple(measured)})
    write_folder(folder, card, contents, unlisted)
    sizes = {name: len(content) for name, content in {**contents, **unlisted}.items()}
    return BuildReport(folder, sizes, network.parameter_count, card.measured)


def published_weights(cache: Path, on_progress: Progress) -> Weights:
    """Return the published weights under the names of our own layers.

    Raises:
        SourceError: they cannot be fetched or are not what was pinned.
        OutputError: the cache folder cannot be made.
    """
    _, _, weights = _network(published.fetch_published(cache, on_progress))
    return weights


def _network(
    source: published.PublishedModel,
) -> tuple[Network, tuple[AnchorMap, ...], Weights]:
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
            metric=f"{pedestrians.LABEL} AP, {name}",
            value=round(value, 4),
            dataset=dataset,
            settings=pedestrians.SETTINGS,
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
        licence=published.LICENCE,
        provenance=Provenance(
            package=f"npm {published.PACKAGE.name}",
            version=published.PACKAGE.version,
            integrity=published.PACKAGE.integrity,
            file=published.FILE,
            licence=published.LICENCE,
        ),
        calibration=Calibration(
            method=(
                "activations uint8: ReLU6 0 to the largest value, linear ones without the "
                f"outermost {OUTLIER_SHARE:g} at either end, box offsets -12..12, logits -8..8; "
                "weights int8 per channel, 1x1 convolutions rounded to the inputs' covariance, "
                "biases corrected for the mean rounding error"
            ),
            frames=tuple(
                CalibrationFrame(source=f.source, licence=f.licence, sha256=f.sha256)
                for f in frames
            ),
        ),
        files=files,
    )
