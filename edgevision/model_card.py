"""The model card: the only contract between building a model and running it.

A model is a folder with `card.json` and the files that the card names. Every file is read
once, bounded in size, checked against the card's SHA-256 and handed on as bytes, so what
was checked is what is run.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, Self, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from edgevision.errors import ModelError
from edgevision.files import read_regular

if TYPE_CHECKING:
    from pathlib import Path


CARD_NAME = "card.json"

MAX_CARD_BYTES = 1 << 20

MAX_FILE_BYTES = 512 << 20

MAX_ANCHORS = 1_000_000

# A plain file name: no folder, no leading dot, and such a file is read only if it is no link, so
# a card cannot reach outside its folder.
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$")]

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

Side = Annotated[int, Field(ge=1, le=8192)]

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _CardPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CardFile(_CardPart):
    """Size and hash of one file in the model folder."""

    size_bytes: Annotated[int, Field(ge=0, le=MAX_FILE_BYTES)]
    sha256: Sha256


class InputSpec(_CardPart):
    """What the network takes: one image as `cv2.resize` gives it."""

    name: str
    width: Side
    height: Side
    layout: Literal["NHWC"] = "NHWC"
    dtype: Literal["uint8"] = "uint8"
    colour_order: Literal["BGR"] = "BGR"
    scaling: str = Field(description="what the first convolution has folded in, in words")
    resize: Literal["linear_exact"] = "linear_exact"


class OutputSpec(_CardPart):
    """Names of the graph's outputs."""

    box_offsets: str
    class_logits: str


class AnchorShape(_CardPart):
    """One anchor: its height is scale / sqrt(ratio), its width scale * sqrt(ratio)."""

    scale: Positive
    ratio: Positive = Field(description="width / height")


class AnchorMap(_CardPart):
    """One feature map: every cell carries all shapes, centred on the cell."""

    rows: Side
    columns: Side
    shapes: Annotated[tuple[AnchorShape, ...], Field(min_length=1, max_length=64)]


class BoxCoder(_CardPart):
    """What the box head's offsets were multiplied by in training (SSD's variances)."""

    centre_divisor: Positive
    size_divisor: Positive


class Provenance(_CardPart):
    """Where the weights come from."""

    package: str
    version: str
    integrity: str = Field(description="hash of the package, in the registry's notation")
    file: str
    licence: str


class CalibrationFrame(_CardPart):
    """One calibration image."""

    source: str
    licence: str
    sha256: Sha256


class Calibration(_CardPart):
    """How the activation ranges of the INT8 network were found."""

    method: str
    frames: tuple[CalibrationFrame, ...]


class Measurement(_CardPart):
    """One figure that was measured when the model was built."""

    metric: str
    value: float
    dataset: str
    settings: str


class _Card(_CardPart):
    """What every card says."""

    schema_version: Literal[1] = 1
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,99}$")]
    description: str
    input: InputSpec
    labels: FileName = Field(description="one class name a line, in the order of the logits")
    onnx: FileName
    numpy: FileName | None = Field(default=None, description="plan and weights for NumPy")
    licence: str = Field(description="SPDX identifier of the weights' licence")
    provenance: Provenance
    calibration: Calibration | None = None
    measured: tuple[Measurement, ...] = ()
    files: dict[FileName, CardFile]

    @model_validator(mode="after")
    def _names_only_listed_files(self) -> Self:
        used = {self.labels, self.onnx} | ({self.numpy} if self.numpy is not None else set())
        missing = ", ".join(sorted(used - self.files.keys()))
        if missing:
            msg = f"expected every used file under 'files' with its sha256, missing {missing}"
            raise ValueError(msg)
        return self


class ModelCard(_Card):
    """Everything the service must know about a detection model."""

    task: Literal["detection"] = "detection"
    outputs: OutputSpec
    anchors: Annotated[tuple[AnchorMap, ...], Field(min_length=1, max_length=32)]
    box_coder: BoxCoder
    score: Literal["sigmoid"] = "sigmoid"
    background_index: int | None = Field(description="line of the label file that is no object")

    @model_validator(mode="after")
    def _fits_into_memory(self) -> Self:
        if self.anchor_count > MAX_ANCHORS:
            msg = f"expected at most {MAX_ANCHORS} anchors, got {self.anchor_count}"
            raise ValueError(msg)
        return self

    @property
    def anchor_count(self) -> int:
        """Return the number of anchors a, the first axis of the graph's outputs."""
        return sum(m.rows * m.columns * len(m.shapes) for m in self.anchors)


class ClassifierOutputSpec(_CardPart):
    """Name of a classifier's output, [1, classes]."""

    class_logits: str


