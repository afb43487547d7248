"""Recordings and images through the pipeline: lossless, in order, as fast as possible."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from edgevision.capture.ahead import DecodedAhead
from edgevision.capture.source import open_source
from edgevision.card import load_model
from edgevision.clock import ManualClock
from edgevision.errors import SourceError
from edgevision.inference.backend import open_backend
from edgevision.records import Frame
from edgevision.service.pipeline import Pipeline
from edgevision.service.writer import EventIds, MessageWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edgevision.cameraconfig import CameraConfig
    from edgevision.config import Config
    from edgevision.records import U8, FrameResult

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ReplayedFrame:
    """A frame and what was found in it."""

    frame: Frame
    result: FrameResult


class Replay:
    """A pipeline for frames from files.

    Its clock moves only from frame to frame, by the recording's own pace, and stands still
    while a frame is processed. So the same frames give the same messages, byte for byte;
    latencies read 0, and `bench` is there to measure them.
    """

    def __init__(self, config: Config, *, camera: str, start: datetime = EPOCH) -> None:
        """Load the model.

        Args:
            config: model and detection settings; the camera's own settings apply.
            camera: name that the messages carry.
            start: time of day of the first frame.

        Raises:
            ConfigError, ModelError, BackendError: as when the daemon starts.
        """
        self._camera = camera
        self._clock = ManualClock(wall=start)
        model = load_model(config.model)
        backend = open_backend(model, config)
        self._pipeline = Pipeline(
            model=model,
            backend=backend,
            config=config,
            clock=self._clock,
            publish=lambda _result: None,
        )
        self.event_ids = EventIds(start, salt="00000000")
        self.writer = MessageWriter(
            config,
            model_name=model.card.name,
            backend_name=backend.name,
            started_at=start,
            event_ids=self.event_ids,
        )

    def step(self, image: U8, sequence: int = 0) -> ReplayedFrame:
        """Take one image all the way.

        Raises:
            BadFrameError: the image cannot be used.
        """
        frame = Frame(self._camera, sequence, image, self._clock.monotonic_ns(), self._clock.wall())
        return ReplayedFrame(frame, self._pipeline.step(frame))

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
