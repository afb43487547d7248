from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from model_builder.tiny_network import ignore_progress
from numpy.typing import NDArray
from onnx import numpy_helper

from edgevision.errors import ModelError, ModelMismatchError, OutputError, SourceError, UsageError
from edgevision.frames import U8
from edgevision.model_builder.architectures import (
    ARCHITECTURES,
    Blueprint,
    Head,
    architecture,
    lay_out,
)
from edgevision.model_builder.build import (
    Trained,
    build_own,
    calibration_frames,
    own_images,
    published_weights,
    random_weights,
    read_weights,
    write_weights,
)
from edgevision.model_builder.calibrate import quantize_on
from edgevision.model_builder.onnx_export import GraphSession, float_onnx, int8_onnx
from edgevision.model_card import ClassifierCard, ModelCard, Provenance, load_card, load_model

ROOT = Path(__file__).parents[2]
PROVENANCE = Provenance(
    package="a test", version="1", integrity="none", file="none", licence="CC0-1.0"
)


def pictures(count: int, side: int) -> list[U8]:
    """Squares of 8x8 colours, uint8 [side, side, 3]."""
    rng = np.random.default_rng(5)
    coarse = rng.integers(0, 256, (count, 8, 8, 3), np.uint8)
    return [np.asarray(cv2.resize(c, (side, side), interpolation=0), np.uint8) for c in coarse]


def trained(blueprint: Blueprint, **changes: object) -> Trained:
    labels = tuple(f"thing {index}" for index in range(blueprint.classes))
    own = Trained(random_weights(blueprint.network, seed=1), labels, PROVENANCE)
    return replace(own, **changes)  # type: ignore[arg-type]


def small(name: str, head: Head = Head.CLASSIFIER) -> Blueprint:
    return lay_out(architecture(name), head=head, width=0.25, side=64, classes=3)


@pytest.mark.parametrize("head", Head)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_under_every_head_is_built_checked_and_run(
    name: str, head: Head, tmp_path: Path
) -> None:
    blueprint = small(name, head)
    report = build_own(
        blueprint, trained(blueprint), folder=tmp_path / "m", on_progress=ignore_progress
    )
    content = (report.folder / "float.onnx").read_bytes()
    onnx.checker.check_model(onnx.load_model_from_string(content), full_check=True)
    outputs = blueprint.network.outputs
    found = GraphSession(content, [o.name for o in outputs]).run(pictures(1, 64)[0])
    for output in outputs:
        assert found[output.name].shape == output.shape
        assert np.isfinite(found[output.name]).all()
    card, labels = load_card(report.folder)
    assert isinstance(card, ModelCard if head.is_detector else ClassifierCard)
    assert len(labels) == 3 + head.is_detector
    assert report.parameters == blueprint.network.parameter_count


@pytest.mark.parametrize("name", ["mobilenet_v1", "mobilenet_v2", "mnasnet_a1", "efficientnet_b0"])
def test_the_float_file_holds_exactly_the_count_with_batch_norm_folded(name: str) -> None:
    network = lay_out(architecture(name)).network
    content = float_onnx(network, random_weights(network, seed=0))
    held = {
        constant.name: numpy_helper.to_array(constant).size
        for constant in onnx.load_model_from_string(content).graph.initializer
    }
    layers = [held.pop(name) for name in network.weight_shapes]
    assert sum(layers) == network.parameter_count
    # What is left is the pixels' scale, 1, and the bounds of ReLU6.
    assert sum(held.values()) <= 4
    normalized = sum(conv.output.channels for conv in network.convs if conv.batch_norm)
    unfolded = {"mobilenet_v1": 4_231_976, "mobilenet_v2": 3_504_872, "mnasnet_a1": 3_887_038}
    assert sum(layers) + normalized == unfolded.get(name, 5_288_548)


