"""`edgevision replay` and `edgevision detect`: files in, JSON lines out."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2

from edgevision.cameraconfig import CameraConfig
from edgevision.capture.images import read_image
from edgevision.cli.console import err, print_json, progress_bar
from edgevision.detection.draw import draw
from edgevision.errors import BadFrameError, BrokerError, OutputError
from edgevision.messaging.client import MqttClient
from edgevision.service.replay import Replay

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from edgevision.config import Config
    from edgevision.messaging.client import Message
    from edgevision.records import U8
    from edgevision.service.replay import ReplayedFrame

CONNECT_S = 10.0
SEND_S = 10.0


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """What the user asked for."""

    camera: str
    start: datetime
    annotate: Path | None
    to_mqtt: bool


def replay(config: Config, source: CameraConfig, options: ReplayOptions) -> None:
    """Print or publish the detections message of every frame of a recording.

    Raises:
        SourceError: the recording cannot be read to its end; what came before is printed.
        BrokerError: the messages cannot be published.
        OutputError: the annotated video cannot be written.
    """
    config = config.model_copy(update={"cameras": {**config.cameras, options.camera: source}})
    runner = Replay(config, camera=options.camera, start=options.start)
    client = _connected(config) if options.to_mqtt else None
    video = _AnnotatedVideo(options.annotate, source.fps) if options.annotate else None
    started_s = time.monotonic()
    frames = objects = 0
    try:
        with progress_bar() as bar:
            task = bar.add_task("replay", total=None)
            for replayed in runner.play(source, lambda count: bar.update(task, total=count)):
                message = runner.writer.detections(replayed.result)
                if client is None:
                    sys.stdout.write(message.payload.decode() + "\n")
                else:
                    _send(client, message)
                if video is not None:
                    video.add(replayed)
                frames += 1
                objects += len(replayed.result.objects)
                bar.advance(task)
    finally:
        sys.stdout.flush()
        if client is not None:
            client.stop()
        if video is not None:
            video.close()
    seconds = time.monotonic() - started_s
    err.print(f"{frames} frames, {objects} objects, {frames / seconds:.1f} frames a second")


def _connected(config: Config) -> MqttClient:
    client = MqttClient(config.mqtt, client_id=f"edgevision-replay-{config.device}")
    client.start()
    client.wait_connected(CONNECT_S)
    return client


def _send(client: MqttClient, message: Message) -> None:
    """Hand over one message, waiting while the connection is busy: a replay loses nothing."""
    deadline_s = time.monotonic() + SEND_S
    while not client.send(message):
        if time.monotonic() > deadline_s:
            msg = f"{client.address}: took no message for {SEND_S:g} s"
            raise BrokerError(msg)
        time.sleep(0.002)


class _AnnotatedVideo:
    """An MP4 file with boxes drawn in; opened by its first frame, whose size it has."""

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


def detect(config: Config, images: Sequence[Path], *, annotate: Path | None) -> list[BadFrameError]:
    """Print one JSON line for each image; unreadable ones are reported and passed over.

    Returns:
        The faults of the images that could not be used.

    Raises:
        OutputError: an annotated image cannot be written.
    """
    if annotate is not None:
        _check_targets(images, annotate)
        try:
            annotate.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            msg = f"{annotate}: cannot be made a folder ({error.strerror})"
            raise OutputError(msg) from None
    source = CameraConfig(source=".")
    config = config.model_copy(update={"cameras": {"image": source}})
    runner = Replay(config, camera="image")
    faults = []
    with progress_bar() as bar:
        for path in bar.track(images, description="detect"):
            try:
                replayed = runner.step(read_image(path))
            except BadFrameError as error:
                faults.append(error)
                continue
            print_json({"image": str(path), **_contract_fields(runner, replayed)})
            if annotate is not None:
                _write_image(
                    annotate / path.name, draw(replayed.frame.image, replayed.result.objects)
                )
    return faults


def _check_targets(images: Sequence[Path], folder: Path) -> None:
    """Refuse to overwrite an image with its annotated self, or one result with another."""
    names = Counter(image.name for image in images)
    for image in images:
        if names[image.name] > 1:
            msg = f"{folder / image.name}: two images have this name; annotate them one by one"
            raise OutputError(msg)
        if (folder / image.name).resolve() == image.resolve():
            msg = f"{image}: would be overwritten; give another folder to --annotate"
            raise OutputError(msg)


def _contract_fields(runner: Replay, replayed: ReplayedFrame) -> dict[str, Any]:
    message = json.loads(runner.writer.detections(replayed.result).payload)
    return {key: message[key] for key in ("frame_size", "detections")}


def _write_image(path: Path, image: U8) -> None:
    try:
        written = cv2.imwrite(str(path), image)
    except cv2.error:
        written = False
    if not written:
        msg = f"{path}: cannot be written as an image"
        raise OutputError(msg)
