from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fake_model import LABELS, FakeModel
from hypothesis import given
from hypothesis import strategies as st

from edgevision.config.settings import RuntimeConfig
from edgevision.errors import ModelError
from edgevision.inference.onnxruntime import OnnxRuntimeBackend
from edgevision.model_card import (
    MAX_CARD_BYTES,
    MAX_FILE_BYTES,
    DecoderCard,
    ModelCard,
    load_model,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


def test_a_valid_folder_gives_its_card_and_4_labels(fake_model: FakeModel) -> None:
    model = load_model(fake_model.folder)
    assert model.labels == LABELS
    assert model.card.name == "fake"


def test_anchor_count_of_2x2_cells_with_1_shape_and_1_cell_with_2_shapes_is_6(
    fake_model: FakeModel,
) -> None:
    assert load_model(fake_model.folder).card.anchor_count == 6


def test_read_returns_the_bytes_that_were_checked(fake_model: FakeModel) -> None:
    model = load_model(fake_model.folder)
    assert model.read("labels.txt") == (fake_model.folder / "labels.txt").read_bytes()


def test_missing_folder_is_named_with_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        load_model(tmp_path / "nothing")
    assert str(caught.value) == (
        f"{tmp_path}/nothing/card.json: cannot be read (No such file or directory): "
        "expected a model folder with a card.json"
    )


def test_1_changed_byte_in_the_graph_is_refused_with_both_hashes(fake_model: FakeModel) -> None:
    path = fake_model.folder / "int8.onnx"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    listed = fake_model.card["files"]["int8.onnx"]
    with pytest.raises(ModelError) as caught:
        load_model(fake_model.folder)
    message = str(caught.value)
    assert f"expected {len(content)} bytes with sha256 {listed['sha256'][:12]}…" in message
    assert message.endswith("the file was altered or cut short; install the model again")


def test_a_file_altered_after_loading_is_refused_when_it_is_read(fake_model: FakeModel) -> None:
    model = load_model(fake_model.folder)
    (fake_model.folder / "labels.txt").write_bytes(b"Bat\nCat\nDog\nElk\n")
    with pytest.raises(ModelError, match=r"labels\.txt: expected 19 bytes .* got 16 bytes"):
        model.read("labels.txt")


def test_a_file_cut_short_by_1_byte_is_refused(fake_model: FakeModel) -> None:
    path = fake_model.folder / "int8.onnx"
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(
        ModelError, match=rf"expected {len(content)} bytes .*, got {len(content) - 1} bytes"
    ):
        load_model(fake_model.folder)


def test_a_file_longer_than_listed_is_not_read_to_its_end(fake_model: FakeModel) -> None:
    path = fake_model.folder / "labels.txt"
    size = path.stat().st_size
    os.truncate(path, 1 << 35)  # a hole: no room on the disk, more than a board has memory
    with pytest.raises(ModelError, match=rf"labels\.txt: expected at most {size} bytes, got more"):
        load_model(fake_model.folder)


def test_missing_label_file_is_named(fake_model: FakeModel) -> None:
    (fake_model.folder / "labels.txt").unlink()
    with pytest.raises(ModelError, match=r"labels\.txt: cannot be read \(No such file"):
        load_model(fake_model.folder)


def test_a_folder_in_place_of_a_file_is_refused(fake_model: FakeModel) -> None:
    (fake_model.folder / "labels.txt").unlink()
    (fake_model.folder / "labels.txt").mkdir()
    with pytest.raises(ModelError, match=r"labels\.txt: cannot be read \(Is a directory\)"):
        load_model(fake_model.folder)


@pytest.mark.parametrize(
    "name",
    [
        "../labels.txt",
        "/etc/passwd",
        "sub/labels.txt",
        "..",
        ".hidden",
        "a\\b",
        "a\0b",
        "",
        "x" * 101,
        "labels.txt\n",
    ],
)
@pytest.mark.parametrize("key", ["labels", "onnx"])
def test_a_name_that_could_reach_outside_the_folder_is_refused(
    fake_model: FakeModel, key: str, name: str
) -> None:
    listed = {"size_bytes": 1, "sha256": "0" * 64}
    fake_model.change_card(**{key: name, "files": {**fake_model.card["files"], name: listed}})
    with pytest.raises(ModelError, match=rf"not a model card: {key}: String should match pattern"):
        load_model(fake_model.folder)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", ".x"])
def test_a_listed_file_outside_the_folder_is_refused(fake_model: FakeModel, name: str) -> None:
    listed = {"size_bytes": 1, "sha256": "0" * 64}
    fake_model.change_card(files={**fake_model.card["files"], name: listed})
    with pytest.raises(ModelError, match=r"not a model card: files\."):
        load_model(fake_model.folder)


def test_a_card_above_1_mib_is_refused(fake_model: FakeModel) -> None:
    fake_model.change_card(description="x" * MAX_CARD_BYTES)
    with pytest.raises(ModelError, match=rf"expected at most {MAX_CARD_BYTES} bytes, got more"):
        load_model(fake_model.folder)


def test_a_card_that_lists_a_file_above_512_mib_is_refused(fake_model: FakeModel) -> None:
    listed = {"size_bytes": MAX_FILE_BYTES + 1, "sha256": "0" * 64}
    fake_model.change_card(files={**fake_model.card["files"], "huge.bin": listed})
    with pytest.raises(ModelError, match=r"not a model card: files\.huge\.bin\.size_bytes: "):
        load_model(fake_model.folder)


@pytest.mark.parametrize(
    "content",
    [b"", b"\0", b"not json", b"[]", b"null", b"\xff\xfe{}", b"{", b'{"a": NaN}', b"[" * 100_000],
    ids=["empty", "zero", "words", "list", "null", "UTF-16", "cut", "NaN", "deep"],
)
def test_what_is_no_card_is_refused_in_one_line(fake_model: FakeModel, content: bytes) -> None:
    (fake_model.folder / "card.json").write_bytes(content)
    with pytest.raises(ModelError) as caught:
        load_model(fake_model.folder)
    assert str(caught.value).startswith(f"{fake_model.folder}/card.json: not a model card: ")
    assert "\n" not in str(caught.value)


REQUIRED = sorted(name for name, field in ModelCard.model_fields.items() if field.is_required())


@pytest.mark.parametrize("key", REQUIRED)
def test_a_missing_key_is_named(fake_model: FakeModel, key: str) -> None:
    card = fake_model.card
    del card[key]
    (fake_model.folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    with pytest.raises(ModelError, match=rf"not a model card: {key}: Field required"):
        load_model(fake_model.folder)


@pytest.mark.parametrize("place", [(), ("input",), ("box_coder",), ("provenance",)])
def test_an_unknown_key_is_named_with_its_place(
    fake_model: FakeModel, place: tuple[str, ...]
) -> None:
    card: Any = fake_model.card
    part = card
    for key in place:
        part = part[key]
    part["surprise"] = 1
    (fake_model.folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    where = ".".join((*place, "surprise"))
    with pytest.raises(ModelError, match=rf"not a model card: {where}: Extra inputs"):
        load_model(fake_model.folder)


@pytest.mark.parametrize("index", [-1, 4, 1_000_000])
def test_background_index_outside_the_4_labels_is_refused(
    fake_model: FakeModel, index: int
) -> None:
    fake_model.change_card(background_index=index)
    with pytest.raises(ModelError) as caught:
        load_model(fake_model.folder)
    assert str(caught.value) == (
        f"{fake_model.folder}/card.json: background_index: expected 0..3 (labels.txt has 4 "
        f"lines), got {index}"
    )


def test_a_model_without_background_is_taken(fake_model: FakeModel) -> None:
    fake_model.change_card(background_index=None)
    assert load_model(fake_model.folder).card.background_index is None


def test_used_files_that_are_not_listed_are_named_in_order(fake_model: FakeModel) -> None:
    fake_model.change_card(files={})
    with pytest.raises(ModelError, match=r"with its sha256, missing int8\.onnx, labels\.txt$"):
        load_model(fake_model.folder)


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"schema_version": 2}, "schema_version"),
        ({"task": "segmentation"}, "task"),
        ({"score": "softmax"}, "score"),
        ({"name": "Fake Model"}, "name"),
        ({"anchors": []}, "anchors"),
        ({"box_coder": {"centre_divisor": 0, "size_divisor": 5}}, "box_coder.centre_divisor"),
        ({"box_coder": {"centre_divisor": 10, "size_divisor": -1}}, "box_coder.size_divisor"),
    ],
)
def test_a_value_that_this_version_cannot_run_is_refused(
    fake_model: FakeModel, changes: dict[str, Any], where: str
) -> None:
    fake_model.change_card(**changes)
    with pytest.raises(ModelError, match=rf"not a model card: {where}: "):
        load_model(fake_model.folder)