@pytest.mark.parametrize(
    ("name", "distance"),
    [
        ("mobilenet_v1", 0.1),
        ("mobilenet_v1_full", 0.1),
        ("mobilenet_v2", 0.1),
        ("mnasnet_a1", 0.1),
        ("mnasnet_b1", 0.1),
        ("efficientnet_lite0", 0.1),
        # Every SiLU is rounded three times: before it, its sigmoid, and after.
        ("efficientnet_b0", 0.35),
    ],
)
def test_int8_stays_within_this_root_mean_square_of_float_in_standard_deviations(
    name: str, distance: float
) -> None:
    blueprint = lay_out(architecture(name), head=Head.SSDLITE, width=0.5, side=64, classes=9)
    network = blueprint.network
    weights, images = random_weights(network, seed=1), pictures(8, 64)
    quantized = quantize_on(network, weights, images, {}, ignore_progress)
    names = [output.name for output in network.outputs]
    exact = GraphSession(float_onnx(network, weights), names)
    coarse = GraphSession(int8_onnx(quantized), names)
    for output in names:
        expected = np.concatenate([exact.run(image)[output] for image in images])
        found = np.concatenate([coarse.run(image)[output] for image in images])
        assert np.sqrt(np.mean((expected - found) ** 2)) < distance * expected.std()


def test_an_int8_classifier_is_built_with_its_calibration_on_the_card(tmp_path: Path) -> None:
    blueprint = small("mnasnet_small")
    for index, image in enumerate(pictures(3, 80)):
        cv2.imwrite(str(tmp_path / f"{index}.png"), image)
    frames = own_images([tmp_path], side=64, on_progress=ignore_progress)
    report = build_own(
        blueprint,
        trained(blueprint, calibration=frames),
        folder=tmp_path / "m",
        on_progress=ignore_progress,
    )
    card, _ = load_card(report.folder)
    assert card.onnx == "int8.onnx"
    assert card.calibration is not None
    assert [frame.source for frame in card.calibration.frames] == ["0.png", "1.png", "2.png"]
    logits = GraphSession((report.folder / card.onnx).read_bytes(), ["logits"]).run(
        pictures(1, 64)[0]
    )["logits"]
    assert logits.shape == (1, 3)


def test_the_service_refuses_a_classifier_in_one_line(tmp_path: Path) -> None:
    blueprint = small("mobilenet_v2")
    build_own(blueprint, trained(blueprint), folder=tmp_path, on_progress=ignore_progress)
    with pytest.raises(ModelError, match="task: expected detection, got classification"):
        load_model(tmp_path)


def test_a_network_of_the_exported_default_weights_has_the_default_models_bytes(
    tmp_path: Path,
) -> None:
    cache = ROOT / ".cache"
    try:
        weights = published_weights(cache, ignore_progress)
        frames = calibration_frames(cache, lambda *_: None)
    except SourceError as error:
        pytest.skip(f"the published files are out of reach: {error}")
    write_weights(tmp_path / "weights.npz", weights)
    committed = load_model(ROOT / "models" / "ssd_mobilenet_v2_oid")
    blueprint = lay_out(architecture("mobilenet_v2"), head=Head.SSD, side=300, classes=23)
    report = build_own(
        blueprint,
        Trained(read_weights(tmp_path / "weights.npz"), committed.labels[1:], PROVENANCE, frames),
        folder=tmp_path / "m",
        on_progress=ignore_progress,
    )
    built = load_model(report.folder)
    assert built.card.files["int8.onnx"] == committed.card.files["int8.onnx"]
    assert built.card.files["numpy.npz"] == committed.card.files["numpy.npz"]
    assert built.card.files["labels.txt"] == committed.card.files["labels.txt"]
    assert built.card.anchors == committed.card.anchors
    float_graph = float_onnx(blueprint.network, weights)
    assert (report.folder / "float.onnx").read_bytes() == float_graph


def test_weights_that_do_not_fit_are_all_listed_and_nothing_is_written(tmp_path: Path) -> None:
    blueprint = small("mobilenet_v1")
    weights: dict[str, NDArray[np.generic]] = dict(random_weights(blueprint.network, seed=1))
    del weights["stem.bias"]
    weights["surplus"] = np.zeros(1, np.float32)
    weights["stem.weight"] = np.zeros((8, 1, 3, 3), np.float32)
    weights["blocks.0.pointwise.bias"] = np.zeros(16, np.int64)
    weights["classifier.bias"] = np.full(3, np.nan, np.float32)
    with pytest.raises(ModelMismatchError) as raised:
        build_own(
            blueprint,
            trained(blueprint, weights=weights),
            folder=tmp_path / "m",
            on_progress=ignore_progress,
        )
    assert str(raised.value).splitlines() == [
        "weights do not fit mobilenet_v1:",
        "blocks.0.pointwise.bias: expected float32, got int64",
        "classifier.bias: expected finite numbers, got NaN or infinity",
        "stem.bias: expected [8], got nothing",
        "stem.weight: expected [8, 3, 3, 3], got [8, 1, 3, 3]",
        "surplus: expected no such layer, got [1]",
    ]
    assert not (tmp_path / "m").exists()


