"""What is looked at in a camera's frames: whether at all, and where a second time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgevision.detection.motion import Gate, MotionDetector
from edgevision.detection.regions import Regions
from edgevision.sceneconfig import MotionConfig

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgevision.cameraconfig import CameraConfig, DetectionConfig
    from edgevision.detection.regions import Crop
    from edgevision.records import U8, DetectedObject, Frame


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
        self._gate = None if config.motion is None else Gate(config.motion)
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
