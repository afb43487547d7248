from __future__ import annotations

import contextlib
import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevision.errors import ModelError
from edgevision.inference.numpy_backend import NumpyNetwork
from edgevision.inference.numpy_memory import MAX_WORK_BYTES
from edgevision.inference.numpy_plan import read_plan

Arrays = dict[str, np.ndarray]


def plan() -> dict[str, Any]:
    """A stem, a depthwise convolution, a sum and an output."""
    pads = {"top": 1, "left": 1, "bottom": 1, "right": 1}
    conv = {"op": "conv", "kernel": 3, "stride": 1, "pads": pads, "activation": "relu"}
    return {
        "network": "tiny",
        "input": {
            "name": "image",
            "rows": 5,
            "columns": 4,
            "channels": 3,
            "offset": 0,
            "scale": 1,
        },
        "layers": [
            {**conv, "name": "stem", "source": "image", "channels": 2, "groups": 1},
            {**conv, "name": "depthwise", "source": "stem", "channels": 2, "groups": 2},
            {"op": "add", "name": "sum", "branch": "depthwise", "stream": "stem"},
            {"op": "table", "name": "out", "sources": ["sum"], "width": 2},
        ],
    }


def arrays() -> Arrays:
    return {
        "stem.weight": np.ones((2, 3, 3, 3), np.float32),
        "stem.bias": np.zeros(2, np.float32),
        "depthwise.weight": np.ones((2, 1, 3, 3), np.float32),
        "depthwise.bias": np.zeros(2, np.float32),
    }


def written(
    layers: dict[str, Any], others: Arrays, *, compression: int = zipfile.ZIP_STORED
) -> bytes:
    text = np.frombuffer(json.dumps(layers).encode(), np.uint8)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, array in {"plan": text, **others}.items():
            entry = io.BytesIO()
            np.lib.format.write_array(entry, array, allow_pickle=True)
            archive.writestr(f"{name}.npy", entry.getvalue())
    return file.getvalue()


def test_a_sum_of_ones_over_3x3_windows_comes_out() -> None:
    network = NumpyNetwork(read_plan(written(plan(), arrays())))
    table = network.run(np.ones((1, 5, 4, 3), np.uint8))["out"]
    # In the middle 27 from the stem, and nine windows of 27, 18 and 12 over it.
    assert table.shape == (20, 2)
    assert table.reshape(5, 4, 2)[2, 1].tolist() == [27 + 6 * 27 + 3 * 18] * 2


def drop(name: str) -> Callable[[dict[str, Any], Arrays], None]:
    def change(_: dict[str, Any], others: Arrays) -> None:
        del others[name]

    return change


def put(name: str, array: Any) -> Callable[[dict[str, Any], Arrays], None]:
    def change(_: dict[str, Any], others: Arrays) -> None:
        others[name] = np.asarray(array)

    return change


def layer(index: int, **changes: Any) -> Callable[[dict[str, Any], Arrays], None]:
    def change(layers: dict[str, Any], _: Arrays) -> None:
        layers["layers"][index].update(changes)

    return change


def image(**changes: Any) -> Callable[[dict[str, Any], Arrays], None]:
    def change(layers: dict[str, Any], _: Arrays) -> None:
        layers["input"].update(changes)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop("stem.bias"), "array stem.bias: expected it beside the plan, got nothing"),
        (put("stem.bias", np.zeros(3, np.float32)), r"expected float32 \[2\], got float32 \[3\]"),
        (put("stem.bias", np.zeros(2)), r"expected float32 \[2\], got float64 \[2\]"),
        (put("stem.bias", np.array([{}, {}])), "expected float32"),
        (put("stem.bias", np.float32([np.nan, 0])), "stem.bias: expected finite numbers, got NaN"),
        (put("stem.weight", np.full((2, 3, 3, 3), np.inf, np.float32)), "expected finite numbers"),
        (
            put("stem.weight", np.asfortranarray(np.ones((2, 3, 3, 3), np.float32))),
            "expected float32",
        ),
        (layer(1, source="absent"), "depthwise: expected a source that an earlier layer computes"),
        (layer(0, source="depthwise"), "stem: expected a source that an earlier layer computes"),
        (layer(1, name="stem"), "stem: expected a name of its own, got one that is taken"),
        (layer(3, name="sum"), "sum: expected a name of its own, got one that is taken"),
        (layer(1, groups=3), "depthwise: expected 1 group, or 2 groups and channels"),
        (layer(1, stride=2), "sum: expected two maps"),
        (layer(1, kernel=9), "depthwise: expected a map of 1 to"),
        (layer(3, width=3), "out: expected sum with a multiple of 3, got 2"),
        (layer(3, sources=[]), "not a plan for NumPy: layers.3.table.sources"),
        (layer(0, op="attention"), "not a plan for NumPy: layers.0"),
        (layer(0, stride=0), "not a plan for NumPy: layers.0.conv.stride"),
        (layer(0, channels=10**9), "not a plan for NumPy: layers.0.conv.channels"),
        (layer(0, surprise=1), "not a plan for NumPy: layers.0.conv.surprise"),
        (image(rows=8192, columns=8192), "stem: expected a map of 1 to|image: expected a map"),
        (image(scale=0), "not a plan for NumPy: input.scale"),
        (image(rows=-1), "not a plan for NumPy: input.rows"),
    ],
)
def test_what_does_not_fit_together_is_refused_by_name(
    change: Callable[[dict[str, Any], Arrays], None], message: str
) -> None:
    layers, others = plan(), arrays()
    change(layers, others)
    with pytest.raises(ModelError, match=message):
        read_plan(written(layers, others))


def test_compressed_arrays_are_refused_before_they_are_unpacked() -> None:
    content = written(plan(), arrays(), compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelError, match="expected uncompressed arrays"):
        read_plan(content)


def test_a_network_that_needs_more_memory_than_allowed_is_refused() -> None:
    layers = plan()
    layers["input"].update(rows=4096, columns=4096)
    count = MAX_WORK_BYTES // (4096 * 4096 * 2 * 4) + 2
    mean = {"op": "mean", "source": "image"}
    layers["layers"] = [
        *({**layers["layers"][0], "name": f"stem.{i}"} for i in range(count)),
        *({**mean, "name": f"mean.{i}", "source": f"stem.{i}"} for i in range(count)),
    ]
    first = arrays()
    others = {f"stem.{i}.{k}": first[f"stem.{k}"] for i in range(count) for k in ("weight", "bias")}
    with pytest.raises(ModelError, match="expected a network whose maps fit into 1024 MiB"):
        NumpyNetwork(read_plan(written(layers, others)))


@given(st.data())
def test_a_file_cut_or_altered_anywhere_is_refused_or_still_whole(data: st.DataObject) -> None:
    content = bytearray(written(plan(), arrays()))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(ModelError):
        read_plan(bytes(content))


@given(st.binary(max_size=200))
def test_bytes_that_are_no_zip_are_refused(content: bytes) -> None:
    with pytest.raises(ModelError, match="expected a ZIP of arrays"):
        read_plan(content)
