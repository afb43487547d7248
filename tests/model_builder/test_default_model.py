from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from model_builder.tiny_network import ignore_progress

from edgevision.errors import SourceError
from edgevision.frames import U8
from edgevision.model_builder.architectures import ssd_mobilenet_v2
from edgevision.model_builder.build import build_ssd_mobilenet_v2_oid
from edgevision.model_builder.default_model import (
    PublishedModel,
    fetch_published,
    largest_difference,
)
from edgevision.model_builder.heads import BOX_OUTPUT, CLASS_OUTPUT
from edgevision.model_builder.onnx_export import GraphSession, float_onnx
from edgevision.model_builder.tflite_import import match, read_convs
from edgevision.model_card import Model, load_model

OUTPUTS = [BOX_OUTPUT, CLASS_OUTPUT]


@pytest.fixture(scope="module")
def committed() -> Model:
    return load_model(Path(__file__).parents[2] / "models" / "ssd_mobilenet_v2_oid")


@pytest.fixture(scope="module")
def cache() -> Path:
    return Path(__file__).parents[2] / ".cache"


@pytest.fixture(scope="module")
def published(cache: Path) -> PublishedModel:
    try:
        return fetch_published(cache, ignore_progress)
    except SourceError as error:
        pytest.skip(f"the published weights are out of reach: {error}")


@pytest.fixture(scope="module")
def float_graph(published: PublishedModel) -> bytes:
    network, _ = ssd_mobilenet_v2(classes=len(published.labels))
    return float_onnx(network, match(network, read_convs(published.tflite)))


@pytest.fixture(scope="module")
def frames() -> list[U8]:
    """Four frames of the bundled recording, at the network's input size."""
    path = Path(__file__).parents[2] / "edgevision" / "data" / "still-life.avi"
    capture = cv2.VideoCapture(str(path))
    try:
        recorded = [capture.read()[1] for _ in range(160)]
    finally:
        capture.release()
    resized = [
        cv2.resize(frame, (300, 300), interpolation=cv2.INTER_LINEAR_EXACT)
        for frame in recorded[::40]
    ]
    return [np.asarray(frame, np.uint8) for frame in resized]


def test_the_committed_model_has_23_labels_and_1917_anchors(committed: Model) -> None:
    assert len(committed.labels) == 24
    assert committed.labels[0] == "???"
    assert {"Person", "Cat", "Coffee cup"} <= set(committed.labels)
    assert committed.card.anchor_count == 1917


def test_the_committed_card_names_at_least_64_different_calibration_frames(
    committed: Model,
) -> None:
    assert committed.card.calibration is not None
    assert len({frame.sha256 for frame in committed.card.calibration.frames}) >= 64


def test_the_committed_int8_model_has_an_ap_of_at_least_0_725_and_within_0_01_of_float(
    committed: Model,
) -> None:
    ap = {m.metric: m.value for m in committed.card.measured}
    assert ap["Person AP, INT8"] >= 0.725
    assert ap["Person AP, float"] - ap["Person AP, INT8"] <= 0.01


def test_the_committed_int8_graph_is_about_5_megabytes_and_comes_with_licence_and_notice(
    committed: Model,
) -> None:
    files = committed.card.files
    assert 4_500_000 < files[committed.card.onnx].size_bytes < 5_500_000
    assert b"Apache License" in committed.read("LICENSE")
    assert b"@mediapipe/objectron" in committed.read("NOTICE")


def test_the_float_graph_computes_what_the_published_model_computes(
    float_graph: bytes, published: PublishedModel, frames: list[U8]
) -> None:
    assert largest_difference(float_graph, published.tflite, frames, ignore_progress) < 1e-3


def test_int8_and_float_agree_on_the_bundled_frames(
    committed: Model, float_graph: bytes, frames: list[U8]
) -> None:
    exact = GraphSession(float_graph, OUTPUTS)
    coarse = GraphSession(committed.read(committed.card.onnx), OUTPUTS)
    for frame in frames:
        expected, found = exact.run(frame), coarse.run(frame)
        logits = np.asarray(expected[CLASS_OUTPUT])
        scores = 1 / (1 + np.exp(-logits))
        differences = np.abs(scores - 1 / (1 + np.exp(-np.asarray(found[CLASS_OUTPUT]))))
        assert differences.max() < 0.15
        sure = scores[0, :, 1:].max(axis=1) > 0.4
        offsets = np.abs(
            np.asarray(expected[BOX_OUTPUT])[0, sure] - np.asarray(found[BOX_OUTPUT])[0, sure]
        )
        assert offsets.max(initial=0.0) < 1.0


def test_rebuilding_gives_the_committed_bytes(
    committed: Model, cache: Path, tmp_path: Path
) -> None:
    try:
        report = build_ssd_mobilenet_v2_oid(
            folder=tmp_path / "model", cache=cache, on_progress=ignore_progress
        )
    except SourceError as error:
        pytest.skip(f"the published files are out of reach: {error}")
    assert report.parameters == 4_951_996
    assert load_model(report.folder).card.files == committed.card.files
