"""From raw outputs to the objects in the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from edgevision.config.faults import label_faults
from edgevision.errors import ConfigError, ModelMismatchError
from edgevision.frames import Detections

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgevision.config.camera import DetectionConfig
    from edgevision.frames import F32, I64, RawOutputs
    from edgevision.model_card import AnchorMap, BoxCoder, Model

# Boxes that enter NMS. An SSD head repeats an object a few dozen times; more survivors than
# this mean a threshold near zero, and NMS grows with their square.
MAX_CANDIDATES = 400

# exp(10) times an anchor is far outside any image; the clip keeps wild offsets finite.
MAX_LOG_SIZE = 10.0


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


# FOLDED:
# SSD anchors (priors): the boxes that the network's offsets are relative to.


def make_anchors(maps: Sequence[AnchorMap]) -> F32:
    """Lay every shape on every cell of every feature map.

    A shape of scale s and ratio r has height s / sqrt(r) and width s * sqrt(r), centred at
    ((column + 0.5) / columns, (row + 0.5) / rows) (Liu et al. 2016, section 2.2).

    Args:
        maps: the feature maps in the order of the network's heads.

    Returns:
        float32 [a, 4], (cy, cx, h, w), fractions of the model input; ordered by map, row,
        column, shape. Boxes at the border may reach outside 0..1.
    """
    return np.concatenate([_lay(feature_map) for feature_map in maps])


def _lay(feature_map: AnchorMap) -> F32:
    rows, columns = feature_map.rows, feature_map.columns
    scale = np.array([shape.scale for shape in feature_map.shapes])
    root = np.sqrt([shape.ratio for shape in feature_map.shapes])
    anchors = np.empty((rows, columns, len(scale), 4), np.float32)
    anchors[..., 0] = ((np.arange(rows) + 0.5) / rows)[:, None, None]
    anchors[..., 1] = ((np.arange(columns) + 0.5) / columns)[None, :, None]
    anchors[..., 2] = scale / root
    anchors[..., 3] = scale * root
    return anchors.reshape(-1, 4)


# FOLDED:
# Box decoding: from SSD offsets to corners.


def decode_boxes(offsets: F32, anchors: F32, coder: BoxCoder) -> F32:
    """Turn SSD box offsets into corner boxes.

    cy = ty / centre_divisor * h_a + cy_a and h = exp(th / size_divisor) * h_a, likewise for
    x and w (Girshick et al. 2014, appendix C, with SSD's variances as divisors).

    Args:
        offsets: float32 [a, 4], (ty, tx, th, tw) as the box head emits them.
        anchors: float32 [a, 4], (cy, cx, h, w), fractions of the model input.
        coder: the divisors the head was trained with, from the model card.

    Returns:
        float32 [a, 4], (x0, y0, x1, y1), fractions of the model input. May reach outside
        0..1: `InputGeometry.to_frame` clips.

    Raises:
        ModelMismatchError: the head and the anchors disagree on a.
    """
    if offsets.shape != anchors.shape:
        msg = f"expected box offsets of shape {anchors.shape} as the anchors, got {offsets.shape}"
        raise ModelMismatchError(msg)
    centres = offsets[:, :2] / coder.centre_divisor * anchors[:, 2:] + anchors[:, :2]
    log_sizes = np.minimum(offsets[:, 2:] / coder.size_divisor, MAX_LOG_SIZE)
    halves = np.exp(log_sizes) * anchors[:, 2:] / 2
    boxes = np.empty_like(offsets)
    boxes[:, :2] = (centres - halves)[:, ::-1]
    boxes[:, 2:] = (centres + halves)[:, ::-1]
    return boxes


# FOLDED:
# Non-maximum suppression, class by class.


def suppress(boxes: F32, scores: F32, class_ids: I64, *, iou: float) -> I64:
    """Keep the best of each group of overlapping boxes of one class (greedy NMS).

    Args:
        boxes: float32 [n, 4], (x0, y0, x1, y1), any one coordinate space; with an area.
        scores: float32 [n].
        class_ids: int64 [n]; boxes of different classes never suppress each other.
        iou: a box goes when its intersection over union with a better one is above this.

    Returns:
        int64 [m], indices of the boxes kept, best score first, ties in input order.
    """
    if len(boxes) == 0:
        return np.empty(0, np.int64)
    # NMSBoxes compares scores with a threshold first; places from n to 1 always pass it, and keep
    # ties in their order.
    order = np.argsort(-scores, kind="stable")
    places = np.arange(len(boxes), 0, -1)
    # Classes are kept apart by moving each beyond the one before; in float64 the move loses
    # nothing. OpenCV's own NMSBoxesBatched moves too little for boxes that reach below 0, and
    # OpenCV 4.6 (Debian 12) does not have it.
    corners = boxes[order].astype(np.float64) - boxes.min()
    corners += class_ids[order, np.newaxis] * (corners.max() + 1)
    corner_and_size = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    kept = cv2.dnn.NMSBoxes(corner_and_size.tolist(), places.tolist(), 0.0, iou)
    return order[np.sort(np.asarray(kept, np.int64).ravel())]
