"""The synchronous way of one frame, from pixels to a published result."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from edgevision.clock import elapsed_ms
from edgevision.config.camera import MotionConfig
from edgevision.config.faults import scene_faults
from edgevision.detection.decoder import make_decoder
from edgevision.detection.motion import MotionDetector, MotionGate
from edgevision.detection.regions import Regions, in_window, merge
from edgevision.errors import ConfigError
from edgevision.events import EventIds
from edgevision.frames import DetectedObject, FrameResult, StageLatency
from edgevision.inference.preprocess import Preprocessor
from edgevision.pipeline.camera_tracker import make_watchers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from edgevision.clock import Clock
    from edgevision.config.camera import CameraConfig, DetectionConfig
    from edgevision.config.settings import Config
    from edgevision.detection.decoder import Decoder
    from edgevision.detection.regions import Crop
    from edgevision.frames import U8, Detections, Frame
    from edgevision.inference.backend import Backend
    from edgevision.inference.preprocess import PreparedInput
    from edgevision.model_card import Model
    from edgevision.pipeline.camera_tracker import Watcher


@dataclass(frozen=True, slots=True)
class PreparedCrop:
    """A part of a frame with the network's input made from it.

    Attributes:
        image: uint8 [1, h, w, 3] BGR.
        window_frac: (x0, y0, x1, y1), its corners as fractions of the frame.
    """

    image: U8
    window_frac: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class PreparedFrame:
    """A frame with the network's input made from it.

    Attributes:
        frame: as captured.
        prepared: the network's input and the way back.
        crops: parts of the frame that are inferred besides it.
        wanted: whether it is worth inferring; False: nothing moves.
        begun_ns: monotonic stamp before it was made.
        ended_ns: monotonic stamp after it was made.
    """

    frame: Frame
    prepared: PreparedInput
    crops: tuple[PreparedCrop, ...]
    wanted: bool
    begun_ns: int
    ended_ns: int

    @property
    def camera(self) -> str:
        """Return the frame's camera."""
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


