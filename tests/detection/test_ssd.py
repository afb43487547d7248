from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from fake_model import ANCHORS, LABELS
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgevision.config.camera import DetectionConfig
from edgevision.detection.decoder import make_decoder
from edgevision.detection.ssd import MAX_CANDIDATES, decode_boxes, make_anchors
from edgevision.errors import ConfigError, ModelMismatchError

if TYPE_CHECKING:
    from edgevision.frames import F32
    from edgevision.model_card import Model

CLASSES = len(LABELS)
CAT, DOG, PERSON = (LABELS.index(label) for label in ("Cat", "Dog", "Person"))
NOTHING = -8.0
# Never overlapping more than this: what is left then is what the thresholds leave.
ALL_BOXES = 0.999

LOGITS = arrays(np.float32, (ANCHORS, CLASSES), elements=st.floats(-9, 9, width=32))
SCORES = st.floats(0.01, 0.99)


def outputs(offsets: F32, logits: F32) -> dict[str, F32]:
    """The network's outputs by the names on the fake model's card."""
    return {"offsets": offsets, "logits": logits}


def raw_of(*found: tuple[int, int, float]) -> dict[str, F32]:
    """Outputs with these (anchor, class, logit) and nothing else."""
    logits = np.full((ANCHORS, CLASSES), NOTHING, np.float32)
    for anchor, class_id, logit in found:
        logits[anchor, class_id] = logit
    return outputs(np.zeros((ANCHORS, 4), np.float32), logits)


def logit(score: float) -> float:
    return float(np.log(score / (1 - score)))


def test_nothing_above_the_threshold_is_nothing_found(loaded_model: Model) -> None:
    found = make_decoder(loaded_model, DetectionConfig()).decode(raw_of())
    assert len(found) == 0
    assert found.boxes.shape == (0, 4)


def test_a_logit_of_2_is_an_object_with_score_0_88_in_the_box_of_its_anchor(
    loaded_model: Model,
) -> None:
    found = make_decoder(loaded_model, DetectionConfig()).decode(raw_of((0, CAT, 2.0)))
    assert found.class_ids.tolist() == [CAT]
    assert found.scores == pytest.approx([0.880797], abs=1e-6)
    # The first of 2x2 cells, scale 0.5: centred at a quarter, a half wide and high.
    assert found.boxes.tolist() == [[0.0, 0.0, 0.5, 0.5]]


def test_objects_come_best_first(loaded_model: Model) -> None:
    raw = raw_of((0, CAT, 1.0), (1, DOG, 3.0), (2, PERSON, 2.0))
    found = make_decoder(loaded_model, DetectionConfig()).decode(raw)
    assert found.class_ids.tolist() == [DOG, PERSON, CAT]


def test_one_anchor_may_hold_objects_of_2_classes(loaded_model: Model) -> None:
    found = make_decoder(loaded_model, DetectionConfig()).decode(raw_of((3, CAT, 1), (3, DOG, 2)))
    assert found.class_ids.tolist() == [DOG, CAT]
    assert found.boxes[0].tolist() == found.boxes[1].tolist()


def test_overlapping_boxes_of_one_class_are_one_object(loaded_model: Model) -> None:
    raw = raw_of((0, CAT, 1.0), (1, CAT, 3.0))
    raw["offsets"][1] = [0, -10, 0, 0]  # onto the cell to the left
    found = make_decoder(loaded_model, DetectionConfig()).decode(raw)
    assert found.scores == pytest.approx([0.952574], abs=1e-6)


@pytest.mark.parametrize(("min_score", "count"), [(0.5, 1), (0.5000001, 0), (0.4999999, 1)])
def test_a_score_of_exactly_min_score_counts(
    loaded_model: Model, min_score: float, count: int
) -> None:
    decoder = make_decoder(loaded_model, DetectionConfig(min_score=min_score))
    assert len(decoder.decode(raw_of((0, CAT, 0.0)))) == count