def test_more_anchors_than_any_network_has_are_refused(fake_model: FakeModel) -> None:
    shapes = [{"scale": 0.5, "ratio": 1.0}] * 64
    fake_model.change_card(anchors=[{"rows": 8192, "columns": 8192, "shapes": shapes}])
    with pytest.raises(ModelError, match=r"expected at most 1000000 anchors, got 4294967296"):
        load_model(fake_model.folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected one label per line and no empty lines"),
        (b"???\nCat\n\nDog\n", "expected one label per line and no empty lines"),
        (b"???\nCat\n  \nDog\n", "expected one label per line and no empty lines"),
        (b"???\nKatze\xfc\n", "expected UTF-8 text, one label per line"),
    ],
)
def test_a_label_file_that_cannot_be_used_is_refused(
    fake_model: FakeModel, content: bytes, message: str
) -> None:
    fake_model.replace("labels.txt", content)
    with pytest.raises(ModelError, match=message):
        load_model(fake_model.folder)


@given(st.data())
def test_any_json_value_in_place_of_any_part_of_a_card_is_refused_or_taken(
    tmp_path_factory: pytest.TempPathFactory, loaded_model: Any, data: st.DataObject
) -> None:
    card = json.loads((loaded_model.folder / "card.json").read_bytes())
    part = card
    while True:
        key = data.draw(st.sampled_from(sorted(part)) if isinstance(part, dict) else st.just(0))
        if not isinstance(part[key], dict | list) or not part[key] or data.draw(st.booleans()):
            part[key] = data.draw(JSON_VALUES)
            break
        part = part[key]
    folder = tmp_path_factory.getbasetemp() / "spoilt_card"
    folder.mkdir(exist_ok=True)
    for name in ("labels.txt", "int8.onnx"):
        (folder / name).write_bytes((loaded_model.folder / name).read_bytes())
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    try:
        load_model(folder)
    except ModelError as error:
        assert "\n" not in str(error)  # noqa: PT017 - taken is as good


