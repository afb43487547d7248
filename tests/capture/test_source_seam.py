"""Another source is one new file and one line of `SOURCES`."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from capture.sources import wait_until
from pydantic import ValidationError

from edgevision.capture.protocol import InThread
from edgevision.capture.reader import END_OF_RECORDING, CameraReader
from edgevision.capture.recording import DecodedAhead
from edgevision.capture.source import open_source
from edgevision.capture.worker_client import CameraWorker, open_request
from edgevision.clock import ManualClock
from edgevision.config import source_url
from edgevision.config.camera import CameraConfig
from edgevision.config.settings import Config
from edgevision.config.source_url import SOURCES, SourceKind
from edgevision.errors import BadFrameError
from edgevision.evaluation.replay import Replay

if TYPE_CHECKING:
    from pathlib import Path

    from fake_model import FakeModel

    from edgevision.frames import U8, Frame


class Greys(InThread):
    """`greys:3,x,5` plays pictures of these greys; x is one that cannot be decoded."""

    def __init__(self, source: str, *, fps: float | None) -> None:
        self._greys = source.partition(":")[2].split(",")
        self.frame_count = len(self._greys)
        self.fps = fps
        self._next = 0

    def grab(self) -> bool:
        self._next += 1
        return self._next <= len(self._greys)

    def retrieve(self) -> U8:
        grey = self._greys[self._next - 1]
        if grey == "x":
            msg = "a frame cannot be decoded"
            raise BadFrameError(msg)
        return np.full((4, 6, 3), int(grey), np.uint8)

    def close(self) -> None:
        """Nothing is held open."""


LINE = SourceKind("greys", lambda text: text.startswith("greys:"), f"{__name__}:Greys", "numpy")

# A live source is opened in a process of its own, so it is in a file that the process can import.
CAMERA = """
import time
import numpy as np

class Counting:
    def __init__(self, request, messages):
        self.value = int(request.source.partition(":")[2])

    def grab(self):
        time.sleep(0.01)
        self.value += 1

    def retrieve(self, into=None):
        return np.full((4, 6, 3), self.value, np.uint8)
"""


@pytest.fixture
def greys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_url, "SOURCES", (LINE, *SOURCES))


def played(source: str, **settings: Any) -> tuple[CameraReader, list[Frame]]:
    """Read a source to its end, in a camera's reader."""
    frames: list[Frame] = []
    reader = CameraReader(
        "yard",
        CameraConfig.model_validate({"source": source, **settings}),
        deliver=frames.append,
        clock=ManualClock(),
        first_pause_s=0.001,
    )
    reader.start()
    wait_until(lambda: reader.finished)
    return reader, frames


@pytest.mark.usefixtures("greys")
def test_a_source_of_one_more_line_is_played_to_its_end_by_the_reader_of_a_camera() -> None:
    reader, frames = played("greys:3,4,5")
    assert [int(frame.image[0, 0, 0]) for frame in frames] == [3, 4, 5]
    assert [frame.sequence for frame in frames] == [0, 1, 2]
    state = reader.state()
    assert (state.status, state.reason) == ("offline", END_OF_RECORDING)


@pytest.mark.usefixtures("greys")
def test_its_frames_are_turned_and_its_bad_ones_counted_as_those_of_any_source() -> None:
    reader, frames = played("greys:3,x,5", rotation=90)
    assert [frame.image.shape for frame in frames] == [(6, 4, 3)] * 2
    assert (reader.captured, reader.unusable) == (3, 1)


@pytest.mark.usefixtures("greys")
def test_its_frames_can_be_decoded_ahead_for_a_replay() -> None:
    opened = DecodedAhead(open_source(CameraConfig(source="greys:7,8", fps=2.0)))
    assert (opened.fps, opened.frame_count) == (2.0, 2)
    values = []
    while opened.grab():
        values.append(int(opened.retrieve()[0, 0, 0]))
    opened.close()
    assert values == [7, 8]


@pytest.mark.usefixtures("greys")
def test_its_frames_are_replayed_through_the_pipeline(fake_model: FakeModel) -> None:
    camera = {"source": "greys:0,255,0", "fps": 2.0}
    config = Config.model_validate({"model": fake_model.folder, "cameras": {"yard": camera}})
    replay = Replay(config, camera="yard")
    counts: list[int | None] = []
    results = [each.result for each in replay.play(config.cameras["yard"], counts.append)]
    assert counts == [3]
    assert [[found.label for found in result.objects] for result in results] == [
        [],
        ["Cat", "Person"],
        [],
    ]


@pytest.mark.usefixtures("greys")
def test_its_configuration_is_checked_against_its_line() -> None:
    assert CameraConfig(source="greys:1", loop=True).source == "greys:1"
    with pytest.raises(ValidationError, match="only for devices, got it for a greys"):
        CameraConfig(source="greys:1", width=64, height=48)


def test_without_its_line_the_same_text_is_the_path_of_a_recording() -> None:
    camera = CameraConfig(source="greys:1")
    assert camera.kind.name == "recording"


def test_a_live_source_of_one_more_line_is_opened_in_a_capture_worker(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "counting.py").write_text(CAMERA, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    line = SourceKind(
        "counting",
        lambda text: text.startswith("counting:"),
        "counting:Counting",
        "numpy",
        is_live=True,
    )
    monkeypatch.setattr(source_url, "SOURCES", (line, *SOURCES))
    camera = CameraConfig(source="counting:40", rotation=90)
    worker = CameraWorker(open_request(camera), open_deadline_s=60, read_grace_s=30)
    try:
        assert worker.grab()
        image = worker.retrieve()
    finally:
        worker.close()
    assert image.shape == (6, 4, 3)
    assert int(image[0, 0, 0]) > 40


@pytest.mark.parametrize("kind", SOURCES, ids=lambda kind: kind.name)
def test_the_opener_of_each_line_is_there(kind: SourceKind) -> None:
    module, _, name = kind.opener.partition(":")
    assert callable(getattr(importlib.import_module(module), name))
