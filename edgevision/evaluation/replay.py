"""Recordings and images through the pipeline: lossless, in order, as fast as possible."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from edgevision.capture.recording import DecodedAhead
from edgevision.capture.source import open_source
from edgevision.clock import ManualClock
from edgevision.errors import SourceError
from edgevision.events import EventIds
from edgevision.frames import Frame
from edgevision.inference.backend import LoadedModel, open_backend
from edgevision.model_card import load_model
from edgevision.mqtt.encoder import Encoder
from edgevision.pipeline.camera_pipeline import CameraPipeline, check_labels
from edgevision.pipeline.camera_tracker import CameraTracker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edgevision.config.camera import CameraConfig
    from edgevision.config.settings import Config
    from edgevision.events import Event
    from edgevision.frames import U8, FrameResult

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# In place of the random part of ids: a replay gives the same ones each time.
REPLAY = "00000000"


@dataclass(frozen=True, slots=True)
class ReplayedFrame:
    """A frame and what was found in it.

    Attributes:
        frame: the frame.
        result: what was found.
        follow_ns: how long it took to follow its objects, measured.
    """

    frame: Frame
    result: FrameResult
    follow_ns: int

    @property
    def events(self) -> tuple[Event, ...]:
        """Return what has happened to objects."""
        return self.result.events


class Replay:
    """A pipeline for frames from files.

    Its clock moves only from frame to frame, by the recording's own pace, and stands still
    while a frame is processed. So the same frames give the same messages, byte for byte;
    latencies read 0, and `bench` is there to measure them.
    """

    def __init__(
        self, config: Config, *, camera: str, start: datetime = EPOCH, lowest_score: float = 1.0
    ) -> None:
        """Load the model.

        Args:
            config: model and detection settings; the camera's own settings apply.
            camera: name that the messages carry.
            start: time of day of the first frame.
            lowest_score: candidates are given from here on, where that is lower than what the
                tracker takes.

        Raises:
            ConfigError, ModelError, BackendError: as when the daemon starts.
        """
        self._camera = camera
        self._clock = ManualClock(wall=start)
        model = load_model(config.model)
        backend = open_backend(model, config)
        check_labels(model, config)
        self._tracker = CameraTracker(
            camera, config, new_id=EventIds(start, salt=REPLAY).next, clock=self._clock
        )
        self._pipeline = CameraPipeline(
            camera,
            config,
            LoadedModel(model, backend),
            self._tracker,
            clock=self._clock,
            lowest_score=lowest_score,
        )
        self.encoder = Encoder(
            config,
            model_name=model.card.name,
            backend_name=backend.name,
            started_at=start,
            event_ids=EventIds(start, salt=REPLAY),
        )

    def step(self, image: U8, sequence: int = 0) -> ReplayedFrame:
        """Take one image all the way.

        Raises:
            BadFrameError: the image cannot be used.
        """
        frame = Frame(self._camera, sequence, image, self._clock.monotonic_ns(), self._clock.wall())
        ready = self._pipeline.prepare(frame)
        if not ready.wanted:
            return ReplayedFrame(frame, self._pipeline.skip(ready), 0)
        detected = self._pipeline.detect(ready)
        begun_ns = time.perf_counter_ns()
        result = self._pipeline.follow(detected)
        return ReplayedFrame(frame, result, time.perf_counter_ns() - begun_ns)

    def end(self) -> tuple[Event, ...]:
        """End the objects that are still there, as a camera does that delivers no more."""
        return self._tracker.close("camera")

    def play(
        self, source: CameraConfig, on_open: Callable[[int | None], None]
    ) -> Iterator[ReplayedFrame]:
        """Take every frame of a recording or image folder.

        Args:
            source: a recording or a folder of images.
            on_open: called once with the number of frames, where that is known.

        Raises:
            SourceError: it cannot be opened, is a live source, or breaks off.
            BadFrameError: a frame cannot be used.
        """
        if source.kind.is_live:
            msg = f"{source.shown_source}: expected a recording or image folder, got a camera"
            raise SourceError(msg)
        opened = DecodedAhead(open_source(source))
        try:
            on_open(opened.frame_count)
            sequence = 0
            while opened.grab():
                yield self.step(opened.retrieve(), sequence)
                self._clock.advance(1 / (opened.fps or 1.0))
                sequence += 1
        finally:
            opened.close()
