"""A frame's path through one camera: prepare, detect, follow. Needs no thread, no sleep, no broker.

`prepare` belongs to the camera's thread, `detect` to the inference thread, `follow` to the
postprocess thread (`threads.py`); `process` is all of it in the caller's thread, for replays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

from edgevision.clock import elapsed_ms
from edgevision.config.camera import MotionConfig
from edgevision.config.faults import scene_faults
from edgevision.detection.decoder import make_decoder
from edgevision.detection.motion import MotionDetector, MotionGate
from edgevision.detection.regions import Regions, in_window, merge
from edgevision.errors import ConfigError
from edgevision.frames import DetectedObject, FrameResult, StageLatency
from edgevision.inference.preprocess import Preprocessor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgevision.clock import Clock
    from edgevision.config.camera import CameraConfig, DetectionConfig
    from edgevision.config.settings import Config
    from edgevision.detection.decoder import Decoder
    from edgevision.detection.regions import Crop
    from edgevision.frames import U8, Detections, Frame
    from edgevision.inference.backend import LoadedModel
    from edgevision.inference.preprocess import PreparedInput
    from edgevision.model_card import Model
    from edgevision.pipeline.camera_tracker import CameraTracker
    from edgevision.pipeline.frame_metrics import CameraMeter


class FrameOrigin(Protocol):
    """The camera that a frame came from, as far as the threads behind it need to know it."""

    @property
    def active(self) -> bool:
        """Return whether the camera is still one of the configuration."""

    @property
    def meter(self) -> CameraMeter:
        """Return what counts and times its frames."""


@dataclass(frozen=True, slots=True)
class PreparedFrame:
    """A frame with the network's input made from it.

    Attributes:
        frame: as captured.
        pipeline: prepared it and must finish it, also when a reload has put another in its place.
        source: the camera that delivered it; None in a replay.
        prepared: the network's input and the way back.
        crops: parts of the frame that are inferred besides it, as the network takes them.
        wanted: whether it is worth inferring; False: nothing moves.
        started_ns: monotonic stamp before it was made.
        ended_ns: monotonic stamp after it was made.
    """

    frame: Frame
    pipeline: CameraPipeline
    source: FrameOrigin | None
    prepared: PreparedInput
    crops: tuple[Crop, ...]
    wanted: bool
    started_ns: int
    ended_ns: int

    @property
    def camera(self) -> str:
        """Return the name of the frame's camera."""
        return self.frame.camera


@dataclass(frozen=True, slots=True)
class DetectedFrame:
    """A frame with what the network found in it.

    Attributes:
        ready: the frame and the network's input.
        candidates: all boxes down to the weak ones, best score first.
        taken_ns: monotonic stamp before the network ran.
        inferred_ns: monotonic stamp after it.
        decoded_ns: monotonic stamp when the boxes were found.
    """

    ready: PreparedFrame
    candidates: tuple[DetectedObject, ...]
    taken_ns: int
    inferred_ns: int
    decoded_ns: int


