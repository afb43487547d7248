"""The synchronous way of one frame, from pixels to a published result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgevision.clock import elapsed_ms
from edgevision.detection.detector import Detector
from edgevision.errors import ConfigError
from edgevision.inference.preprocess import Preprocessor
from edgevision.records import DetectedObject, FrameResult, StageLatency

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgevision.card import Model
    from edgevision.clock import Clock
    from edgevision.config import Config
    from edgevision.inference.backend import Backend
    from edgevision.inference.preprocess import PreparedInput
    from edgevision.records import Detections, Frame


@dataclass(frozen=True, slots=True)
class PreparedFrame:
    """A frame with the network's input made from it.

    Attributes:
        frame: as captured.
        prepared: the network's input and the way back.
        begun_ns: monotonic stamp before it was made.
        ended_ns: monotonic stamp after it was made.
    """

    frame: Frame
    prepared: PreparedInput
    begun_ns: int
    ended_ns: int

    @property
    def camera(self) -> str:
        """Return the frame's camera."""
        return self.frame.camera


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
    ) -> None:
        """Wire the rooms.

        Args:
            model: the checked model folder; `backend` has loaded it.
            backend: runs the network.
            config: detection settings, general and for each camera, and how to resize.
            clock: measures the stages.
            publish: called with each result.

        Raises:
            ConfigError: a camera's settings name a label that the model does not have.
        """
        self._labels = model.labels
        self._backend = backend
        self._clock = clock
        self._publish = publish
        self._preprocessor = Preprocessor(model.card.input, config.runtime.resize)
        self._detectors = make_detectors(model, config)

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
        return PreparedFrame(frame, prepared, begun_ns, self._clock.monotonic_ns())

    def infer(self, ready: PreparedFrame) -> FrameResult:
        """Take a prepared frame the rest of the way.

        Raises:
            BackendError: the network failed on it.
        """
        now_ns = self._clock.monotonic_ns
        frame, prepared = ready.frame, ready.prepared
        taken_ns = now_ns()
        raw = self._backend.run(prepared.image)
        inferred_ns = now_ns()
        detections = prepared.geometry.to_frame(self._detectors[frame.camera].detect(raw))
        objects = self._name(detections)
        decoded_ns = now_ns()
        result = FrameResult(
            camera=frame.camera,
            frame=frame.sequence,
            captured_at=frame.captured_at,
            captured_ns=frame.captured_ns,
            frame_size_px=prepared.geometry.frame_size_px,
            latency_ms=StageLatency(
                capture=elapsed_ms(frame.captured_ns, ready.begun_ns)
                + elapsed_ms(ready.ended_ns, taken_ns),
                preprocess=elapsed_ms(ready.begun_ns, ready.ended_ns),
                inference=elapsed_ms(taken_ns, inferred_ns),
                decode=elapsed_ms(inferred_ns, decoded_ns),
                total=elapsed_ms(frame.captured_ns, decoded_ns),
            ),
            objects=objects,
        )
        self._publish(result)
        return result

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


def make_detectors(model: Model, config: Config) -> dict[str, Detector]:
    """Return a detector for each camera.

    Raises:
        ConfigError: settings name labels that the model does not have; all of them.
    """
    detectors: dict[str, Detector] = {}
    faults: list[str] = []
    for name in config.cameras:
        try:
            own = config.cameras[name].detection is not None
            key = f"cameras.{name}.detection" if own else "detection"
            detectors[name] = Detector(model, config.detection_of(name), key=key)
        except ConfigError as error:
            faults += error.faults
    if faults:
        raise ConfigError(*dict.fromkeys(faults))
    return detectors
