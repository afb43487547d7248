"""Resizing frames to the network's input, and mapping its boxes back to the frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edgevision.frames import Detections

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgevision.config.settings import Resize
    from edgevision.frames import U8
    from edgevision.model_card import InputSpec

# INTER_LINEAR_EXACT gives the same bytes on x86 and ARM; INTER_LINEAR differs by one level.
_INTERPOLATIONS: Mapping[Resize, int] = {
    "exact": cv2.INTER_LINEAR_EXACT,
    "fast": cv2.INTER_LINEAR,
}

_TO_BGR = {1: cv2.COLOR_GRAY2BGR, 4: cv2.COLOR_BGRA2BGR}


@dataclass(frozen=True, slots=True)
class InputGeometry:
    """How the frame is placed in the model input: stretched over all of it.

    Attributes:
        frame_size_px: (width, height) of the frame.
    """

    frame_size_px: tuple[int, int]

    def to_frame(self, detections: Detections) -> Detections:
        """Map boxes from fractions of the model input to fractions of the frame, clipped.

        The frame fills the input in both directions, so the fractions are the same.
        """
        boxes = np.clip(detections.boxes, 0.0, 1.0)
        return Detections(boxes, detections.scores, detections.class_ids)


@dataclass(frozen=True, slots=True)
class PreparedInput:
    """The network's input and where the frame is in it.

    Attributes:
        image: uint8 [1, height, width, 3] BGR.
        geometry: maps boxes back to the frame.
    """

    image: U8
    geometry: InputGeometry


class Preprocessor:
    """Resizes frames to the model input."""

    def __init__(self, spec: InputSpec, resize: Resize = "exact") -> None:
        """Prepare for one model's input size and one interpolation.

        OpenCV is limited to one thread: a resize is too short to be shared, and waiting for a
        second core that is decoding video doubles its time.
        """
        cv2.setNumThreads(1)
        self._size = (spec.width, spec.height)
        self._interpolation = _INTERPOLATIONS[resize]

    def prepare(self, image: U8) -> PreparedInput:
        """Resize a frame; grey and BGRA are converted to BGR.

        Args:
            image: a frame's image, as `Frame` has checked it.
        """
        channels = image.shape[2] if image.ndim == 3 else 1
        resized = cv2.resize(image, self._size, interpolation=self._interpolation)
        if channels in _TO_BGR:
            resized = cv2.cvtColor(resized, _TO_BGR[channels])
        height, width = image.shape[:2]
        return PreparedInput(
            np.asarray(resized, np.uint8)[np.newaxis], InputGeometry((width, height))
        )
