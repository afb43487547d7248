from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fake_model import ANCHORS, CAT_ANCHOR, HEIGHT, LABELS, WIDTH, FakeModel, graph
from onnx import TensorProto

from edgevision.config.settings import Config, RuntimeConfig
from edgevision.errors import BackendError, ModelError, ModelMismatchError
from edgevision.inference.backend import open_backend
from edgevision.inference.onnxruntime import OnnxRuntimeBackend
from edgevision.model_card import Model, ModelCard, load_model

if TYPE_CHECKING:
    from pathlib import Path

ONE_THREAD = RuntimeConfig(threads=1)


def image_of(value: int) -> np.ndarray:
    return np.full((1, HEIGHT, WIDTH, 3), value, np.uint8)


def test_a_run_gives_6_offsets_and_6_rows_of_4_logits(loaded_model: Model) -> None:
    raw = OnnxRuntimeBackend(loaded_model, ONE_THREAD).run(image_of(0))
    assert raw["offsets"].shape == (ANCHORS, 4)
    assert raw["logits"].shape == (ANCHORS, len(LABELS))
    assert raw["offsets"].dtype == raw["logits"].dtype == np.float32


def test_a_white_image_gives_the_cat_a_logit_of_4(loaded_model: Model) -> None:
    raw = OnnxRuntimeBackend(loaded_model, ONE_THREAD).run(image_of(255))
    assert raw["logits"][CAT_ANCHOR, LABELS.index("Cat")] == pytest.approx(4.0)


def test_offsets_and_logits_are_distinguished_by_name_and_not_by_position(
    fake_model: FakeModel,
) -> None:
    fake_model.change_card(outputs={"box_offsets": "logits", "class_logits": "offsets"})
    model = load_model(fake_model.folder)
    raw = OnnxRuntimeBackend(model, ONE_THREAD).run(image_of(0))
    assert isinstance(model.card, ModelCard)
    assert raw[model.card.outputs.box_offsets].max() == -8.0
    assert raw[model.card.outputs.class_logits].max() == 0.0


def test_another_graph_takes_the_place_of_the_cards(loaded_model: Model) -> None:
    backend = OnnxRuntimeBackend(loaded_model, ONE_THREAD, graph=graph())
    assert backend.run(image_of(0))["logits"].max() == -8.0


def test_a_provider_that_this_build_lacks_is_named_with_those_it_has(loaded_model: Model) -> None:
    config = RuntimeConfig(providers=("NoSuchProvider", "CPUExecutionProvider", "Neither"))
    with pytest.raises(BackendError) as caught:
        OnnxRuntimeBackend(loaded_model, config)
    message = str(caught.value)
    assert message.startswith("runtime.providers: expected some of ")
    assert "CPUExecutionProvider" in message.partition(", got ")[0]
    assert message.endswith(", got NoSuchProvider, Neither")


@pytest.mark.parametrize(
    "content", [b"garbage", b"\0" * 1000, b"", graph()[:200], b"\x08\x09"], ids=str
)
def test_a_file_that_is_no_graph_is_refused_in_one_line(
    fake_model: FakeModel, content: bytes
) -> None:
    fake_model.replace("int8.onnx", content)
    with pytest.raises(BackendError) as caught:
        OnnxRuntimeBackend(load_model(fake_model.folder), ONE_THREAD)
    assert str(caught.value).startswith(
        f"{fake_model.folder}/int8.onnx: ONNX Runtime cannot load it: "
    )
    assert "\n" not in str(caught.value)


def test_a_graph_altered_after_loading_is_a_fault_of_the_model_and_not_of_the_engine(
    fake_model: FakeModel,
) -> None:
    model = load_model(fake_model.folder)
    (fake_model.folder / "int8.onnx").write_bytes(b"x")
    with pytest.raises(ModelError, match="the file was altered or cut short"):
        OnnxRuntimeBackend(model, ONE_THREAD)


