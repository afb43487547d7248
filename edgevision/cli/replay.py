"""`edgevision replay`: reads a recording, prints JSON lines or publishes messages."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2

from edgevision.cli.console import err, print_lines, progress_bar
from edgevision.detection.snapshot import draw
from edgevision.errors import BrokerError, OutputError
from edgevision.evaluation.golden import differences, read_event, read_golden, write_golden
from edgevision.evaluation.replay import Replay
from edgevision.mqtt.client import MqttClient

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

    from edgevision.config.camera import CameraConfig
    from edgevision.config.settings import Config
    from edgevision.evaluation.golden import RecordedEvent
    from edgevision.evaluation.replay import ReplayedFrame
    from edgevision.mqtt.message import Message

CONNECT_S = 10.0
SEND_S = 10.0


@dataclass(frozen=True, slots=True)
class Golden:
    """A stored run to compare with or to write."""

    path: Path
    tolerance_ms: float
    update: bool


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """The options of the command."""

    camera: str
    start: datetime
    annotate: Path | None
    to_mqtt: bool
    events: bool
    golden: Golden | None


def replay(config: Config, source: CameraConfig, options: ReplayOptions) -> bool:
    """Print or publish the detections or the events of a recording.

    Returns:
        Whether the events are those of the golden file; True where there is none.

    Raises:
        SourceError: the recording cannot be read to its end; the frames before it are printed.
        BrokerError: the messages cannot be published.
        OutputError: the annotated video cannot be written.
    """
    config = config.model_copy(update={"cameras": {**config.cameras, options.camera: source}})
    golden = options.golden
    before = read_golden(golden.path) if golden and not golden.update else []
    if golden and golden.update and not golden.path.parent.is_dir():
        msg = f"{golden.path}: expected an existing folder, got none"
        raise OutputError(msg)
    runner = Replay(config, camera=options.camera, start=options.start)
    sink = _Output(config, options)
    video = _AnnotatedVideo(options.annotate, source.fps) if options.annotate else None
    started_s = time.monotonic()
    frames = objects = 0
    try:
        with progress_bar() as bar:
            task = bar.add_task("replay", total=None)
            for replayed in runner.play(source, lambda count: bar.update(task, total=count)):
                if options.events:
                    sink.take(map(runner.encoder.event, replayed.events))
                elif replayed.result.inferred:
                    sink.take([runner.encoder.detections(replayed.result)])
                if video is not None:
                    video.add(replayed)
                frames += 1
                objects += len(replayed.result.objects)
                bar.advance(task)
            if options.events:
                sink.take(map(runner.encoder.event, runner.end()))
    finally:
        sink.close()
        if video is not None:
            video.close()
    seconds = time.monotonic() - started_s
    err.print(f"{frames} frames, {objects} objects, {frames / seconds:.1f} frames a second")
    return golden is None or _compare(golden, before, sink.kept)


def _compare(golden: Golden, before: Sequence[RecordedEvent], lines: Sequence[bytes]) -> bool:
    """Print the differences, or store the run."""
    if golden.update:
        write_golden(golden.path, lines)
        err.print(f"{len(lines)} events written to {golden.path}", markup=False)
        return True
    after = [read_event(line) for line in lines]
    changed = differences(before, after, tolerance_ms=golden.tolerance_ms)
    print_lines(map(str, changed))
    err.print(f"{len(after)} events, {len(changed)} differ from {golden.path}", markup=False)
    return not changed


class _Output:
    """Where messages go: a list for the golden file, the broker, or stdout."""

    def __init__(self, config: Config, options: ReplayOptions) -> None:
        self.kept: list[bytes] = []
        self._keeps = options.golden is not None
        self._client: MqttClient | None = None
        if options.to_mqtt:
            self._client = MqttClient(config.mqtt, client_id=f"edgevision-replay-{config.device}")
            self._client.start()
            self._client.wait_connected(CONNECT_S)

    def take(self, messages: Iterable[Message]) -> None:
        for message in messages:
            if self._keeps:
                self.kept.append(message.payload)
            elif self._client is not None:
                _send(self._client, message)
            else:
                sys.stdout.write(message.payload.decode() + "\n")

    def close(self) -> None:
        sys.stdout.flush()
        if self._client is not None:
            self._client.stop()


def _send(client: MqttClient, message: Message) -> None:
    """Send one message, waiting while the connection is busy: a replay loses nothing."""
    deadline_s = time.monotonic() + SEND_S
    while not client.send(message):
        if time.monotonic() > deadline_s:
            msg = f"{client.address}: expected to send a message within {SEND_S:g} s, got no room"
            raise BrokerError(msg)
        time.sleep(0.002)


class _AnnotatedVideo:
    """An MP4 file with boxes drawn in, opened with the size of its first frame."""

    def __init__(self, path: Path, fps: float | None) -> None:
        if path.suffix.lower() != ".mp4":
            msg = f"{path}: expected a name that ends in .mp4"
            raise OutputError(msg)
        self._path = path
        self._fps = fps or 10.0
        self._writer: cv2.VideoWriter | None = None

    def add(self, replayed: ReplayedFrame) -> None:
        image = draw(replayed.frame.image, replayed.result.objects)
        if self._writer is None:
            height, width = image.shape[:2]
            codec = cv2.VideoWriter.fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(str(self._path), codec, self._fps, (width, height))
            if not self._writer.isOpened():
                msg = f"{self._path}: cannot be written as MP4 video; give a path ending in .mp4"
                raise OutputError(msg)
        self._writer.write(image)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.release()
