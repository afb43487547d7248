from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgevision.config.camera import DetectionConfig
from edgevision.config.settings import DEMO_RECORDING, Config, RuntimeConfig
from edgevision.detection.decoder import make_decoder
from edgevision.errors import BackendError, ModelError, ModelMismatchError
from edgevision.frames import U8, Detections
from edgevision.inference import onnxruntime
from edgevision.inference.backend import open_backend
from edgevision.inference.numpy_backend import NumpyBackend
from edgevision.inference.onnxruntime import OnnxRuntimeBackend
from edgevision.inference.preprocess import Preprocessor
from edgevision.model_card import Model, ModelCard, load_model

FOLDER = Path(__file__).parents[2] / "models" / "ssd_mobilenet_v2_oid"
CONFIG = Config.model_validate({"cameras": {"none": {"source": "0"}}})


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(FOLDER)


@pytest.fixture(scope="module")
def images(model: Model) -> list[U8]:
    """All 160 frames of the bundled recording as the network takes them."""
    video = cv2.VideoCapture(str(DEMO_RECORDING))
    preprocessor = Preprocessor(model.card.input)
    frames = []
    while (frame := video.read()[1]) is not None:
        frames.append(preprocessor.prepare(np.asarray(frame, np.uint8)).image)
    video.release()
    return frames


def best_iou(box: np.ndarray, others: np.ndarray) -> tuple[float, int]:
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[2:], others[:, 2:])
    common = np.prod(np.maximum(high - low, 0), axis=1)
    areas = np.prod(others[:, 2:] - others[:, :2], axis=1)
    iou = common / (np.prod(box[2:] - box[:2]) + areas - common)
    return float(iou.max()), int(iou.argmax())


def count_matches(found: Detections, among: Detections) -> int:
    """Pair each detection with one of its label, IoU of 0.9 or more and nearly its score."""
    taken: set[int] = set()
    for box, score, class_id in zip(found.boxes, found.scores, found.class_ids, strict=True):
        same = [i for i in np.flatnonzero(among.class_ids == class_id) if i not in taken]
        if same:
            iou, index = best_iou(box, among.boxes[same])
            if iou >= 0.9 and abs(among.scores[same[index]] - score) <= 0.05:
                taken.add(same[index])
    return len(taken)


def test_at_least_99_percent_of_detections_match_onnx_runtimes_int8_one_to_one(
    model: Model, images: list[U8], record_property: pytest.FixtureRequest
) -> None:
    engines = OnnxRuntimeBackend(model, RuntimeConfig(threads=1)), NumpyBackend(model)
    # A score of 0.4 here may be one of 0.36 there.
    shown, near = (make_decoder(model, DetectionConfig(min_score=s)) for s in (0.4, 0.35))
    matched, total = 0, 0
    for image in images[::2]:
        first, second = (engine.run(image) for engine in engines)
        for own, other in ((first, second), (second, first)):
            found = shown.decode(own)
            matched += count_matches(found, near.decode(other))
            total += len(found)
    record_property("matched share", matched / total)  # type: ignore[operator]
    assert total > 150
    assert matched / total >= 0.99, f"{matched} of {total} detections match"


def test_neither_onnx_nor_onnxruntime_is_loaded_and_peak_memory_stays_below_150_mb() -> None:
    code = f"""
import sys, numpy as np
def peak():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(l.split()[1]) for l in lines if l.startswith("VmHWM")) * 1024
before = peak()
from pathlib import Path
from edgevision.model_card import load_model
from edgevision.config.settings import Config
from edgevision.inference.backend import open_backend
config = Config.model_validate({{"backend": "numpy", "cameras": {{"none": {{"source": "0"}}}}}})
backend = open_backend(load_model(Path({str(FOLDER)!r})), config)
assert backend.name == "numpy"
for _ in range(2):
    backend.run(np.zeros((1, 300, 300, 3), np.uint8))
print(peak() - before, *sorted({{"onnx", "onnxruntime"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    grown, *loaded = done.stdout.split()
    assert loaded == []
    assert int(grown) < 150e6


def test_two_runs_of_one_image_give_the_same_and_do_not_overwrite_each_other(
    model: Model, images: list[U8]
) -> None:
    backend = NumpyBackend(model)
    assert isinstance(model.card, ModelCard)
    name = model.card.outputs.class_logits
    first = backend.run(images[50])
    kept = first[name].copy()
    backend.run(images[0])
    assert (first[name] == kept).all()
    assert (backend.run(images[50])[name] == kept).all()


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((1, 299, 300, 3), np.uint8),
        np.zeros((300, 300, 3), np.uint8),
        np.zeros((1, 300, 300, 3), np.float32),
        np.zeros((1, 300, 300, 4), np.uint8),
    ],
)
def test_an_image_of_another_type_or_shape_is_refused(model: Model, image: U8) -> None:
    with pytest.raises(BackendError, match=r"expected an image uint8 \[1, 300, 300, 3\], got"):
        NumpyBackend(model).run(image)


def test_a_model_without_a_plan_is_refused_and_the_message_says_what_to_do(model: Model) -> None:
    bare = replace(model, card=model.card.model_copy(update={"numpy": None}))
    with pytest.raises(BackendError, match="set backend: onnxruntime, or build the model again"):
        NumpyBackend(bare)


def test_a_plan_that_is_not_the_cards_is_refused(model: Model) -> None:
    size = model.card.input.model_copy(update={"width": 320})
    other = replace(model, card=model.card.model_copy(update={"input": size}))
    with pytest.raises(ModelMismatchError, match=r"expected an image \[300, 320, 3\].* as on"):
        NumpyBackend(other)


def test_an_altered_plan_is_refused(model: Model, tmp_path: Path) -> None:
    (tmp_path / "numpy.npz").write_bytes(model.read("numpy.npz")[:-1] + b"x")
    with pytest.raises(ModelError, match="the file was altered or cut short"):
        NumpyBackend(replace(model, folder=tmp_path))


def test_auto_takes_onnxruntime_where_it_is_installed(model: Model) -> None:
    assert open_backend(model, CONFIG).name == "onnxruntime"


def test_auto_falls_back_to_numpy_with_one_warning(
    model: Model, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(onnxruntime, "onnxruntime", None)
    assert open_backend(model, CONFIG).name == "numpy"
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert warnings == ["backend numpy, which is slower: the package onnxruntime is missing"]


def test_onnxruntime_asked_for_and_missing_is_an_error_not_a_fallback(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "onnxruntime", None)
    with pytest.raises(BackendError, match="expected the package onnxruntime, got none"):
        open_backend(model, CONFIG.model_copy(update={"backend": "onnxruntime"}))
