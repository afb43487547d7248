"""The model card: the only contract between building a model and running it.

A model is a folder with `card.json` and the files that the card names. Every file is read
once, bounded in size, checked against the card's SHA-256 and passed on as bytes, so what was
checked is what runs.

A detection model's card also says which decoder turns the network's outputs into boxes:
`decoder: {kind: ...}` with that decoder's parameters. A card without `decoder` is an SSD's, with
`outputs`, `anchors`, `box_coder` and `score` at the top of the card or under
`decoder: {kind: ssd}`.
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

# A plain file name: no folder, no leading dot. Links are not followed when such a file is read,
# so a card cannot reach outside its folder.
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Side = Annotated[int, Field(ge=1, le=8192)]
Axis = Annotated[int, Field(ge=1, le=100_000_000)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]

# What an SSD's card may have at the top or under `decoder: {kind: ssd}`.
SSD = "ssd"
SSD_KEYS = frozenset({"outputs", "anchors", "box_coder", "score"})


class _CardPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CardFile(_CardPart):
    """Size and hash of one file in the model folder."""

    size_bytes: Annotated[int, Field(ge=0, le=MAX_FILE_BYTES)]
    sha256: Sha256


class InputSpec(_CardPart):
    """The network's input: one image as `cv2.resize` returns it."""

    name: str
    width: Side
    height: Side
    layout: Literal["NHWC"] = "NHWC"
    dtype: Literal["uint8"] = "uint8"
    colour_order: Literal["BGR"] = "BGR"
    scaling: str = Field(description="what is folded into the first convolution, as text")
    resize: Literal["linear_exact"] = "linear_exact"


class OutputSpec(_CardPart):
    """Names of an SSD graph's outputs, a = number of anchors, c = number of labels.

    Attributes:
        box_offsets: float32 [1, a, 4], (ty, tx, th, tw) relative to the anchors.
        class_logits: float32 [1, a, c], before the sigmoid; the background class included.
    """

    box_offsets: str
    class_logits: str


class AnchorShape(_CardPart):
    """One anchor: its height is scale / sqrt(ratio), its width scale * sqrt(ratio)."""

    scale: Positive
    ratio: Positive = Field(description="width / height")


class AnchorMap(_CardPart):
    """One feature map: every cell has an anchor of each shape, centred on the cell."""

    rows: Side
    columns: Side
    shapes: Annotated[tuple[AnchorShape, ...], Field(min_length=1, max_length=64)]


class BoxCoder(_CardPart):
    """What the box head's offsets were multiplied by in training (SSD's variances)."""

    centre_divisor: Positive
    size_divisor: Positive


class DecoderSpec(BaseModel):
    """Which decoder reads the network's outputs, and what it needs to know.

    The other keys of this section are that decoder's, which checks them: they are in
    `model_extra`.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    kind: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,99}$")]
    outputs: Annotated[
        dict[str, Annotated[tuple[Axis, ...], Field(min_length=1, max_length=8)]],
        Field(min_length=1, max_length=64),
    ] = Field(description="the network's outputs: float32, shape without the batch axis of 1")


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
    """How the activation ranges of the INT8 network were calibrated."""

    method: str
    frames: tuple[CalibrationFrame, ...]


class Measurement(_CardPart):
    """One figure measured when the model was built."""

    metric: str
    value: float
    dataset: str
    settings: str


class _Card(_CardPart):
    """The part that all cards have."""

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
    """Everything the service must know about a detection model with an SSD head."""

    task: Literal["detection"] = "detection"
    outputs: OutputSpec
    anchors: Annotated[tuple[AnchorMap, ...], Field(min_length=1, max_length=32)]
    box_coder: BoxCoder
    score: Literal["sigmoid"] = "sigmoid"
    background_index: int | None = Field(description="line of the label file that is no object")

    @model_validator(mode="before")
    @classmethod
    def _lift_decoder(cls, data: object) -> object:
        """Bring the parameters under `decoder: {kind: ssd}` to the top, where they are kept."""
        decoder = data.get("decoder") if isinstance(data, dict) else None
        if not isinstance(data, dict) or not isinstance(decoder, dict):
            return data
        card = {key: value for key, value in data.items() if key != "decoder"}
        given = {key: value for key, value in decoder.items() if key != "kind"}
        unknown = ", ".join(map(repr, given.keys() - SSD_KEYS))
        if unknown:
            msg = f"decoder: expected kind, {', '.join(sorted(SSD_KEYS))} for ssd, got {unknown}"
            raise ValueError(msg)
        twice = ", ".join(sorted(given.keys() & card.keys()))
        if twice:
            msg = f"expected it once, under decoder or at the top of the card, got {twice} twice"
            raise ValueError(msg)
        return card | given

    @model_validator(mode="after")
    def _fits_into_memory(self) -> Self:
        if self.anchor_count > MAX_ANCHORS:
            msg = f"expected at most {MAX_ANCHORS} anchors, got {self.anchor_count}"
            raise ValueError(msg)
        return self

    @property
    def anchor_count(self) -> int:
        """Return the number of anchors a, the first axis of the network's outputs."""
        return sum(m.rows * m.columns * len(m.shapes) for m in self.anchors)

    @property
    def decoder_kind(self) -> str:
        """Return the name of the decoder."""
        return SSD


