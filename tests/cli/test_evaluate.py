from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from daemons import run_command
from fake_model import FakeModel

from edgevision.cli.evaluate import EvaluateOptions, evaluate
from edgevision.config.camera import CameraConfig
from edgevision.config.settings import Config
from edgevision.errors import MissingExtraError

FRAMES = 12
# The fake model sees a cat in white images: the anchor in the upper left, half as wide and high.
CAT = "0,0,160,120"


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Twelve white images of 320x240 pixels."""
    folder = tmp_path / "recording"
    folder.mkdir()
    for frame in range(FRAMES):
        cv2.imwrite(str(folder / f"{frame:02}.png"), np.full((240, 320, 3), 255, np.uint8))
    return folder


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    path = tmp_path / "gt.txt"
    path.write_text("".join(f"{frame},5,{CAT},1\n" for frame in range(1, FRAMES + 1)))
    return path


def test_a_cat_that_is_there_all_the_time_is_missed_until_it_is_confirmed(
    recording: Path, truth: Path, fake_model: FakeModel
) -> None:
    arguments = ["--truth", str(truth), "--label", "Cat", "--model", str(fake_model.folder)]
    done = run_command("evaluate", str(recording), *arguments, "--json")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures.pop("tracking_ms_median") > 0
    assert figures.pop("tracking_ms_p95") > 0
    assert figures == {
        "frames": 12,
        "objects": 12,
        "precision": 1.0,
        "recall": 1.0,
        "ap50": 1.0,
        "mota": pytest.approx(9 / 12, abs=1e-4),
        "idf1": pytest.approx(2 * 9 / 21, abs=1e-4),
        "switches": 0,
        "fragmentations": 0,
        "misses": 3,
        "false_positives": 0,
        "identities": 1,
    }


def test_the_settings_of_a_camera_apply_and_the_table_is_for_people(
    recording: Path, truth: Path, fake_model: FakeModel, tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    camera = {"source": "0", "detection": {"min_score": 0.99}}
    config.write_text(
        yaml.safe_dump({"model": str(fake_model.folder), "cameras": {"yard": camera}})
    )
    arguments = ["--truth", str(truth), "--label", "Cat", "--config", str(config)]
    done = run_command("evaluate", str(recording), *arguments, "--camera", "yard")
    assert done.returncode == 0, done.stderr
    lines = {line.split("  ")[0]: line.split() for line in done.stdout.splitlines()}
    assert lines["recall"][1] == "0.000"
    assert lines["AP50"][1] == "1.000"
    assert lines["MOTA"][1] == "0.000"
    assert lines["misses"][1] == "12"


def test_a_label_that_the_model_does_not_have_is_a_wrong_argument(
    recording: Path, truth: Path, fake_model: FakeModel
) -> None:
    arguments = ["--truth", str(truth), "--label", "Horse", "--model", str(fake_model.folder)]
    done = run_command("evaluate", str(recording), *arguments)
    assert done.returncode == 2
    assert done.stderr == ("edgevision: --label: expected one of Cat, Dog, Person, got 'Horse'\n")


def test_a_truth_that_goes_beyond_the_recording_is_told_in_one_line(
    recording: Path, truth: Path, fake_model: FakeModel
) -> None:
    truth.write_text(f"13,5,{CAT},1\n")
    arguments = ["--truth", str(truth), "--label", "Cat", "--model", str(fake_model.folder)]
    done = run_command("evaluate", str(recording), *arguments)
    assert done.returncode == 66
    assert done.stderr == (
        f"edgevision: {recording}: expected the 13 frames of the ground truth, got 12\n"
    )


def test_without_the_metrics_library_the_extra_is_named(
    recording: Path, truth: Path, fake_model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "edgevision.evaluation.metrics", raising=False)
    monkeypatch.delitem(sys.modules, "edgevision.evaluation.evaluate", raising=False)
    monkeypatch.delattr("edgevision.evaluation.evaluate", raising=False)
    monkeypatch.setitem(sys.modules, "motmetrics", None)
    source = CameraConfig(source=str(recording))
    config = Config.model_validate(
        {"model": str(fake_model.folder), "cameras": {"replay": {"source": "0"}}}
    )
    options = EvaluateOptions("replay", truth, "Cat", as_json=False)
    expected = r'edgevision evaluate needs the package motmetrics.*pip install "\.\[evaluate\]"'
    with pytest.raises(MissingExtraError, match=expected):
        evaluate(config, source, options)