class ClassifierCard(_Card):
    """Everything to know about a classifier. It can be built and looked at, not served."""

    task: Literal["classification"]
    outputs: ClassifierOutputSpec
    score: Literal["softmax"] = "softmax"


def _task(card: object) -> str:
    """Return which kind of card it is; one that names no other task counts as a detector's."""
    named = card.get("task") if isinstance(card, dict) else getattr(card, "task", None)
    return "classification" if named == "classification" else "detection"


AnyCard: TypeAlias = ModelCard | ClassifierCard

_CARDS: TypeAdapter[AnyCard] = TypeAdapter(
    Annotated[
        Annotated[ModelCard, Tag("detection")] | Annotated[ClassifierCard, Tag("classification")],
        Discriminator(_task),
    ]
)


@dataclass(frozen=True, slots=True)
class Model:
    """A checked folder of a detection model."""

    folder: Path
    card: ModelCard
    labels: tuple[str, ...]

    def read(self, name: str) -> bytes:
        """Return a file's bytes after comparing them with the card.

        Raises:
            ModelError: the file is absent, unreadable, or not the one the card describes.
        """
        return _read_checked(self.folder, name, self.card.files[name])


def load_model(folder: Path) -> Model:
    """Check a folder as `load_card` does and return the detection model in it.

    Raises:
        ModelError: anything is missing, too large, malformed or altered, or it is a classifier.
    """
    card, labels = load_card(folder)
    path = folder / CARD_NAME
    if not isinstance(card, ModelCard):
        msg = f"{path}: task: expected detection, got {card.task}: the service runs detectors only"
        raise ModelError(msg)
    if card.background_index is not None and not 0 <= card.background_index < len(labels):
        msg = (
            f"{path}: background_index: expected 0..{len(labels) - 1} ({card.labels} has "
            f"{len(labels)} lines), got {card.background_index}"
        )
        raise ModelError(msg)
    return Model(folder, card, labels)


def load_card(folder: Path) -> tuple[AnyCard, tuple[str, ...]]:
    """Read `card.json`, check every file that it lists and return the card and the labels.

    Raises:
        ModelError: anything is missing, too large, malformed or altered.
    """
    path = folder / CARD_NAME
    try:
        card = _CARDS.validate_json(_read_bounded(path, MAX_CARD_BYTES))
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        # The first part of the place is the kind of card.
        where = ".".join(str(part) for part in fault["loc"][1:]) or "the file"
        where = where.encode("unicode_escape").decode()
        msg = f"{path}: not a model card: {where}: {fault['msg'].removeprefix('Value error, ')}"
        raise ModelError(msg) from error
    contents = {name: _read_checked(folder, name, spec) for name, spec in card.files.items()}
    return card, parse_labels(folder / card.labels, contents[card.labels])


def parse_labels(path: Path, content: bytes) -> tuple[str, ...]:
    """Return the lines of a label file.

    Raises:
        ModelError: it is no UTF-8, is empty, or has an empty line.
    """
    try:
        labels = tuple(content.decode().splitlines())
    except UnicodeDecodeError as error:
        msg = f"{path}: expected UTF-8 text, one label a line"
        raise ModelError(msg) from error
    if not labels or not all(label.strip() for label in labels):
        msg = f"{path}: expected one label a line and no empty line"
        raise ModelError(msg)
    return labels


def _read_checked(folder: Path, name: str, spec: CardFile) -> bytes:
    path = folder / name
    content = _read_bounded(path, spec.size_bytes)
    found = hashlib.sha256(content).hexdigest()
    if len(content) != spec.size_bytes or found != spec.sha256:
        msg = (
            f"{path}: expected {spec.size_bytes} bytes with sha256 {spec.sha256[:12]}… as in "
            f"{CARD_NAME}, got {len(content)} bytes with {found[:12]}…: the file was altered or "
            "cut short; install the model again"
        )
        raise ModelError(msg)
    return content


def _read_bounded(path: Path, limit_bytes: int) -> bytes:
    try:
        content = read_regular(path, limit_bytes, follow_links=False)
    except OSError as error:
        msg = f"{path}: cannot be read ({error.strerror}): expected a model folder with a card.json"
        raise ModelError(msg) from error
    if len(content) > limit_bytes:
        msg = f"{path}: expected at most {limit_bytes} bytes, got more: not the file of this model"
        raise ModelError(msg)
    return content


# FOLDED:
# Labels that a configuration names, against those that a model knows.


def known_labels(model: Model) -> list[str]:
    """Return all labels but the background."""
    background = model.card.background_index
    return [label for index, label in enumerate(model.labels) if index != background]