@given(LOGITS, SCORES)
def test_thresholding_logits_keeps_what_thresholding_scores_keeps(
    loaded_model: Model, logits: F32, min_score: float
) -> None:
    config = DetectionConfig(min_score=min_score, nms_iou=ALL_BOXES, max_objects=400)
    raw = outputs(np.zeros((ANCHORS, 4), np.float32), logits)
    found = make_decoder(loaded_model, config).decode(raw)
    scores = 1 / (1 + np.exp(-logits.astype(np.float64)))
    scores[:, 0] = 0.0
    sure = np.sort(scores[scores >= min_score + 1e-6])[::-1]
    possible = np.sort(scores[scores >= min_score - 1e-6])[::-1]
    assert len(sure) <= len(found) <= len(possible)
    np.testing.assert_allclose(found.scores, possible[: len(found)], atol=1e-6)


@given(LOGITS, SCORES, SCORES)
def test_a_labels_own_score_takes_the_place_of_min_score_for_it_alone(
    loaded_model: Model, logits: F32, min_score: float, cat_score: float
) -> None:
    raw = outputs(np.zeros((ANCHORS, 4), np.float32), logits)
    config = DetectionConfig(min_score=min_score, nms_iou=ALL_BOXES)
    own = config.model_copy(update={"label_min_score": {"Cat": cat_score}})
    general = config.model_copy(update={"min_score": cat_score})
    found, as_cats, as_others = (
        make_decoder(loaded_model, each).decode(raw) for each in (own, general, config)
    )
    cats, others = found.class_ids == CAT, found.class_ids != CAT
    assert found.scores[cats].tolist() == as_cats.scores[as_cats.class_ids == CAT].tolist()
    assert found.scores[others].tolist() == as_others.scores[as_others.class_ids != CAT].tolist()


@given(LOGITS, st.sets(st.sampled_from(LABELS[1:])))
def test_the_allow_list_keeps_the_objects_of_its_labels_and_no_others(
    loaded_model: Model, logits: F32, labels: set[str]
) -> None:
    raw = outputs(np.zeros((ANCHORS, 4), np.float32), logits)
    found = make_decoder(loaded_model, DetectionConfig(labels=tuple(labels))).decode(raw)
    everything = make_decoder(loaded_model, DetectionConfig()).decode(raw)
    wanted = [LABELS[class_id] in labels for class_id in everything.class_ids]
    assert found.scores.tolist() == everything.scores[wanted].tolist()


@pytest.mark.parametrize("value", [9.0, 88.0, 1e30, np.inf])
def test_the_background_is_never_an_object(loaded_model: Model, value: float) -> None:
    found = make_decoder(loaded_model, DetectionConfig(min_score=0.01)).decode(
        raw_of((0, 0, value))
    )
    assert len(found) == 0


def test_without_a_background_class_line_0_is_a_label_like_others(loaded_model: Model) -> None:
    card = loaded_model.card.model_copy(update={"background_index": None})
    decoder = make_decoder(replace(loaded_model, card=card), DetectionConfig())
    assert decoder.decode(raw_of((0, 0, 1.0))).class_ids.tolist() == [0]


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_a_logit_that_is_no_number_is_no_object(loaded_model: Model, value: float) -> None:
    found = make_decoder(loaded_model, DetectionConfig()).decode(raw_of((0, CAT, value)))
    assert len(found) == 0


def test_a_threshold_near_0_gives_scores_and_no_warning(loaded_model: Model) -> None:
    raw = raw_of(*((anchor, CAT, -100.0) for anchor in range(ANCHORS)))
    found = make_decoder(loaded_model, DetectionConfig(min_score=1e-300)).decode(raw)
    assert found.scores.min() == 0.0


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_at_most_max_objects_are_found_and_they_are_the_best(
    loaded_model: Model, limit: int
) -> None:
    raw = raw_of((0, CAT, 1.0), (1, DOG, 3.0), (2, PERSON, 2.0))
    found = make_decoder(loaded_model, DetectionConfig(max_objects=limit)).decode(raw)
    assert found.class_ids.tolist() == [DOG, PERSON, CAT][:limit]


def test_of_1200_candidates_the_best_400_enter_suppression(loaded_model: Model) -> None:
    one_cell = loaded_model.card.anchors[0].model_copy(update={"rows": 20, "columns": 20})
    card = loaded_model.card.model_copy(update={"anchors": (one_cell,)})
    config = DetectionConfig(min_score=0.01, nms_iou=ALL_BOXES, max_objects=400)
    decoder = make_decoder(replace(loaded_model, card=card), config)
    logits = np.linspace(-4, 4, 400 * CLASSES, dtype=np.float32).reshape(400, CLASSES)
    found = decoder.decode(outputs(np.zeros((400, 4), np.float32), logits))
    best = np.sort(logits[:, 1:].ravel())[::-1][:MAX_CANDIDATES]
    np.testing.assert_allclose(found.scores, 1 / (1 + np.exp(-best)), rtol=1e-5)


