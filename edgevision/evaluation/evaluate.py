"""Evaluating detections and tracks of a recording against its ground truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgevision.clock import NS_PER_MS
from edgevision.errors import SourceError
from edgevision.evaluation.ground_truth import AveragePrecision
from edgevision.evaluation.metrics import Identities
from edgevision.evaluation.replay import Replay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from edgevision.boxes import BoxFrac
    from edgevision.config.camera import CameraConfig
    from edgevision.config.settings import Config
    from edgevision.evaluation.ground_truth import GroundTruth, TrueObjects
    from edgevision.evaluation.metrics import IdentityFigures
    from edgevision.events import Track
    from edgevision.frames import F32, DetectedObject

MIN_IOU = 0.5

# Average precision includes boxes down to this score, like that on the model cards.
LOWEST_SCORE = 0.1


@dataclass(frozen=True, slots=True)
class Judged:
    """The results of one frame that are compared with the ground truth.

    Attributes:
        size_px: (width, height) of the frame.
        published: the detections that are published.
        candidates: all detections, down to `LOWEST_SCORE`.
        tracks: the confirmed objects.
        tracking_ms: time that tracking took.
        inferred: False for a frame of a still scene: only its tracks are compared.
    """

    size_px: tuple[int, int]
    published: Sequence[DetectedObject]
    candidates: Sequence[DetectedObject]
    tracks: Sequence[Track]
    tracking_ms: float
    inferred: bool = True


@dataclass(frozen=True, slots=True)
class Figures:
    """Metrics of the detections and tracks of one label.

    Attributes:
        frames: number of frames compared.
        objects: objects in the ground truth, summed over the frames.
        precision: share of the published detections that are true (IoU at least 0.5), 0..1.
        recall: share of the objects that a published detection found, 0..1.
        ap50: average precision of all detections down to a score of 0.1, 0..1.
        identity: of the shown tracks.
        tracking_ms_median: milliseconds of tracking per frame, for all labels together.
        tracking_ms_p95: the same, 95th percentile.
    """

    frames: int
    objects: int
    precision: float
    recall: float
    ap50: float
    identity: IdentityFigures
    tracking_ms_median: float
    tracking_ms_p95: float


class Evaluation:
    """Collects results and ground truth for one label, frame by frame."""

    def __init__(self, label: str) -> None:
        """Start with no frame."""
        self._label = label
        self._published = AveragePrecision(min_iou=MIN_IOU)
        self._candidates = AveragePrecision(min_iou=MIN_IOU)
        self._identities = Identities(min_iou=MIN_IOU)
        self._tracking_ms: list[float] = []

    def add(self, judged: Judged, truth: TrueObjects) -> None:
        """Add one frame."""
        for found, precision in (
            (judged.published, self._published),
            (judged.candidates, self._candidates),
        ):
            if not judged.inferred:
                continue
            own = [one for one in found if one.label == self._label]
            boxes = _corners([one.box_frac for one in own], judged.size_px)
            scores = np.array([one.score for one in own], np.float32)
            precision.add(boxes, scores, truth.boxes)
        shown = [track for track in judged.tracks if track.shown and track.label == self._label]
        numbers = np.array([track.number for track in shown], np.int64)
        places = _corners([track.box_frac for track in shown], judged.size_px)
        self._identities.add(numbers, places, truth)
        self._tracking_ms.append(judged.tracking_ms)

    def figures(self) -> Figures:
        """Return the metrics over all frames, which must have at least one object."""
        return Figures(
            frames=len(self._tracking_ms),
            objects=self._published.objects,
            precision=self._published.precision,
            recall=self._published.recall,
            ap50=self._candidates.value(),
            identity=self._identities.figures(),
            tracking_ms_median=float(np.median(self._tracking_ms)),
            tracking_ms_p95=float(np.percentile(self._tracking_ms, 95)),
        )


def evaluate(
    config: Config,
    camera: str,
    label: str,
    truth: GroundTruth,
    on_progress: Callable[[int, int | None], None],
) -> Figures:
    """Evaluate a recording.

    Args:
        config: model and detection settings; the camera's source is the recording.
        camera: its name in the configuration.
        label: of the detections and tracks to evaluate.
        truth: the ground truth.
        on_progress: called with (frames done, total frames or None if unknown).

    Raises:
        SourceError: the recording cannot be read to its end or ends before the ground truth.
        ConfigError, ModelError, BackendError: as on a start of the daemon.
    """
    evaluation = Evaluation(label)
    source = config.cameras[camera]
    done = 0

    def check(count: int | None) -> None:
        if count is not None and count < truth.last_frame:
            msg = (
                f"{source.shown_source}: expected the {truth.last_frame} frames of the ground "
                f"truth, got {count}"
            )
            raise SourceError(msg)
        on_progress(done, count)

    for done, judged in enumerate(_judge(config, camera, source, check), 1):
        evaluation.add(judged, truth.at(done))
        on_progress(done, None)
    check(done)
    return evaluation.figures()


def _judge(
    config: Config, camera: str, source: CameraConfig, on_open: Callable[[int | None], None]
) -> Iterator[Judged]:
    runner = Replay(config, camera=camera, lowest_score=LOWEST_SCORE)
    for replayed in runner.play(source, on_open):
        result = replayed.result
        yield Judged(
            result.frame_size_px,
            result.objects,
            result.candidates,
            result.tracks,
            replayed.follow_ns / NS_PER_MS,
            inferred=result.inferred,
        )


def _corners(boxes: Sequence[BoxFrac], size_px: tuple[int, int]) -> F32:
    """Return float32 [n, 4], (x0, y0, x1, y1) in pixels, of (x, y, w, h) in fractions."""
    corners = np.array(boxes, np.float64).reshape(-1, 4)
    corners[:, 2:] += corners[:, :2]
    result: F32 = (corners * (*size_px, *size_px)).astype(np.float32)
    return result
