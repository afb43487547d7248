"""The trace of one frame, run as its own process: it profiles every thread that is started."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

TOOL = Path(__file__).with_name("trace_frame.py")


@pytest.fixture(scope="module")
def trace_frame() -> ModuleType:
    spec = spec_from_file_location("trace_frame", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_one_frame_is_followed_from_the_camera_to_the_socket() -> None:
    command = [sys.executable, str(TOOL), "--max-modules", "200", "--max-hops", "50"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    table, threads, modules, hops, figures = done.stdout.split("\n\n")
    assert re.search(r"^ +9 .* LineEvent, ObjectEvent, ZoneEvent$", table, re.MULTILINE)
    assert "camera-yard, inference, " in threads
    entered = re.findall(r"^ *(\d+)  ([\w.]+): ", modules, re.MULTILINE)
    assert entered[0][1] == "capture.reader"
    assert {"inference.onnxruntime", "tracking.zones", "mqtt.encoder"} <= {m for _, m in entered}
    handed = re.findall(r"^ *(\d+)  ([\w.]+): ", hops, re.MULTILINE)
    assert handed[-1][1].startswith("mqtt.")
    counts = re.fullmatch(r"modules: (\d+)\nfunctions: (\d+)\nhops: (\d+)\n", figures)
    assert counts is not None
    assert counts[1] == entered[-1][0]
    assert int(counts[2]) >= int(counts[1])
    assert counts[3] == handed[-1][0]


def test_a_figure_above_its_limit_is_named(trace_frame: ModuleType) -> None:
    camera, broker = (trace_frame.Function(m, "f", generated=False) for m in ("camera", "mqtt"))
    record = trace_frame.Function("events", "Track.__init__", generated=True)
    handed = tuple(trace_frame.Step("main", each) for each in (camera, broker, broker, camera))
    way = trace_frame.Way(("main",), (camera, record, broker), handed)
    assert (way.modules, way.hops) == (["camera", "mqtt"], 2)
    assert trace_frame.excesses(way, max_modules=2, max_hops=2) == []
    assert trace_frame.excesses(way, max_modules=1, max_hops=None) == [
        "expected at most 1 modules, got 2"
    ]
    assert trace_frame.excesses(way, max_modules=2, max_hops=1) == [
        "expected at most 1 hops, got 2"
    ]