def test_one_label_for_every_class_is_needed(tmp_path: Path) -> None:
    blueprint = small("mobilenet_v1", Head.SSD)
    with pytest.raises(UsageError, match="expected 3 labels, one per class, got 2"):
        build_own(
            blueprint,
            trained(blueprint, labels=("a", "b")),
            folder=tmp_path / "m",
            on_progress=ignore_progress,
        )


def test_a_network_too_large_for_a_file_is_refused(tmp_path: Path) -> None:
    blueprint = lay_out(architecture("mobilenet_v1_full"), width=4, side=32)
    own = Trained({}, ("x",) * 1000, PROVENANCE)
    with pytest.raises(ModelError, match="expected at most 134217728 parameters, got 45"):
        build_own(blueprint, own, folder=tmp_path / "m", on_progress=ignore_progress)


@pytest.mark.parametrize("name", ["efficientnet_b7", "efficientnet_b4", "mnasnet_a1"])
def test_random_weights_keep_every_activation_finite_and_alive(name: str) -> None:
    network = lay_out(architecture(name), width=0.5, side=64, classes=10).network
    content = float_onnx(network, random_weights(network, seed=3), with_maps=True)
    maps = GraphSession(content, list(network.tensors)).run(pictures(1, 64)[0])
    for values in maps.values():
        assert 1e-3 < np.abs(values).max() < 1e4


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    network = small("mobilenet_v2").network
    first, again, other = (random_weights(network, seed=seed) for seed in (1, 1, 2))
    assert all((first[name] == again[name]).all() for name in first)
    assert (first["stem.weight"] != other["stem.weight"]).all()


def test_weights_come_back_from_their_file_and_equal_weights_give_equal_bytes(
    tmp_path: Path,
) -> None:
    weights = random_weights(small("mobilenet_v1").network, seed=1)
    write_weights(tmp_path / "a.npz", weights)
    write_weights(tmp_path / "b.npz", dict(reversed(weights.items())))
    found = read_weights(tmp_path / "a.npz")
    assert found.keys() == weights.keys()
    assert all((found[name] == weights[name]).all() for name in weights)
    digests = {hashlib.sha256((tmp_path / f).read_bytes()).digest() for f in ("a.npz", "b.npz")}
    assert len(digests) == 1


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"not an archive"])
def test_a_file_that_is_no_archive_of_arrays_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "weights.npz"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"expected a NumPy archive \(\.npz\)"):
        read_weights(path)


def test_a_missing_weights_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.npz: cannot be read \(No such file"):
        read_weights(tmp_path / "none.npz")


def test_python_objects_are_never_unpickled_but_listed_as_a_wrong_type(tmp_path: Path) -> None:
    path = tmp_path / "weights.npz"
    objects: Mapping[str, NDArray[np.object_]] = {"stem.weight": np.array([{}], object)}
    np.savez(path, allow_pickle=True, **objects)
    assert read_weights(path)["stem.weight"].dtype == object


def test_weights_that_cannot_be_written_say_where(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="the weights cannot be written"):
        write_weights(tmp_path / "no" / "folder.npz", {})


@pytest.mark.parametrize("spoil", ["missing", "text", "empty folder"])
def test_pictures_that_cannot_be_read_are_refused(spoil: str, tmp_path: Path) -> None:
    path = tmp_path / "one.jpg"
    if spoil == "text":
        path.write_text("no picture")
    elif spoil == "empty folder":
        path.mkdir()
    with pytest.raises(SourceError, match=r"one\.jpg: .*picture"):
        own_images([path], side=64, on_progress=ignore_progress)
