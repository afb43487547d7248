"""Another decoder is one file (here, the class `Brightest`) and one line in `DECODERS`."""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from edgevision.config.camera import CameraConfig, DetectionConfig
from edgevision.config.settings import Config
from edgevision.detection.decoder import DECODERS, make_decoder
from edgevision.detection.ssd import SsdDecoder
from edgevision.errors import ConfigError, ModelError, ModelMismatchError
from edgevision.evaluation.replay import Replay
from edgevision.frames import F32, Detections
from edgevision.inference.backend import open_backend
from edgevision.model_card import DecoderCard, Model, load_model

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fake_model import FakeModel
    from numpy.typing import NDArray

FRAMES = 20
# What the card of a model with another head says in place of outputs, anchors and box coder.
DECODER: dict[str, Any] = {
    "kind": "brightest",
    "outputs": {"logits": [6, 4]},
    "offset": 8.0,
    "box": [0.25, 0.25, 0.75, 0.5],
}


class BrightestOptions(BaseModel):
    """What stands under `decoder` on the card besides kind and outputs."""

    model_config = ConfigDict(extra="forbid")

    offset: float
    box: tuple[float, float, float, float]


class Brightest:
    """One box, always the same, of the class with the largest logit."""

    def __init__(
        self, model: Model, min_scores: NDArray[np.float64], config: DetectionConfig
    ) -> None:
        assert isinstance(model.card, DecoderCard)
        try:
            self._options = BrightestOptions.model_validate(model.card.decoder.model_extra)
        except ValidationError as error:
            msg = f"{model.card.name}: decoder: {error.errors()[0]['msg']}"
            raise ModelError(msg) from error
        self._min_scores = min_scores
        self._max_objects = config.max_objects

    def decode(self, outputs: Mapping[str, F32]) -> Detections:
        assert set(outputs) == {"logits"}
        scores = 1 / (1 + np.exp(-outputs["logits"].max(axis=0) - self._options.offset))
        wanted = np.flatnonzero(scores >= self._min_scores)
        best = wanted[np.argsort(-scores[wanted])][: min(1, self._max_objects)]
        boxes = np.tile(np.float32(self._options.box), (len(best), 1))
        return Detections(boxes, scores[best].astype(np.float32), best)


@pytest.fixture
def model(fake_model: FakeModel, monkeypatch: pytest.MonkeyPatch) -> FakeModel:
    """The fake model with a card that names the decoder `brightest`."""
    monkeypatch.setitem(DECODERS, "brightest", Brightest)
    ssd = ("outputs", "anchors", "box_coder")
    write_card(fake_model, {**fake_model.card, "decoder": DECODER}, without=ssd)
    return fake_model


def write_card(model: FakeModel, card: dict[str, Any], *, without: tuple[str, ...] = ()) -> None:
    kept = {key: value for key, value in card.items() if key not in without}
    (model.folder / "card.json").write_text(json.dumps(kept), encoding="utf-8")


def test_20_frames_of_the_recording_pass_through_a_fake_decoder(
    model: FakeModel, recording: Path
) -> None:
    config = Config.model_validate(
        {"model": str(model.folder), "cameras": {"replay": {"source": "0"}}}
    )
    frames = Replay(config, camera="replay").play(
        CameraConfig(source=str(recording)), lambda _count: None
    )
    results = [frame.result for frame in islice(frames, FRAMES)]
    assert [result.frame for result in results] == list(range(FRAMES))
    for result in results:
        (found,) = result.objects
        assert found.label == "Cat"
        assert 0.5 < found.score < 1.0
        assert found.box_frac == (0.25, 0.25, 0.5, 0.25)
    assert len({result.objects[0].score for result in results}) > 1


def test_a_backend_gives_the_outputs_on_the_card_and_no_others(model: FakeModel) -> None:
    loaded = load_model(model.folder)
    config = Config.model_validate({"cameras": {"none": {"source": "0"}}})
    image = np.zeros((1, loaded.card.input.height, loaded.card.input.width, 3), np.uint8)
    outputs = open_backend(loaded, config).run(image)
    assert {name: array.shape for name, array in outputs.items()} == {"logits": (6, 4)}


@pytest.mark.parametrize("shape", [[6, 5], [6], [1, 6, 4]])
def test_a_graph_with_outputs_of_other_shapes_than_on_the_card_is_refused(
    model: FakeModel, shape: list[int]
) -> None:
    model.change_card(decoder={**DECODER, "outputs": {"logits": shape}})
    loaded = load_model(model.folder)
    config = Config.model_validate({"cameras": {"none": {"source": "0"}}})
    with pytest.raises(ModelMismatchError, match=r"expected logits tensor\(float\) \[1, .* as on"):
        open_backend(loaded, config)


def test_thresholds_and_labels_mean_the_same_to_every_decoder(model: FakeModel) -> None:
    loaded = load_model(model.folder)
    logits = np.full((6, 4), -20.0, np.float32)
    logits[0, :] = [9.0, -7.0, -8.5, -7.5]  # scores 1, 0.73, 0.38 and 0.62
    found = [
        make_decoder(loaded, config).decode({"logits": logits}).class_ids.tolist()
        for config in (
            DetectionConfig(),
            DetectionConfig(label_min_score={"Cat": 0.8}),
            DetectionConfig(min_score=0.9),
            DetectionConfig(min_score=0.3, labels=("Dog",)),
        )
    ]
    assert found == [[1], [3], [], [2]]
    with pytest.raises(ConfigError, match=r"expected labels of fake \(Cat, Dog, Person\), got"):
        make_decoder(loaded, DetectionConfig(labels=("Unicorn",)))


def test_parameters_that_the_decoder_cannot_use_are_a_fault_of_the_model(
    model: FakeModel,
) -> None:
    model.change_card(decoder={**DECODER, "surprise": 1})
    with pytest.raises(ModelError, match="fake: decoder: Extra inputs are not permitted"):
        make_decoder(load_model(model.folder), DetectionConfig())


def test_an_unknown_decoder_is_refused_with_those_that_there_are(model: FakeModel) -> None:
    model.change_card(decoder={**DECODER, "kind": "crystal_ball"})
    with pytest.raises(ModelError) as caught:
        make_decoder(load_model(model.folder), DetectionConfig())
    assert str(caught.value) == (
        f"{model.folder}/card.json: decoder.kind: expected one of brightest, ssd, got "
        "'crystal_ball': use a model made for this version"
    )


def test_the_ssd_decoder_refuses_the_card_of_another(model: FakeModel) -> None:
    loaded = load_model(model.folder)
    with pytest.raises(ModelMismatchError, match="expected a card with decoder ssd, got brightest"):
        SsdDecoder(loaded, np.full(4, 0.5), DetectionConfig())
