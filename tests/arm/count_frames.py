"""Runs in the emulated Python under icount.c: what is counted lies between two getppid()."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgevision.capture.source import open_source
from edgevision.clock import SystemClock
from edgevision.config.camera import CameraConfig
from edgevision.config.settings import DEMO_RECORDING, Config
from edgevision.frames import Frame
from edgevision.inference.backend import LoadedModel, open_backend
from edgevision.inference.onnxruntime import OnnxRuntimeBackend
from edgevision.inference.preprocess import Preprocessor
from edgevision.model_card import load_model
from edgevision.pipeline.camera_pipeline import CameraPipeline
from edgevision.pipeline.camera_tracker import CameraTracker

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgevision.frames import U8
    from edgevision.inference.backend import Backend

# A frame of the bundled recording with two objects.
FRAME = 66
ROUNDS = 3


def picture() -> U8:
    """Return the frame that everything is counted on, uint8 [480, 640, 3] BGR."""
    source = open_source(CameraConfig(source=str(DEMO_RECORDING)))
    for _ in range(FRAME + 1):
        source.grab()
    return source.retrieve()


def count(name: str, call: Callable[[], object]) -> None:
    """Call once to warm up and then `ROUNDS` times; print the name as often."""
    call()
    for _ in range(ROUNDS):
        os.getppid()
        call()
        os.getppid()
        print(name, flush=True)  # noqa: T201


def main(float_graph: str) -> None:
    """Count everything; the float graph only if its file is named."""
    settings = {"cameras": {"yard": {"source": "0"}}, "runtime": {"threads": 1}}
    config = Config.model_validate(settings)
    model = load_model(config.model)
    image = picture()
    exact = Preprocessor(model.card.input)
    prepared = exact.prepare(image).image
    count("resize exact", lambda: exact.prepare(image))
    fast = Preprocessor(model.card.input, "fast")
    count("resize fast", lambda: fast.prepare(image))
    clock = SystemClock()
    frame = Frame("yard", FRAME, image, clock.monotonic_ns(), clock.wall())

    def count_engine(name: str, backend: Backend) -> None:
        tracker = CameraTracker("yard", config, new_id=lambda: "1", clock=clock)
        loaded = LoadedModel(model, backend)
        pipeline = CameraPipeline("yard", config, loaded, tracker, clock=clock)
        assert len(pipeline.process(frame).objects) == 2
        count(f"inference {name}", lambda: backend.run(prepared))
        count(f"frame {name}", lambda: pipeline.process(frame))

    count_engine("INT8", OnnxRuntimeBackend(model, config.runtime))
    if float_graph:
        graph = Path(float_graph).read_bytes()
        count_engine("float", OnnxRuntimeBackend(model, config.runtime, graph=graph))
    count_engine("NumPy", open_backend(model, config.model_copy(update={"backend": "numpy"})))


if __name__ == "__main__":
    main(*sys.argv[1:])
