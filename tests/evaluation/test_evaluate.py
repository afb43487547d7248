from __future__ import annotations

import importlib
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgevision.config.settings import Config, bundled
from edgevision.errors import SourceError
from edgevision.evaluation.evaluate import Evaluation, Judged, evaluate
from edgevision.evaluation.ground_truth import GroundTruth, TrueObjects, read_ground_truth
from edgevision.events import Track
from edgevision.frames import DetectedObject

PETS = Path(__file__).parents[3] / "shared" / "data" / "PETS09-S2L1"
MODEL = bundled("models/ssd_mobilenet_v2_oid")
SIZE_PX = (200, 100)
LEFT, RIGHT, EMPTY = (0.1, 0.2, 0.2, 0.4), (0.6, 0.2, 0.2, 0.4), (0.35, 0.2, 0.2, 0.4)


def there(*objects: tuple[int, tuple[float, float, float, float]]) -> TrueObjects:
    corners = [
        (x * SIZE_PX[0], y * SIZE_PX[1], (x + w) * SIZE_PX[0], (y + h) * SIZE_PX[1])
        for _, (x, y, w, h) in objects
    ]
    ids = np.array([number for number, _ in objects], np.int64)
    return TrueObjects(ids, np.array(corners, np.float32).reshape(-1, 4))


def track(
    number: int,
    box: tuple[float, float, float, float],
    *,
    label: str = "Person",
    shown: bool = True,
) -> Track:
    return Track(number, label, 0.7, box, 0, seen=True, shown=shown, begun_ns=0, seen_ns=0)


def judged(*tracks: Track, found: tuple[DetectedObject, ...] = (), published: int = 0) -> Judged:
    return Judged(SIZE_PX, found[:published], found, tracks, 0.5)


def person(score: float, box: tuple[float, float, float, float]) -> DetectedObject:
    return DetectedObject("Person", score, box)


def test_tracks_at_their_objects_all_the_time_are_worth_1() -> None:
    evaluation = Evaluation("Person")
    for _ in range(4):
        evaluation.add(judged(track(1, LEFT), track(2, RIGHT)), there((7, LEFT), (8, RIGHT)))
    identity = evaluation.figures().identity
    assert (identity.mota, identity.idf1) == (1.0, 1.0)
    assert (identity.switches, identity.misses, identity.false_positives) == (0, 0, 0)
    assert identity.identities == 2


def test_a_new_number_in_the_middle_is_a_switch_and_costs_half_the_identity() -> None:
    evaluation = Evaluation("Person")
    for number in (1, 1, 1, 1, 2, 2, 2, 2):
        evaluation.add(judged(track(number, LEFT)), there((7, LEFT)))
    identity = evaluation.figures().identity
    assert identity.switches == 1
    assert identity.mota == pytest.approx(1 - 1 / 8)
    assert identity.idf1 == pytest.approx(0.5)


def test_a_miss_a_false_track_and_a_gap_are_counted() -> None:
    evaluation = Evaluation("Person")
    for tracks in ((track(1, LEFT),), (), (track(1, LEFT), track(2, EMPTY)), (track(1, LEFT),)):
        evaluation.add(judged(*tracks), there((7, LEFT)))
    identity = evaluation.figures().identity
    assert (identity.misses, identity.false_positives, identity.fragmentations) == (1, 1, 1)
    assert identity.mota == pytest.approx(1 - 2 / 4)
    assert identity.idf1 == pytest.approx(2 * 3 / (2 * 3 + 1 + 1))


def test_tracks_that_are_not_shown_and_those_of_other_labels_do_not_count() -> None:
    evaluation = Evaluation("Person")
    tracks = (track(1, LEFT, shown=False), track(2, LEFT, label="Cat"))
    evaluation.add(judged(*tracks), there((7, LEFT)))
    identity = evaluation.figures().identity
    assert (identity.mota, identity.idf1, identity.misses) == (0.0, 0.0, 1)


def test_precision_and_recall_are_of_what_is_published_and_ap50_of_all() -> None:
    evaluation = Evaluation("Person")
    found = (person(0.9, LEFT), person(0.6, EMPTY), person(0.2, RIGHT))
    evaluation.add(judged(found=found, published=2), there((7, LEFT), (8, RIGHT)))
    figures = evaluation.figures()
    assert (figures.precision, figures.recall) == (0.5, 0.5)
    assert figures.ap50 == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert (figures.frames, figures.objects) == (1, 2)


def test_the_time_for_tracking_is_told_as_median_and_95th_percentile() -> None:
    evaluation = Evaluation("Person")
    for tracking_ms in range(101):
        evaluation.add(Judged(SIZE_PX, (), (), (), float(tracking_ms)), there((7, LEFT)))
    figures = evaluation.figures()
    assert (figures.tracking_ms_median, figures.tracking_ms_p95) == (50.0, 95.0)


def test_without_the_metrics_library_importing_it_names_the_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("edgevision.evaluation.metrics", "edgevision.evaluation.evaluate"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "motmetrics", None)
    with pytest.raises(ModuleNotFoundError) as caught:
        importlib.import_module("edgevision.evaluation.evaluate")
    assert caught.value.name == "motmetrics"


@pytest.fixture(scope="module")
def pedestrians(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, GroundTruth]:
    """The first 80 frames of PETS09-S2L1, 8 s, as images, and what is in them."""
    if not PETS.exists() or not (MODEL / "card.json").exists():
        pytest.skip("needs ../shared/data/PETS09-S2L1 and the default model")
    folder = tmp_path_factory.mktemp("pets")
    video = cv2.VideoCapture(str(PETS / "video.avi"))
    for frame in range(80):
        cv2.imwrite(str(folder / f"{frame:03}.png"), video.read()[1])
    truth = read_ground_truth(PETS / "gt.txt", "Person")
    camera = {"source": str(folder), "fps": 10.0}
    config = Config.model_validate({"cameras": {"pets": camera}, "runtime": {"threads": 1}})
    return config, GroundTruth({n: truth.frames[n] for n in truth.frames if n <= 80})


def test_8_s_of_pedestrians_are_found_and_followed(
    pedestrians: tuple[Config, GroundTruth],
) -> None:
    config, truth = pedestrians
    told: list[tuple[int, int | None]] = []
    figures = evaluate(config, "pets", "Person", truth, lambda *step: told.append(step))
    assert figures.frames == 80
    assert figures.ap50 > 0.7
    assert figures.precision > 0.6
    assert figures.recall > 0.7
    assert figures.identity.mota > 0.5
    assert figures.identity.idf1 > 0.5
    assert figures.identity.switches < 15
    assert told[0] == (0, 80)
    assert told[-1][0] == 80


def test_a_recording_that_is_shorter_than_the_truth_is_refused_before_it_is_played(
    pedestrians: tuple[Config, GroundTruth],
) -> None:
    config, truth = pedestrians
    longer = GroundTruth({**truth.frames, 900: there((1, LEFT))})
    with pytest.raises(SourceError, match="expected the 900 frames of the ground truth, got 80"):
        evaluate(config, "pets", "Person", longer, lambda *_: None)