@pytest.mark.parametrize("name", ["card.json", "labels.txt", "int8.onnx"])
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (os.mkfifo, "a FIFO, not a file"),
        (lambda path: path.symlink_to("/dev/zero"), "a link, not a file"),
        (lambda path: path.symlink_to("/etc/passwd"), "a link, not a file"),
    ],
    ids=["FIFO", "device", "outside"],
)
def test_what_is_no_file_of_the_model_folder_is_refused_at_once(
    fake_model: FakeModel, name: str, make: Callable[[Path], object], message: str
) -> None:
    (fake_model.folder / name).unlink()
    make(fake_model.folder / name)
    with pytest.raises(
        ModelError, match=rf"{name}: cannot be read \({message}\): expected a model"
    ):
        load_model(fake_model.folder)


def test_a_model_folder_that_is_a_link_is_taken(fake_model: FakeModel, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(fake_model.folder)
    assert load_model(tmp_path / "link").labels == LABELS


def test_files_that_the_card_does_not_name_are_never_looked_at(fake_model: FakeModel) -> None:
    os.mkfifo(fake_model.folder / "extra.onnx")
    assert load_model(fake_model.folder).labels == LABELS


def test_a_graph_swapped_after_its_check_is_not_what_runs(fake_model: FakeModel) -> None:
    model = load_model(fake_model.folder)
    content = model.read("int8.onnx")
    os.truncate(fake_model.folder / "int8.onnx", 0)
    backend = OnnxRuntimeBackend(model, RuntimeConfig(threads=1), graph=content)
    height, width = model.card.input.height, model.card.input.width
    assert backend.run(np.zeros((1, height, width, 3), np.uint8))["logits"].shape == (6, 4)
    with pytest.raises(ModelError, match=r"int8\.onnx: expected .* got 0 bytes"):
        OnnxRuntimeBackend(model, RuntimeConfig(threads=1))


def test_a_file_that_stands_twice_on_the_card_counts_as_it_stands_last(
    fake_model: FakeModel,
) -> None:
    # JSON leaves it open. One reading for all is what matters: the hash is checked either way.
    text = json.dumps(fake_model.card)
    wrong = '"files": {"labels.txt": {"size_bytes": 1, "sha256": "' + "0" * 64 + '"}, '
    path = fake_model.folder / "card.json"
    path.write_text(text.replace('"files": {', wrong), encoding="utf-8")
    assert load_model(fake_model.folder).labels == LABELS
    last = wrong.removeprefix('"files": {').rstrip(", ")
    path.write_text(text.removesuffix("}}") + f", {last}}}}}", encoding="utf-8")
    with pytest.raises(ModelError, match=r"labels\.txt: expected at most 1 bytes, got more"):
        load_model(fake_model.folder)


def nested(card: dict[str, Any], *keys: str) -> dict[str, Any]:
    """The card with these keys under `decoder` in place of the top."""
    decoder = {"kind": "ssd", **{key: card[key] for key in keys}}
    return {**{key: value for key, value in card.items() if key not in keys}, "decoder": decoder}


def write_card(model: FakeModel, card: dict[str, Any]) -> None:
    (model.folder / "card.json").write_text(json.dumps(card), encoding="utf-8")


@pytest.mark.parametrize(
    "keys", [(), ("outputs",), ("box_coder", "anchors"), ("outputs", "anchors", "box_coder")]
)
def test_a_card_without_decoder_is_that_of_an_ssd_wherever_its_parameters_stand(
    fake_model: FakeModel, keys: tuple[str, ...]
) -> None:
    plain = load_model(fake_model.folder)
    write_card(fake_model, nested(fake_model.card, *keys))
    assert load_model(fake_model.folder) == plain
    assert plain.card.decoder_kind == "ssd"
    assert plain.output_shapes == {"offsets": (6, 4), "logits": (6, 4)}


@pytest.mark.parametrize(
    ("decoder", "message"),
    [
        ({"kind": "ssd", "surprise": 1}, "the file: decoder: expected kind, .* got 'surprise'"),
        ({"kind": "ssd", "name": "other"}, "the file: decoder: expected kind, .* got 'name'"),
        ({"kind": "ssd", "outputs": {}}, "the file: expected it once, .* got outputs twice"),
        ({"kind": "ssd", "anchors": 1}, "the file: expected it once, .* got anchors twice"),
        ({"kind": "SSD", "outputs": {"x": [1]}}, "decoder.kind: "),
        ({"kind": 5, "outputs": {"x": [1]}}, "decoder.kind: "),
        ({"kind": "other"}, "decoder.outputs: Field required"),
        ({"kind": "other", "outputs": {}}, "decoder.outputs: "),
        ({"kind": "other", "outputs": {"x": []}}, "decoder.outputs.x: "),
        ({"kind": "other", "outputs": {"x": [0]}}, "decoder.outputs.x.0: "),
        ({"outputs": {"x": [1]}}, "decoder.kind: Field required"),
        (None, "decoder: "),
        ("ssd", "decoder: "),
        ([], "decoder: "),
    ],
)
def test_a_decoder_section_that_cannot_be_used_is_refused(
    fake_model: FakeModel, decoder: object, message: str
) -> None:
    write_card(fake_model, {**fake_model.card, "decoder": decoder})
    with pytest.raises(ModelError, match=f"not a model card: {message}") as caught:
        load_model(fake_model.folder)
    assert "\n" not in str(caught.value)


def test_the_card_of_another_decoder_needs_no_anchors_and_may_not_have_any(
    fake_model: FakeModel,
) -> None:
    card = fake_model.card
    del card["outputs"], card["anchors"], card["box_coder"]
    decoder = {"kind": "points", "outputs": {"heat": [10, 10, 3]}, "stride": 4}
    write_card(fake_model, {**card, "decoder": decoder})
    loaded = load_model(fake_model.folder).card
    assert isinstance(loaded, DecoderCard)
    assert loaded.decoder_kind == "points"
    assert loaded.decoder.outputs == {"heat": (10, 10, 3)}
    assert loaded.decoder.model_extra == {"stride": 4}
    write_card(fake_model, {**fake_model.card, "anchors": []})
    with pytest.raises(ModelError, match="not a model card: anchors: Extra inputs"):
        load_model(fake_model.folder)