@given(LOGITS, arrays(np.float32, (ANCHORS, 4), elements=st.floats(-20, 20, width=32)))
def test_each_box_is_that_of_its_own_anchor(loaded_model: Model, logits: F32, offsets: F32) -> None:
    found = make_decoder(loaded_model, DetectionConfig()).decode(outputs(offsets, logits))
    card = loaded_model.card
    boxes = decode_boxes(offsets, make_anchors(card.anchors), card.box_coder).tolist()
    scores = 1 / (1 + np.exp(-logits))
    for box, score, class_id in zip(found.boxes, found.scores, found.class_ids, strict=True):
        row = boxes.index(box.tolist())
        same = [index for index in range(ANCHORS) if boxes[index] == boxes[row]]
        assert any(scores[index, class_id] == pytest.approx(score) for index in same)


@pytest.mark.parametrize(
    ("offsets", "logits"),
    [
        ((5, 4), (6, 4)),
        ((6, 4), (5, 4)),
        ((6, 4), (6, 5)),
        ((6, 3), (6, 4)),
        ((1, 6, 4), (1, 6, 4)),
        ((0, 4), (0, 4)),
    ],
)
def test_outputs_of_other_shapes_than_on_the_card_are_refused(
    loaded_model: Model, offsets: tuple[int, ...], logits: tuple[int, ...]
) -> None:
    raw = outputs(np.zeros(offsets, np.float32), np.zeros(logits, np.float32))
    with pytest.raises(ModelMismatchError) as caught:
        make_decoder(loaded_model, DetectionConfig()).decode(raw)
    assert str(caught.value) == (
        "expected class logits (6, 4) and box offsets (6, 4) as in the model card, got "
        f"{logits} and {offsets}"
    )


def test_labels_that_the_model_lacks_are_all_named_with_those_that_it_has(
    loaded_model: Model,
) -> None:
    config = DetectionConfig(labels=("Cat", "Unicorn"), label_min_score={"Elf": 0.5, "Dog": 0.5})
    with pytest.raises(ConfigError) as caught:
        make_decoder(loaded_model, config)
    assert caught.value.faults == (
        "detection.labels: expected labels of fake (Cat, Dog, Person), got 'Unicorn'",
        "detection.label_min_score: expected labels of fake (Cat, Dog, Person), got 'Elf'",
    )


def test_the_background_cannot_be_asked_for(loaded_model: Model) -> None:
    with pytest.raises(ConfigError, match=r"\(Cat, Dog, Person\), got '\?\?\?'"):
        make_decoder(loaded_model, DetectionConfig(labels=("???",)))


@pytest.mark.parametrize("score", [0.1, 0.5, 0.9])
def test_the_logit_that_a_score_stands_for_gives_that_score_back(
    loaded_model: Model, score: float
) -> None:
    found = make_decoder(loaded_model, DetectionConfig(min_score=0.01)).decode(
        raw_of((0, CAT, logit(score)))
    )
    assert found.scores == pytest.approx([score], abs=1e-6)


@pytest.mark.parametrize("name", ["offsets", "logits"])
def test_a_missing_output_is_named_with_those_that_there_are(
    loaded_model: Model, name: str
) -> None:
    raw = raw_of()
    (other,) = raw.keys() - {name}
    del raw[name]
    with pytest.raises(ModelMismatchError) as caught:
        make_decoder(loaded_model, DetectionConfig()).decode(raw)
    assert str(caught.value) == f"expected output {name} as in the model card, got {other}"


def test_detections_do_not_share_the_memory_of_the_outputs(loaded_model: Model) -> None:
    raw = raw_of((0, CAT, 2.0))
    found = make_decoder(loaded_model, DetectionConfig()).decode(raw)
    assert not any(
        np.shares_memory(own, output)
        for own in (found.boxes, found.scores, found.class_ids)
        for output in raw.values()
    )
