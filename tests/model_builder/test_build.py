from __future__ import annotations

import importlib
import sys

import pytest

from edgevision.errors import MissingExtraError


@pytest.mark.parametrize("package", ["onnx", "tflite", "ai_edge_litert"])
def test_building_without_its_extra_names_the_package_and_the_extra(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(sys.modules):
        if name.split(".")[0] == package or name.startswith("edgevision.model_builder"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf'{package}.*pip install "\.\[build\]"'):
        importlib.import_module("edgevision.model_builder.build")


def test_building_does_not_need_the_extra_evaluate(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(sys.modules):
        if name.startswith(("edgevision.model_builder", "edgevision.evaluation")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "motmetrics", None)
    importlib.import_module("edgevision.model_builder.build")
