from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from edgevision.clock import NS_PER_MS, ManualClock
from edgevision.config.settings import Config
from edgevision.errors import BackendError
from edgevision.frames import Frame, FrameResult
from edgevision.inference.backend import LoadedModel
from edgevision.model_card import ModelCard, load_model
from edgevision.pipeline.camera_pipeline import CameraPipeline
from edgevision.pipeline.camera_tracker import CameraTracker

if TYPE_CHECKING:
    from edgevision.frames import F32, U8
    from edgevision.inference.backend import Backend
    from edgevision.model_card import Model

AT = datetime(2026, 1, 1, tzinfo=UTC)
CAMERAS = {
    "yard": {"source": "0"},
    "door": {"source": "1", "detection": {"label_min_score": {"Cat": 0.9}}},
}
CONFIG = Config.model_validate({"cameras": CAMERAS})


class OneBox:
    """Says Cat with a logit of 1 (score 0.731) on one anchor, whatever the picture."""

    name = "fake"

    def __init__(self, model: Model, clock: ManualClock) -> None:
        self._clock = clock
        assert isinstance(model.card, ModelCard)
        count, labels = model.card.anchor_count, model.labels
        logits = np.full((count, len(labels)), -20, np.float32)
        logits[count - 6, labels.index("Cat")] = 1.0
        outputs = model.card.outputs
        self._outputs = {
            outputs.box_offsets: np.zeros((count, 4), np.float32),
            outputs.class_logits: logits,
        }

    def run(self, image: U8) -> dict[str, F32]:
        assert image.shape == (1, 300, 300, 3)
        self._clock.advance(0.007)
        return self._outputs


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(CONFIG.model)


def _pipeline(
    model: Model, backend: Backend, camera: str, clock: ManualClock, config: Config = CONFIG
) -> CameraPipeline:
    tracker = CameraTracker(camera, config, new_id=str, clock=clock)
    return CameraPipeline(camera, config, LoadedModel(model, backend), tracker, clock=clock)


def _process(model: Model, frame: Frame) -> FrameResult:
    clock = ManualClock(wall=AT)
    clock.advance(0.002)
    return _pipeline(model, OneBox(model, clock), frame.camera, clock).process(frame)


def _frame(camera: str) -> Frame:
    return Frame(camera, 5, np.zeros((480, 640, 3), np.uint8), 1 * NS_PER_MS, AT)


def test_the_result_carries_the_frame_through(model: Model) -> None:
    result = _process(model, _frame("yard"))
    assert (result.camera, result.frame, result.captured_at) == ("yard", 5, AT)
    assert result.frame_size_px == (640, 480)


def test_1_ms_in_the_slot_and_7_ms_of_inference_are_8_ms_in_all(model: Model) -> None:
    latency = _process(model, _frame("yard")).latency_ms
    assert (latency.capture, latency.inference, latency.total) == (1.0, 7.0, 8.0)


def test_the_box_is_the_anchor_as_corner_and_size_clipped_to_the_frame(model: Model) -> None:
    # The last map is one cell with six shapes; the first has scale 0.95 and ratio 1.
    (found,) = _process(model, _frame("yard")).objects
    assert found.label == "Cat"
    assert found.score == pytest.approx(0.7310586)
    assert found.box_frac == pytest.approx((0.025, 0.025, 0.95, 0.95), abs=1e-6)


def test_a_camera_with_its_own_threshold_of_0_9_for_cats_sees_none(model: Model) -> None:
    assert _process(model, _frame("door")).objects == ()


def test_a_backend_that_fails_is_not_hidden(model: Model) -> None:
    class Broken:
        name = "broken"

        def run(self, image: U8) -> dict[str, F32]:
            raise BackendError(str(image.shape))

    pipeline = _pipeline(model, Broken(), "yard", ManualClock())
    with pytest.raises(BackendError, match="300"):
        pipeline.process(_frame("yard"))


@pytest.mark.parametrize(
    ("resize", "interpolation"),
    [("exact", cv2.INTER_LINEAR_EXACT), ("fast", cv2.INTER_LINEAR)],
)
def test_the_network_sees_the_frame_resized_as_configured(
    model: Model, resize: str, interpolation: int
) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (480, 640, 3), np.uint8)
    clock = ManualClock(wall=AT)
    config = Config.model_validate({"cameras": CAMERAS, "runtime": {"resize": resize}})
    pipeline = _pipeline(model, OneBox(model, clock), "yard", clock, config)
    seen = pipeline.prepare(Frame("yard", 0, picture, 0, AT)).prepared.image[0]
    assert np.array_equal(seen, cv2.resize(picture, (300, 300), interpolation=interpolation))
