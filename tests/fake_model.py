"""A model folder of a few kilobytes: how bright the image is decides what is in it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from pathlib import Path

WIDTH, HEIGHT = 32, 24
LABELS = ("???", "Cat", "Dog", "Person")
ANCHORS = 6
DARK_LOGIT = -8.0
# A black image has nothing in it, a white one a cat (logit 4) and a person (logit 2).
CAT_ANCHOR, PERSON_ANCHOR = 0, 5


@dataclass(frozen=True)
class FakeModel:
    """A model folder that a test may spoil."""

    folder: Path

    @property
    def card(self) -> dict[str, Any]:
        """Return the card as it stands in the folder."""
        card: dict[str, Any] = json.loads((self.folder / "card.json").read_bytes())
        return card

    def change_card(self, **changes: object) -> None:
        """Rewrite the card with other values for some of its keys."""
        text = json.dumps({**self.card, **changes})
        (self.folder / "card.json").write_text(text, encoding="utf-8")

    def replace(self, name: str, content: bytes) -> None:
        """Write a file and put its size and hash on the card."""
        (self.folder / name).write_bytes(content)
        listed = {"size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        self.change_card(files={**self.card["files"], name: listed})


def write_fake_model(folder: Path) -> FakeModel:
    """Write card, labels and graph: 32x24 pixels in, 6 anchors, 3 classes and background."""
    folder.mkdir(parents=True, exist_ok=True)
    card = {
        "name": "fake",
        "description": "sees a cat and a person in white images",
        "input": {
            "name": "image",
            "width": WIDTH,
            "height": HEIGHT,
            "scaling": "none",
        },
        "outputs": {"box_offsets": "offsets", "class_logits": "logits"},
        "anchors": [
            {"rows": 2, "columns": 2, "shapes": [{"scale": 0.5, "ratio": 1.0}]},
            {
                "rows": 1,
                "columns": 1,
                "shapes": [{"scale": 0.8, "ratio": 1.0}, {"scale": 0.4, "ratio": 4.0}],
            },
        ],
        "box_coder": {"centre_divisor": 10.0, "size_divisor": 5.0},
        "labels": "labels.txt",
        "background_index": 0,
        "onnx": "int8.onnx",
        "licence": "CC0-1.0",
        "provenance": {
            "package": "none",
            "version": "1",
            "integrity": "none",
            "file": "none",
            "licence": "CC0-1.0",
        },
        "files": {},
    }
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    model = FakeModel(folder)
    model.replace("labels.txt", "".join(f"{label}\n" for label in LABELS).encode())
    model.replace("int8.onnx", graph())
    return model


def graph(
    *,
    height: int = HEIGHT,
    width: int = WIDTH,
    anchors: int = ANCHORS,
    classes: int = len(LABELS),
    input_type: int = TensorProto.UINT8,
    output_type: int = TensorProto.FLOAT,
    logits_name: str = "logits",
) -> bytes:
    """Return an ONNX graph: logits = dark + mean(image) / 255 * gain; offsets 0."""
    gain = np.zeros((1, anchors, classes), np.float32)
    if classes == len(LABELS) and anchors == ANCHORS:
        gain[0, CAT_ANCHOR, LABELS.index("Cat")] = 4.0 - DARK_LOGIT
        gain[0, PERSON_ANCHOR, LABELS.index("Person")] = 2.0 - DARK_LOGIT
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels"], ["mean"], keepdims=0),
        helper.make_node("Div", ["mean", "white"], ["brightness"]),
        helper.make_node("Mul", ["brightness", "gain"], ["gained"]),
        helper.make_node("Add", ["gained", "dark"], ["sum"]),
        helper.make_node("Cast", ["sum"], [logits_name], to=output_type),
        helper.make_node("Mul", ["brightness", "zeros"], ["offset"]),
        helper.make_node("Cast", ["offset"], ["offsets"], to=output_type),
    ]
    constants = {
        "white": np.float32(255.0),
        "gain": gain,
        "dark": np.float32(DARK_LOGIT),
        "zeros": np.zeros((1, anchors, 4), np.float32),
    }
    described = helper.make_graph(
        nodes,
        "fake",
        [helper.make_tensor_value_info("image", input_type, [1, height, width, 3])],
        [
            helper.make_tensor_value_info("offsets", output_type, [1, anchors, 4]),
            helper.make_tensor_value_info(logits_name, output_type, [1, anchors, classes]),
        ],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(described, opset_imports=opsets, ir_version=9)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content
