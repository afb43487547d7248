from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from daemons import run_command

from edgevision.model_builder.architectures import ARCHITECTURES, architecture, lay_out
from edgevision.model_builder.weights import random_weights, write_weights


def test_model_list_has_every_architecture_with_its_counts_and_shares() -> None:
    rows = json.loads(run_command("model", "list", "--json").stdout)
    assert [row["name"] for row in rows] == list(ARCHITECTURES)
    first = rows[0]
    assert (first["parameters"], round(first["multiply_adds"] / 1e6, 1)) == (4_231_976, 568.7)
    assert sum(first["shares"].values()) == pytest.approx(1, abs=0.001)
    table = run_command("model", "list").stdout
    assert "mobilenet_v1_full" in table
    assert "66,347,960" in table


def test_model_cost_shows_layers_totals_and_the_ratio_to_standard_convolutions() -> None:
    cost = json.loads(run_command("model", "cost", "mobilenet_v1", "--json").stdout)
    assert cost["parameters"] == 4_231_976
    assert cost["ratio"] == 8.558
    assert sum(layer["multiply_adds"] for layer in cost["layers"]) == cost["multiply_adds"]
    assert sum(layer["parameters"] for layer in cost["layers"]) == cost["parameters"]
    assert cost["layers"][1]["shape"] == [112, 112, 32]
    table = run_command("model", "cost", "mobilenet_v1").stdout
    assert "blocks.12.pointwise" in table
    assert "8.56 times" in table


def test_model_cost_takes_width_size_and_the_full_convolution_twin() -> None:
    narrow = run_command("model", "cost", "mobilenet_v2", "--width", "0.5", "--json")
    assert json.loads(narrow.stdout)["parameters"] == 1_968_680
    small = run_command("model", "cost", "mobilenet_v1", "--size", "128", "--json")
    assert round(json.loads(small.stdout)["multiply_adds"] / 1e6) == 186
    full = run_command("model", "cost", "mobilenet_v1", "--full-conv", "--json")
    assert json.loads(full.stdout)["parameters"] == 29_294_088


def test_model_names_prints_every_weight_with_its_shape() -> None:
    lines = run_command("model", "names", "mobilenet_v1", "--classes", "5").stdout.splitlines()
    assert lines[0] == "stem.weight [32, 3, 3, 3]"
    assert lines[-1] == "classifier.bias [5]"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["cost", "resnet"], "expected one of mobilenet_v1, "),
        (["cost", "mobilenet_v2", "--full-conv"], "--full-conv: expected mobilenet_v1, got"),
        (["cost", "mobilenet_v1", "--size", "0"], "size: expected 32 (the network's stride)"),
        (["build", "mobilenet_v1"], "expected either --weights FILE.npz or --seed N"),
        (["build", "mobilenet_v1", "--seed", "1", "--calibrate", "x"], "expected --int8 with it"),
        (["build", "mobilenet_v1", "--seed", "1", "--evaluate", "x"], "ssd_mobilenet_v2_oid only"),
        (["build", "mobilenet_v1", "--seed", "1", "--labels", "none"], "--labels: none: cannot be"),
        (["build", "ssd_mobilenet_v2_oid", "--seed", "1", "--size", "64"], "no --seed, --size;"),
    ],
)
def test_arguments_that_make_no_sense_end_with_2(words: list[str], message: str) -> None:
    done = run_command("model", *words)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stdout == ""


def test_a_width_that_rounds_to_nothing_ends_with_65() -> None:
    done = run_command("model", "cost", "mobilenet_v1", "--width", "0.001")
    assert done.returncode == 65
    assert "expected a width that leaves every layer a channel" in done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights, labels and two pictures, as a user brings them."""
    folder = tmp_path_factory.mktemp("own")
    network = lay_out(architecture("mobilenet_v1"), width=0.25, side=64, classes=3).network
    write_weights(folder / "classifier.npz", random_weights(network, seed=1))
    (folder / "labels.txt").write_text("ant\nbee\ncat\n", encoding="utf-8")
    rng = np.random.default_rng(1)
    for name in ("a.jpg", "b.jpg"):
        cv2.imwrite(str(folder / name), rng.integers(0, 256, (90, 120, 3), np.uint8))
    return folder


def test_a_detector_of_ones_own_is_built_in_int8_and_detects(folder: Path, tmp_path: Path) -> None:
    arguments = ["--head", "ssdlite", "--width", "0.25", "--size", "64", "--seed", "4", "--int8"]
    given = ["--calibrate", folder, "--labels", folder / "labels.txt", "--out", tmp_path, "--json"]
    built = run_command("model", "build", "mobilenet_v1", *arguments, *given)
    assert built.returncode == 0, built.stderr
    report = json.loads(built.stdout)
    assert report["folder"] == str(tmp_path / "mobilenet_v1")
    assert {"int8.onnx", "float.onnx", "numpy.npz", "labels.txt"} == report["sizes"].keys()
    info = json.loads(run_command("model", "info", report["folder"], "--json").stdout)
    assert info["label_names"] == ["???", "ant", "bee", "cat"]
    found = run_command("detect", "--model", report["folder"], folder / "a.jpg")
    assert found.returncode == 0, found.stderr
    labels = {each["label"] for each in json.loads(found.stdout)["detections"]}
    assert labels <= {"ant", "bee", "cat"}


def test_a_classifier_of_ones_own_weights_is_built_and_refused_by_the_service(
    folder: Path, tmp_path: Path
) -> None:
    arguments = ["--width", "0.25", "--size", "64", "--weights", folder / "classifier.npz"]
    labels = ["--labels", folder / "labels.txt", "--licence", "MIT", "--out", tmp_path]
    built = run_command("model", "build", "mobilenet_v1", *arguments, *labels)
    assert built.returncode == 0, built.stderr
    info = json.loads(run_command("model", "info", tmp_path / "mobilenet_v1", "--json").stdout)
    assert (info["task"], info["licence"]) == ("classification", "MIT")
    assert info["provenance"]["file"] == "classifier.npz"
    done = run_command("detect", "--model", tmp_path / "mobilenet_v1", folder / "a.jpg")
    assert done.returncode == 65
    assert "task: expected detection, got classification" in done.stderr


def test_weights_of_another_width_are_listed_fault_by_fault_and_nothing_is_written(
    folder: Path, tmp_path: Path
) -> None:
    arguments = ["--size", "64", "--classes", "3", "--weights", folder / "classifier.npz"]
    done = run_command("model", "build", "mobilenet_v1", *arguments, "--out", tmp_path / "out")
    assert done.returncode == 65
    lines = done.stderr.splitlines()
    assert lines[0] == "edgevision: weights do not fit mobilenet_v1:"
    assert "edgevision: stem.weight: expected [32, 3, 3, 3], got [8, 3, 3, 3]" in lines
    assert len(lines) > 50
    assert not (tmp_path / "out").exists()