@pytest.mark.parametrize(
    ("changes", "expected", "got"),
    [
        (
            {"height": WIDTH, "width": HEIGHT},
            "image tensor(uint8) [1, 24, 32, 3]",
            "tensor(uint8) [1, 32, 24, 3]",
        ),
        (
            {"input_type": TensorProto.FLOAT},
            "image tensor(uint8) [1, 24, 32, 3]",
            "tensor(float) [1, 24, 32, 3]",
        ),
        ({"anchors": 7}, "offsets tensor(float) [1, 6, 4]", "tensor(float) [1, 7, 4]"),
        ({"classes": 5}, "logits tensor(float) [1, 6, 4]", "tensor(float) [1, 6, 5]"),
        (
            {"output_type": TensorProto.FLOAT16},
            "offsets tensor(float) [1, 6, 4]",
            "tensor(float16) [1, 6, 4]",
        ),
        ({"logits_name": "other"}, "logits tensor(float) [1, 6, 4]", "nothing of that name"),
    ],
)
def test_a_graph_that_does_not_take_what_its_card_says_is_refused(
    fake_model: FakeModel, changes: dict[str, Any], expected: str, got: str
) -> None:
    fake_model.replace("int8.onnx", graph(**changes))
    with pytest.raises(ModelMismatchError) as caught:
        OnnxRuntimeBackend(load_model(fake_model.folder), ONE_THREAD)
    assert str(caught.value) == (
        f"{fake_model.folder}/int8.onnx: expected {expected} as on the card, got {got}"
    )


def test_a_label_file_with_one_line_too_many_is_refused(fake_model: FakeModel) -> None:
    fake_model.replace("labels.txt", b"???\nCat\nDog\nPerson\nElk\n")
    with pytest.raises(ModelMismatchError, match=r"expected logits tensor\(float\) \[1, 6, 5\]"):
        OnnxRuntimeBackend(load_model(fake_model.folder), ONE_THREAD)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((HEIGHT, WIDTH, 3), np.uint8),
        np.zeros((1, WIDTH, HEIGHT, 3), np.uint8),
        np.zeros((1, HEIGHT, WIDTH, 3), np.float32),
    ],
    ids=["no batch axis", "turned", "float"],
)
def test_an_image_that_the_graph_does_not_take_fails_in_one_line(
    loaded_model: Model, image: Any
) -> None:
    backend = OnnxRuntimeBackend(loaded_model, ONE_THREAD)
    with pytest.raises(BackendError, match=r"^ONNX Runtime failed: .+") as caught:
        backend.run(image)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("level", ["all", "extended", "basic", "disabled"])
@pytest.mark.parametrize("inter_op_threads", [1, 2])
def test_every_level_of_optimization_gives_the_same_logits(
    loaded_model: Model, level: str, inter_op_threads: int
) -> None:
    config = RuntimeConfig.model_validate(
        {"threads": 2, "graph_optimization": level, "inter_op_threads": inter_op_threads}
    )
    raw = OnnxRuntimeBackend(loaded_model, config).run(image_of(255))
    assert raw["logits"][CAT_ANCHOR, LABELS.index("Cat")] == pytest.approx(4.0)


def test_without_onnxruntime_the_error_says_what_to_install(fake_model: FakeModel) -> None:
    script = """
import sys
from pathlib import Path
sys.modules["onnxruntime"] = None  # as if it were not installed
from edgevision.model_card import load_model
from edgevision.config.settings import RuntimeConfig
from edgevision.errors import BackendError
from edgevision.inference.onnxruntime import OnnxRuntimeBackend
try:
    OnnxRuntimeBackend(load_model(Path(sys.argv[1])), RuntimeConfig())
except BackendError as error:
    print(error)
"""
    command = [sys.executable, "-c", script, str(fake_model.folder)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert output == "expected the package onnxruntime, got none: pip install onnxruntime\n"


def test_the_configured_threads_are_those_of_the_backend(loaded_model: Model) -> None:
    assert OnnxRuntimeBackend(loaded_model, RuntimeConfig(threads=2)).threads == 2


@pytest.mark.parametrize("backend", ["auto", "onnxruntime"])
def test_the_backend_of_a_configuration_is_onnxruntime_and_says_so_once(
    fake_model: FakeModel, tmp_path: Path, caplog: pytest.LogCaptureFixture, backend: str
) -> None:
    config = Config.model_validate(
        {"cameras": {"yard": {"source": "0"}}, "backend": backend, "runtime": {"threads": 1}},
        context={"folder": tmp_path},
    )
    with caplog.at_level("INFO"):
        opened = open_backend(load_model(fake_model.folder), config)
    assert opened.name == "onnxruntime"
    assert [record.getMessage() for record in caplog.records] == [
        "backend onnxruntime (threads: 1), model fake"
    ]