class Pipeline:
    """Preprocess, infer, detect, hand over. Needs no thread, no sleep and no broker."""

    def __init__(
        self,
        *,
        model: Model,
        backend: Backend,
        config: Config,
        clock: Clock,
        publish: Callable[[FrameResult], None],
        watchers: Mapping[str, Watcher] | None = None,
        lowest_score: float = 1.0,
    ) -> None:
        """Wire the rooms.

        Args:
            model: the checked model folder; `backend` has loaded it.
            backend: runs the network.
            config: detection settings, general and for each camera, and how to resize.
            clock: measures the stages.
            publish: called with each result.
            watchers: follow the objects of each camera; default: new ones.
            lowest_score: candidates are given from here on, where that is lower than what the
                tracker takes.

        Raises:
            ConfigError: a camera's settings name a label that the model does not have.
        """
        self._labels = model.labels
        self._backend = backend
        self._clock = clock
        self._publish = publish
        self._preprocessor = Preprocessor(model.card.input, config.runtime.resize)
        self._watchers = watchers or make_watchers(
            config, new_id=EventIds(clock.wall()).next, clock=clock
        )
        self._decoders = make_detectors(model, config, lowest_score=lowest_score)
        self._glances = {
            name: Glance(camera, config.detection_of(name))
            for name, camera in config.cameras.items()
        }

    def knows(self, camera: str) -> bool:
        """Return whether frames of this camera can be taken."""
        return camera in self._glances

    def step(self, frame: Frame) -> FrameResult:
        """Take one frame all the way.

        Raises:
            BackendError: the network failed on it.
        """
        return self.infer(self.prepare(frame))

    def prepare(self, frame: Frame) -> PreparedFrame:
        """Make the network's input.

        The daemon does this on the camera's thread, so that the inference thread, which is
        what limits the frame rate, has less to do. Safe from several threads.
        """
        begun_ns = self._clock.monotonic_ns()
        prepared = self._preprocessor.prepare(frame.image)
        glance = self._glances[frame.camera].look(frame, prepared.image[0])
        crops = tuple(
            PreparedCrop(self._preprocessor.prepare(crop.image).image, crop.window_frac)
            for crop in glance.crops
        )
        return PreparedFrame(
            frame, prepared, crops, glance.wanted, begun_ns, self._clock.monotonic_ns()
        )

    def infer(self, ready: PreparedFrame) -> FrameResult:
        """Take a prepared frame the rest of the way.

        Raises:
            BackendError: the network failed on it.
        """
        return self.follow(self.detect(ready)) if ready.wanted else self.pass_over(ready)

    def detect(self, ready: PreparedFrame) -> DetectedFrame:
        """Run the network and find the boxes.

        Raises:
            BackendError: the network failed.
        """
        now_ns = self._clock.monotonic_ns
        frame, prepared = ready.frame, ready.prepared
        taken_ns = now_ns()
        decoder = self._decoders[frame.camera]
        # Each decoded before the next run, which may use the memory of its outputs again.
        crops = [
            in_window(crop.window_frac, decoder.decode(self._backend.run(crop.image)))
            for crop in ready.crops
        ]
        outputs = self._backend.run(prepared.image)
        inferred_ns = now_ns()
        detections = prepared.geometry.to_frame(decoder.decode(outputs))
        if crops:
            detections = merge(detections, crops)
        candidates = self._name(detections)
        self._glances[frame.camera].found(frame, candidates)
        return DetectedFrame(
            ready=ready,
            candidates=candidates,
            taken_ns=taken_ns,
            inferred_ns=inferred_ns,
            decoded_ns=now_ns(),
        )

    def follow(self, detected: DetectedFrame) -> FrameResult:
        """Follow the objects and hand over the result. Frames of a camera come in order."""
        ready, frame = detected.ready, detected.ready.frame
        size_px = ready.prepared.geometry.frame_size_px
        begun_ns = self._clock.monotonic_ns()
        watched = self._watchers[frame.camera].step(frame, detected.candidates, size_px)
        ended_ns = self._clock.monotonic_ns()
        result = FrameResult(
            camera=frame.camera,
            frame=frame.sequence,
            captured_at=frame.captured_at,
            captured_ns=frame.captured_ns,
            frame_size_px=size_px,
            latency_ms=StageLatency(
                capture=elapsed_ms(frame.captured_ns, ready.begun_ns)
                + elapsed_ms(ready.ended_ns, detected.taken_ns),
                preprocess=elapsed_ms(ready.begun_ns, ready.ended_ns),
                inference=elapsed_ms(detected.taken_ns, detected.inferred_ns),
                decode=elapsed_ms(detected.inferred_ns, detected.decoded_ns),
                tracking=elapsed_ms(begun_ns, ended_ns),
                total=elapsed_ms(frame.captured_ns, ended_ns),
            ),
            objects=watched.objects,
            candidates=detected.candidates,
            tracks=watched.tracks,
            events=watched.events,
        )
        self._publish(result)
        return result

    def pass_over(self, ready: PreparedFrame) -> FrameResult:
        """Take a frame that is not wanted: what was there is still there. Nothing is published."""
        frame, watcher = ready.frame, self._watchers[ready.frame.camera]
        watched = watcher.keep(frame)
        return FrameResult(
            camera=frame.camera,
            frame=frame.sequence,
            captured_at=frame.captured_at,
            captured_ns=frame.captured_ns,
            frame_size_px=ready.prepared.geometry.frame_size_px,
            latency_ms=StageLatency(0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
            objects=watched.objects,
            tracks=watched.tracks,
            events=watched.events,
            inferred=False,
        )

    def _name(self, detections: Detections) -> tuple[DetectedObject, ...]:
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


def make_detectors(
    model: Model, config: Config, *, lowest_score: float = 1.0
) -> dict[str, Decoder]:
    """Return a decoder for each camera, down to what its tracker takes or to a lower score.

    Raises:
        ConfigError: settings name labels that the model does not have; all of them.
        ModelError: the model's decoder is unknown or cannot use the card.
    """
    decoders: dict[str, Decoder] = {}
    faults: list[str] = list(scene_faults(model, config))
    for name in config.cameras:
        try:
            own = config.cameras[name].detection is not None
            key = f"cameras.{name}.detection" if own else "detection"
            detection = config.detection_of(name)
            lowest = partial(_lowest, detection, lowest_score)
            decoders[name] = make_decoder(model, detection, key=key, lowest=lowest)
        except ConfigError as error:
            faults += error.faults
    if faults:
        raise ConfigError(*dict.fromkeys(faults))
    return decoders


def _lowest(detection: DetectionConfig, lowest_score: float, label: str) -> float:
    return min(detection.weak_score_of(label), lowest_score)


# FOLDED:
# What is looked at in a camera's frames: whether at all, and where a second time.


@dataclass(frozen=True, slots=True)
class Look:
    """What to do with a frame.

    Attributes:
        wanted: whether to infer it.
        crops: parts to infer besides.
    """

    wanted: bool
    crops: tuple[Crop, ...]


class Glance:
    """Motion gating and regions of one camera, as configured.

    `look` belongs to the camera's thread, `found` to the network's.
    """

    def __init__(self, config: CameraConfig, detection: DetectionConfig) -> None:
        """Begin with an unknown scene.

        Args:
            config: the camera's settings.
            detection: what counts as a detection there.
        """
        self._weak_score_of = detection.weak_score_of
        self._motion: MotionDetector | None = None
        if config.motion is not None or config.regions is not None:
            masks = [mask.polygon for mask in config.masks.values() if mask.motion]
            self._motion = MotionDetector(config.motion or MotionConfig(), masks)
        self._gate = None if config.motion is None else MotionGate(config.motion)
        self._regions = None if config.regions is None else Regions(config.regions.max)

    def look(self, frame: Frame, picture: U8) -> Look:
        """Decide what to do with a frame.

        Args:
            frame: the frame.
            picture: uint8 [h, w, 3] BGR, the same as the network's input.
        """
        if self._motion is None:
            return Look(wanted=True, crops=())
        motion = self._motion.update(picture, frame.captured_ns)
        wanted = self._gate is None or self._gate.passes(motion, frame.captured_ns)
        if not wanted or self._regions is None:
            return Look(wanted, ())
        crops = self._regions.choose(
            frame.image,
            motion.boxes_frac,
            frame.captured_ns,
            smallest_px=max(picture.shape[:2]),
        )
        return Look(wanted, crops)

    def found(self, frame: Frame, candidates: Iterable[DetectedObject]) -> None:
        """Take what was found in a frame; what is too weak for the tracker is no place to look."""
        if self._regions is None:
            return
        boxes = [one.box_frac for one in candidates if one.score >= self._weak_score_of(one.label)]
        height, width = frame.image.shape[:2]
        self._regions.remember(boxes, (width, height), frame.captured_ns)
