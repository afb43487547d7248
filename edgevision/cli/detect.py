"""`edgevision detect`: images in, JSON lines out."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import cv2

from edgevision.capture.recording import read_image
from edgevision.cli.console import print_json, progress_bar
from edgevision.config.camera import CameraConfig
from edgevision.detection.snapshot import draw
from edgevision.errors import BadFrameError, OutputError
from edgevision.evaluation.replay import Replay

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edgevision.config.settings import Config
    from edgevision.evaluation.replay import ReplayedFrame
    from edgevision.frames import U8


def detect(config: Config, images: Sequence[Path], *, annotate: Path | None) -> list[BadFrameError]:
    """Print one JSON line for each image; unreadable ones are skipped and reported.

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
            msg = f"{annotate}: cannot be created as a folder ({error.strerror})"
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
    """Refuse to overwrite an image with its annotated copy, or one result with another."""
    names = Counter(image.name for image in images)
    for image in images:
        if names[image.name] > 1:
            msg = f"{folder / image.name}: two images have this name; annotate them one by one"
            raise OutputError(msg)
        if (folder / image.name).resolve() == image.resolve():
            msg = f"{image}: would be overwritten; give another folder to --annotate"
            raise OutputError(msg)


def _contract_fields(runner: Replay, replayed: ReplayedFrame) -> dict[str, Any]:
    message = json.loads(runner.encoder.detections(replayed.result).payload)
    return {key: message[key] for key in ("frame_size", "detections")}


def _write_image(path: Path, image: U8) -> None:
    try:
        written = cv2.imwrite(str(path), image)
    except cv2.error:
        written = False
    if not written:
        msg = f"{path}: cannot be written as an image"
        raise OutputError(msg)
