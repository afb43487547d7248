from __future__ import annotations

from pathlib import Path

import pytest
from fake_model import FakeModel

from edgevision.errors import ModelError, OutputError
from edgevision.model_builder.own_model import card_files, write_folder
from edgevision.model_card import ModelCard, load_model


def card_and_files(fake: FakeModel) -> tuple[ModelCard, dict[str, bytes]]:
    card = load_model(fake.folder).card
    return card, {name: (fake.folder / name).read_bytes() for name in card.files}


def test_a_written_folder_loads_again_as_the_same_card(
    fake_model: FakeModel, tmp_path: Path
) -> None:
    card, files = card_and_files(fake_model)
    write_folder(tmp_path / "models" / "new", card, files, {"float.onnx": b"float"})
    assert load_model(tmp_path / "models" / "new").card == card
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == ["new"]


def test_writing_over_a_folder_replaces_its_files_and_keeps_others(
    fake_model: FakeModel, tmp_path: Path
) -> None:
    card, files = card_and_files(fake_model)
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / card.labels).write_text("old\n")
    (folder / "notes.txt").write_text("mine")
    write_folder(folder, card, files, {})
    assert load_model(folder).labels[1] == "Cat"
    assert (folder / "notes.txt").read_text() == "mine"


def test_changed_bytes_no_longer_fit_the_description(fake_model: FakeModel, tmp_path: Path) -> None:
    card, files = card_and_files(fake_model)
    assert card_files(files) == dict(card.files)
    write_folder(tmp_path / "model", card, {**files, card.labels: b"other\n"}, {})
    with pytest.raises(ModelError, match="was altered or cut short"):
        load_model(tmp_path / "model")


def test_a_path_that_is_a_file_cannot_become_a_model_folder(
    fake_model: FakeModel, tmp_path: Path
) -> None:
    card, files = card_and_files(fake_model)
    (tmp_path / "model").write_text("a file")
    with pytest.raises(OutputError, match="the model cannot be written"):
        write_folder(tmp_path / "model", card, files, {})
