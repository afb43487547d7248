"""From raw outputs to the objects in the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgevision.detection.anchors import make_anchors
from edgevision.detection.boxes import decode_boxes
from edgevision.detection.nms import suppress
from edgevision.errors import ConfigError, ModelMismatchError
from edgevision.labels import label_faults
from edgevision.records import Detections

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgevision.cameraconfig import DetectionConfig
    from edgevision.card import Model
    from edgevision.records import F32, RawOutputs

# Boxes that enter NMS. An SSD head repeats an object a few dozen times; more survivors than
# this mean a threshold near zero, and NMS grows with their square.
MAX_CANDIDATES = 400


class Detector:
    """Thresholds, box decoding and NMS of one model under one configuration."""

    def __init__(
        self,
        model: Model,
        config: DetectionConfig,
        *,
        key: str = "detection",
        lowest: Callable[[str], float] | None = None,
    ) -> None:
        """Prepare anchors and one logit threshold for each class.

        Args:
            model: its anchors, box coder and labels.
            config: what counts as a detection.
            key: where that stands in the configuration, for messages.
            lowest: the score from which boxes of a label are found; default: those that are
                published.

        Raises:
            ConfigError: the configuration names a label that the model does not have.
        """
        self._coder = model.card.box_coder
        self._anchors = make_anchors(model.card.anchors)
        self._min_logits = _min_logits(model, config, key, lowest or config.min_score_of)
        self._iou = config.nms_iou
        self._max_objects = config.max_objects

    def detect(self, raw: RawOutputs) -> Detections:
        """Find the objects in one image's raw outputs.

        Thresholds are applied to the logits, so only the survivors cost a sigmoid and a
        decoded box.

        Returns:
            Detections in fractions of the model input, best score first.

        Raises:
            ModelMismatchError: the outputs do not have the shapes that the card promises.
        """
        expected = (len(self._anchors), len(self._min_logits))
        if raw.class_logits.shape != expected or raw.box_offsets.shape != self._anchors.shape:
            msg = (
                f"expected class logits {expected} and box offsets {self._anchors.shape} as in "
                f"the model card, got {raw.class_logits.shape} and {raw.box_offsets.shape}"
            )
            raise ModelMismatchError(msg)
        # np.nonzero of a two-dimensional array takes 20 times as long as the flat one.
        found = np.flatnonzero(raw.class_logits >= self._min_logits)
        rows, class_ids = np.divmod(found, len(self._min_logits))
        logits = raw.class_logits[rows, class_ids]
        if len(logits) > MAX_CANDIDATES:
            best = np.argsort(-logits, kind="stable")[:MAX_CANDIDATES]
            rows, class_ids, logits = rows[best], class_ids[best], logits[best]
        boxes = decode_boxes(raw.box_offsets[rows], self._anchors[rows], self._coder)
        scores = _sigmoid(logits)
        kept = suppress(boxes, scores, class_ids, iou=self._iou)[: self._max_objects]
        return Detections(boxes[kept], scores[kept], class_ids[kept])


def _sigmoid(logits: F32) -> F32:
    with np.errstate(over="ignore"):  # below -88 the exponential is infinite and the score 0
        return np.asarray(1 / (1 + np.exp(-logits)), np.float32)


def _min_logits(
    model: Model, config: DetectionConfig, key: str, lowest: Callable[[str], float]
) -> F32:
    """Return float32 [c]: the lowest logit that counts; NaN, which none reaches, if unwanted."""
    card, labels = model.card, model.labels
    named = {
        "labels": config.labels or (),
        "label_min_score": config.label_min_score,
        "filters": config.filters,
    }
    faults = [
        fault
        for part, given in named.items()
        for fault in label_faults(model, f"{key}.{part}", given)
    ]
    if faults:
        raise ConfigError(*faults)
    scores = np.array([lowest(label) for label in labels])
    min_logits = np.asarray(np.log(scores / (1 - scores)), np.float32)
    for index, label in enumerate(labels):
        unwanted = config.labels is not None and label not in config.labels
        if unwanted or index == card.background_index:
            min_logits[index] = np.nan
    return min_logits
