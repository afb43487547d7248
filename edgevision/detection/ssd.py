"""The SSD decoder: anchors, box offsets and class logits become the objects in the image.

Anchors (priors) are the boxes that the network's offsets are relative to. Boxes are decoded for
the few logits above a threshold, and non-maximum suppression, class by class, keeps the best of
each group of overlapping ones. W. Liu et al. 2016, "SSD: Single Shot MultiBox Detector".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from edgevision.errors import ModelMismatchError
from edgevision.frames import Detections
from edgevision.model_card import SSD, DecoderCard

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from edgevision.config.camera import DetectionConfig
    from edgevision.frames import F32, I64
    from edgevision.model_card import AnchorMap, BoxCoder, Model

# Boxes that enter NMS. An SSD head detects an object a few dozen times; more survivors than
# this mean a threshold near zero, and the cost of NMS grows with their square.
MAX_CANDIDATES = 400
# exp(10) times an anchor is far outside any image; the clip keeps wild offsets finite.
MAX_LOG_SIZE = 10.0


class SsdDecoder:
    """Thresholds, box decoding and NMS of one SSD model under one configuration."""

    def __init__(
        self, model: Model, min_scores: NDArray[np.float64], config: DetectionConfig
    ) -> None:
        """Prepare the anchors and one logit threshold for each class.

        Args:
            model: its anchors, box coder and output names.
            min_scores: float64 [c], the lowest score of each class that counts; NaN: none does.
            config: IoU of NMS and number of objects.

        Raises:
            ModelMismatchError: the card is not that of an SSD.
        """
        card = model.card
        if isinstance(card, DecoderCard):
            msg = f"{card.name}: expected a card with decoder {SSD}, got {card.decoder_kind}"
            raise ModelMismatchError(msg)
        self._outputs = card.outputs
        self._coder = card.box_coder
        self._anchors = make_anchors(card.anchors)
        # A logit that reaches its threshold has a score that reaches its own; nothing reaches NaN.
        self._min_logits = np.asarray(np.log(min_scores / (1 - min_scores)), np.float32)
        self._iou = config.nms_iou
        self._max_objects = config.max_objects

    def decode(self, outputs: Mapping[str, F32]) -> Detections:
        """Find the objects in one image's outputs.

        Thresholds are applied to the logits, so that only the survivors cost a sigmoid and a
        decoded box.

        Args:
            outputs: by the names on the card, float32 [a, 4] box offsets and float32 [a, c]
                class logits.

        Returns:
            Detections in fractions of the model input, best score first.

        Raises:
            ModelMismatchError: an output is missing or has another shape than on the card.
        """
        all_offsets, all_logits = self._arrays(outputs)
        # np.nonzero of a two-dimensional array takes 20 times as long as the flat one.
        found = np.flatnonzero(all_logits >= self._min_logits)
        rows, class_ids = np.divmod(found, len(self._min_logits))
        logits = all_logits[rows, class_ids]
        if len(logits) > MAX_CANDIDATES:
            best = np.argsort(-logits, kind="stable")[:MAX_CANDIDATES]
            rows, class_ids, logits = rows[best], class_ids[best], logits[best]
        boxes = decode_boxes(all_offsets[rows], self._anchors[rows], self._coder)
        scores = _sigmoid(logits)
        kept = suppress(boxes, scores, class_ids, iou=self._iou)[: self._max_objects]
        return Detections(boxes[kept], scores[kept], class_ids[kept])

    def _arrays(self, outputs: Mapping[str, F32]) -> tuple[F32, F32]:
        """Return float32 [a, 4] box offsets and float32 [a, c] class logits."""
        names = self._outputs
        for name in (names.box_offsets, names.class_logits):
            if name not in outputs:
                msg = f"expected output {name} as in the model card, got {', '.join(outputs)}"
                raise ModelMismatchError(msg)
        offsets, logits = outputs[names.box_offsets], outputs[names.class_logits]
        expected = (len(self._anchors), len(self._min_logits))
        if logits.shape != expected or offsets.shape != self._anchors.shape:
            msg = (
                f"expected class logits {expected} and box offsets {self._anchors.shape} as in "
                f"the model card, got {logits.shape} and {offsets.shape}"
            )
            raise ModelMismatchError(msg)
        return offsets, logits


def make_anchors(maps: Sequence[AnchorMap]) -> F32:
    """Place an anchor of every shape on every cell of every feature map.

    A shape of scale s and ratio r has height s / sqrt(r) and width s * sqrt(r), centred at
    ((column + 0.5) / columns, (row + 0.5) / rows) (Liu et al. 2016, section 2.2).

    Args:
        maps: the feature maps in the order of the network's heads.

    Returns:
        float32 [a, 4], (cy, cx, h, w), fractions of the model input; ordered by map, row,
        column, shape. Boxes at the border may reach outside 0..1.
    """
    return np.concatenate([_map_anchors(feature_map) for feature_map in maps])


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


def suppress(boxes: F32, scores: F32, class_ids: I64, *, iou: float) -> I64:
    """Keep the best of each group of overlapping boxes of one class (greedy NMS).

    Args:
        boxes: float32 [n, 4], (x0, y0, x1, y1), all in one coordinate space; with an area.
        scores: float32 [n].
        class_ids: int64 [n]; boxes of different classes never suppress each other.
        iou: a box is dropped when its intersection over union with a better one is above this.

    Returns:
        int64 [m], indices of the boxes that are kept, best score first, ties in input order.
    """
    if len(boxes) == 0:
        return np.empty(0, np.int64)
    # NMSBoxes compares scores with a threshold first; ranks from n to 1 always pass it, and keep
    # ties in their order.
    order = np.argsort(-scores, kind="stable")
    ranks = np.arange(len(boxes), 0, -1)
    # Classes are kept apart by shifting each beyond the one before; in float64 the shift loses
    # nothing. OpenCV's own NMSBoxesBatched shifts too little for boxes that reach below 0, and
    # OpenCV 4.6 (Debian 12) does not have it.
    corners = boxes[order].astype(np.float64) - boxes.min()
    corners += class_ids[order, np.newaxis] * (corners.max() + 1)
    corner_and_size = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    kept = cv2.dnn.NMSBoxes(corner_and_size.tolist(), ranks.tolist(), 0.0, iou)
    return order[np.sort(np.asarray(kept, np.int64).ravel())]


def _map_anchors(feature_map: AnchorMap) -> F32:
    rows, columns = feature_map.rows, feature_map.columns
    scale = np.array([shape.scale for shape in feature_map.shapes])
    root = np.sqrt([shape.ratio for shape in feature_map.shapes])
    anchors = np.empty((rows, columns, len(scale), 4), np.float32)
    anchors[..., 0] = ((np.arange(rows) + 0.5) / rows)[:, None, None]
    anchors[..., 1] = ((np.arange(columns) + 0.5) / columns)[None, :, None]
    anchors[..., 2] = scale / root
    anchors[..., 3] = scale * root
    return anchors.reshape(-1, 4)


def _sigmoid(logits: F32) -> F32:
    with np.errstate(over="ignore"):  # below -88 the exponential is infinite and the score 0
        return np.asarray(1 / (1 + np.exp(-logits)), np.float32)