class DecoderCard(_Card):
    """Everything the service must know about a detection model with another head than SSD's."""

    task: Literal["detection"] = "detection"
    decoder: DecoderSpec
    background_index: int | None = Field(
        default=None, description="line of the label file that is no object"
    )

    @property
    def decoder_kind(self) -> str:
        """Return the name of the decoder."""
        return self.decoder.kind


class ClassifierOutputSpec(_CardPart):
    """Name of a classifier's output, [1, classes]."""

    class_logits: str


class ClassifierCard(_Card):
    """Everything to know about a classifier. It can be built and inspected, not served."""

    task: Literal["classification"]
    outputs: ClassifierOutputSpec
    score: Literal["softmax"] = "softmax"


def _kind(card: object) -> str:
    """Return the tag of a parsed card; one that names neither task nor decoder is an SSD's."""
    if not isinstance(card, dict):
        return SSD
    if card.get("task") == "classification":
        return "classification"
    decoder = card.get("decoder", {"kind": SSD})
    return SSD if isinstance(decoder, dict) and decoder.get("kind") == SSD else "other"


DetectionCard: TypeAlias = ModelCard | DecoderCard
AnyCard: TypeAlias = DetectionCard | ClassifierCard

_CARDS: TypeAdapter[AnyCard] = TypeAdapter(
    Annotated[
        Annotated[ModelCard, Tag(SSD)]
        | Annotated[DecoderCard, Tag("other")]
        | Annotated[ClassifierCard, Tag("classification")],
        Discriminator(_kind),
    ]
)


@dataclass(frozen=True, slots=True)
class Model:
    """A checked folder of a detection model."""

    folder: Path
    card: DetectionCard
    labels: tuple[str, ...]

    @property
    def output_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each of the network's outputs by name, without the batch axis."""
        card = self.card
        if isinstance(card, DecoderCard):
            return card.decoder.outputs
        return {
            card.outputs.box_offsets: (card.anchor_count, 4),
            card.outputs.class_logits: (card.anchor_count, len(self.labels)),
        }

    def read(self, name: str) -> bytes:
        """Return a file's bytes after comparing them with the card.

        Raises:
            ModelError: the file is missing, unreadable, or not the one the card describes.
        """
        return _read_checked(self.folder, name, self.card.files[name])


def load_model(folder: Path) -> Model:
    """Check a folder as `load_card` does and return the detection model in it.

    Raises:
        ModelError: a file is missing, too large, malformed or altered, or it is a classifier.
    """
    card, labels = load_card(folder)
    path = folder / CARD_NAME
    if isinstance(card, ClassifierCard):
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
        ModelError: a file is missing, too large, malformed or altered.
    """
    path = folder / CARD_NAME
    try:
        card = _CARDS.validate_json(_read_bounded(path, MAX_CARD_BYTES))
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        # The first part of the location is the tag of the card.
        where = ".".join(str(part) for part in fault["loc"][1:]) or "the file"
        where = where.encode("unicode_escape").decode()
        msg = f"{path}: not a model card: {where}: {fault['msg'].removeprefix('Value error, ')}"
        raise ModelError(msg) from error
    contents = {name: _read_checked(folder, name, spec) for name, spec in card.files.items()}
    return card, parse_labels(folder / card.labels, contents[card.labels])


def known_labels(model: Model) -> list[str]:
    """Return all labels except the background: those that a configuration may name."""
    background = model.card.background_index
    return [label for index, label in enumerate(model.labels) if index != background]


def parse_labels(path: Path, content: bytes) -> tuple[str, ...]:
    """Return the lines of a label file.

    Raises:
        ModelError: it is not UTF-8, is empty, or has an empty line.
    """
    try:
        labels = tuple(content.decode().splitlines())
    except UnicodeDecodeError as error:
        msg = f"{path}: expected UTF-8 text, one label per line"
        raise ModelError(msg) from error
    if not labels or not all(label.strip() for label in labels):
        msg = f"{path}: expected one label per line and no empty lines"
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
        msg = (
            f"{path}: expected at most {limit_bytes} bytes, got more: this is not the model's file"
        )
        raise ModelError(msg)
    return content
