"""Another backend is one file (`fake_backend.py`) and one line in `BACKENDS`."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, get_args

import fake_backend
import numpy as np
import pytest

from edgevision.config.camera import CameraConfig
from edgevision.config.settings import Config
from edgevision.errors import BackendError
from edgevision.evaluation.replay import Replay
from edgevision.inference import backend, onnxruntime
from edgevision.inference.backend import BACKENDS, BackendEntry, open_backend

if TYPE_CHECKING:
    from pathlib import Path

    from fake_model import FakeModel

    from edgevision.frames import FrameResult
    from edgevision.model_card import Model

FAKE = BackendEntry("fake_backend", "FakeBackend", "nothing")
FRAMES = 20


@pytest.fixture
def config(fake_model: FakeModel) -> Config:
    detection = {"min_score": 0.001}
    cameras = {"replay": {"source": "0"}}
    return Config.model_validate(
        {"model": str(fake_model.folder), "cameras": cameras, "detection": detection}
    )


def results(config: Config, recording: Path) -> list[FrameResult]:
    """The first frames of the bundled recording, run through the configured backend."""
    frames = Replay(config, camera="replay").play(
        CameraConfig(source=str(recording)), lambda _count: None
    )
    return [frame.result for frame in islice(frames, FRAMES)]


def test_20_frames_give_with_a_fake_backend_what_they_give_with_onnxruntime(
    config: Config, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BACKENDS, "fake", FAKE)
    faked = results(config.model_copy(update={"backend": "fake"}), recording)
    real = results(config.model_copy(update={"backend": "onnxruntime"}), recording)
    assert len(faked) == len(real) == FRAMES
    for one, other in zip(faked, real, strict=True):
        assert [found.label for found in one.objects] == ["Cat", "Person"]
        assert [found.label for found in other.objects] == ["Cat", "Person"]
        for a, b in zip(one.objects, other.objects, strict=True):
            assert a.box_frac == b.box_frac
            assert a.score == pytest.approx(b.score, rel=1e-4)
    assert len({result.objects[0].score for result in faked}) > 1


def test_the_messages_carry_the_name_of_the_backend_in_use(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BACKENDS, "fake", FAKE)
    replay = Replay(config.model_copy(update={"backend": "fake"}), camera="replay")
    step = replay.step(np.zeros((48, 64, 3), np.uint8))
    assert b'"backend":"fake"' in replay.encoder.detections(step.result).payload


def test_auto_takes_the_first_of_the_table_that_is_installed(
    loaded_model: Model, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "BACKENDS", {"fake": FAKE, **BACKENDS})
    assert open_backend(loaded_model, config).name == "fake"


def test_auto_names_the_packages_of_the_faster_backends_that_are_missing(
    loaded_model: Model,
    config: Config,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(onnxruntime, "onnxruntime", None)
    table = {"onnxruntime": BACKENDS["onnxruntime"], "fake": FAKE}
    monkeypatch.setattr(backend, "BACKENDS", table)
    assert open_backend(loaded_model, config).name == "fake"
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert warnings == ["backend fake, which is slower: the package onnxruntime is missing"]


def test_auto_without_any_backend_says_what_to_install(
    loaded_model: Model, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake_backend.FakeBackend, "is_installed", lambda: False)
    monkeypatch.setattr(backend, "BACKENDS", {"fake": FAKE})
    with pytest.raises(BackendError, match="expected one of the packages nothing, got none"):
        open_backend(loaded_model, config)


def test_a_backend_that_is_not_in_the_table_is_refused_with_those_that_are(
    loaded_model: Model, config: Config
) -> None:
    unknown = config.model_copy(update={"backend": "abacus"})
    with pytest.raises(BackendError) as caught:
        open_backend(loaded_model, unknown)
    assert str(caught.value) == ("backend: expected auto or one of onnxruntime, numpy, got abacus")


def test_the_configuration_takes_auto_and_each_name_of_the_table() -> None:
    taken = get_args(Config.model_fields["backend"].annotation)
    assert set(taken) == {"auto", *BACKENDS}