class CameraPipeline:
    """Motion gate, regions, decoder and tracker of one camera, around the network that all share.

    Attributes:
        camera: the camera's name.
        tracker: its objects; a later pipeline of the same scene takes it over.
    """

    def __init__(
        self,
        camera: str,
        config: Config,
        loaded: LoadedModel,
        tracker: CameraTracker,
        *,
        clock: Clock,
        lowest_score: float = 1.0,
    ) -> None:
        """Build everything of one camera; the scene counts as unknown until frames come.

        Args:
            camera: its name in the configuration.
            config: detection settings and how to resize.
            loaded: the model, and the backend that has loaded it.
            tracker: tracks the camera's objects.
            clock: measures the stages.
            lowest_score: candidates are given from here on, where that is lower than what the
                tracker takes.

        Raises:
            ConfigError: the camera's settings name a label that the model does not have.
        """
        self.camera = camera
        self.tracker = tracker
        own, detection = config.cameras[camera], config.detection_of(camera)
        self._clock = clock
        self._labels = loaded.model.labels
        self._backend = loaded.backend
        self._preprocessor = Preprocessor(loaded.model.card.input, config.runtime.resize)
        self._decoder = _decoder(loaded.model, config, camera, lowest_score)
        self._weak_score_of = detection.weak_score_of
        self._motion = _motion_detector(own)
        self._gate = None if own.motion is None else MotionGate(own.motion)
        self._regions = None if own.regions is None else Regions(own.regions.max)

    def process(self, frame: Frame) -> FrameResult:
        """Take one frame all the way.

        Raises:
            BackendError: the network failed on it.
        """
        ready = self.prepare(frame)
        return self.follow(self.detect(ready)) if ready.wanted else self.skip(ready)

    def prepare(self, frame: Frame, source: FrameOrigin | None = None) -> PreparedFrame:
        """Make the network's input, and decide whether and where to look.

        The daemon does this on the camera's thread, so that the inference thread, which is
        what limits the frame rate, has less to do.
        """
        started_ns = self._clock.monotonic_ns()
        prepared = self._preprocessor.prepare(frame.image)
        wanted, crops = self._look(frame, prepared.image[0])
        crops = tuple(
            replace(crop, image=self._preprocessor.prepare(crop.image).image) for crop in crops
        )
        ended_ns = self._clock.monotonic_ns()
        return PreparedFrame(frame, self, source, prepared, crops, wanted, started_ns, ended_ns)

    def detect(self, ready: PreparedFrame) -> DetectedFrame:
        """Run the network and find the boxes.

        Raises:
            BackendError: the network failed.
        """
        taken_ns = self._clock.monotonic_ns()
        # Each decoded before the next run, which may use the memory of its outputs again.
        crops = [
            in_window(crop.window_frac, self._decoder.decode(self._backend.run(crop.image)))
            for crop in ready.crops
        ]
        outputs = self._backend.run(ready.prepared.image)
        inferred_ns = self._clock.monotonic_ns()
        detections = ready.prepared.geometry.to_frame(self._decoder.decode(outputs))
        if crops:
            detections = merge(detections, crops)
        candidates = self._label(detections)
        self._remember(ready.frame, candidates)
        decoded_ns = self._clock.monotonic_ns()
        return DetectedFrame(ready, candidates, taken_ns, inferred_ns, decoded_ns)

    def follow(self, detected: DetectedFrame) -> FrameResult:
        """Track the objects of a detected frame. Frames come in order."""
        ready, frame = detected.ready, detected.ready.frame
        size_px = ready.prepared.geometry.frame_size_px
        started_ns = self._clock.monotonic_ns()
        tracked = self.tracker.follow(frame, detected.candidates, size_px)
        ended_ns = self._clock.monotonic_ns()
        return FrameResult(
            camera=frame.camera,
            frame=frame.sequence,
            captured_at=frame.captured_at,
            captured_ns=frame.captured_ns,
            frame_size_px=size_px,
            latency_ms=StageLatency(
                capture=elapsed_ms(frame.captured_ns, ready.started_ns)
                + elapsed_ms(ready.ended_ns, detected.taken_ns),
                preprocess=elapsed_ms(ready.started_ns, ready.ended_ns),
                inference=elapsed_ms(detected.taken_ns, detected.inferred_ns),
                decode=elapsed_ms(detected.inferred_ns, detected.decoded_ns),
                tracking=elapsed_ms(started_ns, ended_ns),
                total=elapsed_ms(frame.captured_ns, ended_ns),
            ),
            objects=tracked.objects,
            candidates=detected.candidates,
            tracks=tracked.tracks,
            events=tracked.events,
        )

    def skip(self, ready: PreparedFrame) -> FrameResult:
        """Take a frame that needs no inference: what was there is still there."""
        frame = ready.frame
        tracked = self.tracker.keep(frame)
        return FrameResult(
            camera=frame.camera,
            frame=frame.sequence,
            captured_at=frame.captured_at,
            captured_ns=frame.captured_ns,
            frame_size_px=ready.prepared.geometry.frame_size_px,
            latency_ms=StageLatency(0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
            objects=tracked.objects,
            tracks=tracked.tracks,
            events=tracked.events,
            inferred=False,
        )

    def _look(self, frame: Frame, picture: U8) -> tuple[bool, tuple[Crop, ...]]:
        """Return whether to infer a frame, and its parts to infer besides.

        Args:
            frame: the frame.
            picture: uint8 [h, w, 3] BGR, the same as the network's input.
        """
        if self._motion is None:
            return True, ()
        motion = self._motion.update(picture, frame.captured_ns)
        wanted = self._gate is None or self._gate.passes(motion, frame.captured_ns)
        if not wanted or self._regions is None:
            return wanted, ()
        crops = self._regions.choose(
            frame.image,
            motion.boxes_frac,
            frame.captured_ns,
            smallest_px=max(picture.shape[:2]),
        )
        return True, crops

    def _remember(self, frame: Frame, candidates: Sequence[DetectedObject]) -> None:
        """Remember where to look again, unless it is too weak for the tracker."""
        if self._regions is None:
            return
        boxes = [one.box_frac for one in candidates if one.score >= self._weak_score_of(one.label)]
        height, width = frame.image.shape[:2]
        self._regions.remember(boxes, (width, height), frame.captured_ns)

    def _label(self, detections: Detections) -> tuple[DetectedObject, ...]:
        """Turn corners into left upper corner and size, and class ids into labels."""
        return tuple(
            DetectedObject(self._labels[class_id], score, (x0, y0, x1 - x0, y1 - y0))
            for (x0, y0, x1, y1), score, class_id in zip(
                detections.boxes.tolist(),
                detections.scores.tolist(),
                detections.class_ids.tolist(),
                strict=True,
            )
        )


def check_labels(model: Model, config: Config) -> None:
    """Check every label that the configuration names against the model's.

    Raises:
        ConfigError: labels that the model does not have, or that are not detected; all of them.
        ModelError: the model's decoder is unknown or cannot use the card.
    """
    faults: list[str] = list(scene_faults(model, config))
    for camera in config.cameras:
        try:
            _decoder(model, config, camera, 1.0)
        except ConfigError as error:
            faults += error.faults
    if faults:
        raise ConfigError(*dict.fromkeys(faults))


def _decoder(model: Model, config: Config, camera: str, lowest_score: float) -> Decoder:
    """Return a camera's decoder, down to what its tracker takes or to a lower score."""
    own = config.cameras[camera].detection is not None
    detection = config.detection_of(camera)
    return make_decoder(
        model,
        detection,
        key=f"cameras.{camera}.detection" if own else "detection",
        lowest=partial(_lowest, detection, lowest_score),
    )


def _lowest(detection: DetectionConfig, lowest_score: float, label: str) -> float:
    return min(detection.weak_score_of(label), lowest_score)


def _motion_detector(camera: CameraConfig) -> MotionDetector | None:
    if camera.motion is None and camera.regions is None:
        return None
    masks = [mask.polygon for mask in camera.masks.values() if mask.motion]
    return MotionDetector(camera.motion or MotionConfig(), masks)
