"""The decoder: what turns a network's outputs into boxes, picked by the model card.

Another decoder is one file and one line in `DECODERS`. Its cards say `decoder: {kind: ...}` with
the names and shapes of the network's outputs and whatever else it needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from edgevision.config.faults import label_faults
from edgevision.detection.ssd import SsdDecoder
from edgevision.errors import ConfigError, ModelError
from edgevision.model_card import CARD_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from edgevision.config.camera import DetectionConfig
    from edgevision.frames import F32, Detections
    from edgevision.model_card import Model

    # From the model, float64 [c] lowest scores (`min_scores`) and the settings of NMS.
    MakeDecoder: TypeAlias = Callable[[Model, NDArray[np.float64], DetectionConfig], "Decoder"]


class Decoder(Protocol):
    """Thresholds, box decoding and suppression of doubles for one model and configuration."""

    def decode(self, outputs: Mapping[str, F32]) -> Detections:
        """Find the objects in one image's outputs.

        Args:
            outputs: float32 arrays by name, as on the model card, without a batch axis. They may
                be overwritten by the next inference, so nothing that is returned shares their
                memory.

        Returns:
            Detections in fractions of the model input, best score first, which may reach outside
            0..1: `InputGeometry.to_frame` clips.

        Raises:
            ModelMismatchError: an output is missing or has another shape than on the card.
        """
        ...


DECODERS: dict[str, MakeDecoder] = {
    "ssd": SsdDecoder,
}


def make_decoder(
    model: Model,
    config: DetectionConfig,
    *,
    key: str = "detection",
    lowest: Callable[[str], float] | None = None,
) -> Decoder:
    """Make the decoder that a model's card names.

    Args:
        model: its card and labels.
        config: what counts as a detection.
        key: where `config` is in the configuration, for messages.
        lowest: from a label to the lowest score of its detections; default: the score from which
            they are published.

    Raises:
        ConfigError: the configuration names a label that the model does not have.
        ModelError: the card names an unknown decoder, or gives it parameters it cannot use.
    """
    kind = model.card.decoder_kind
    if kind not in DECODERS:
        msg = (
            f"{model.folder / CARD_NAME}: decoder.kind: expected one of "
            f"{', '.join(sorted(DECODERS))}, got {kind!r}: use a model made for this version"
        )
        raise ModelError(msg)
    faults = _unknown_labels(model, config, key)
    if faults:
        raise ConfigError(*faults)
    return DECODERS[kind](model, min_scores(model, config, lowest or config.min_score_of), config)


def min_scores(
    model: Model, config: DetectionConfig, lowest: Callable[[str], float]
) -> NDArray[np.float64]:
    """Return float64 [c]: the lowest score that counts for each label of the model.

    NaN, which no score reaches, for the background and for labels that are not wanted.
    """
    scores = np.array([lowest(label) for label in model.labels], np.float64)
    for index, label in enumerate(model.labels):
        unwanted = config.labels is not None and label not in config.labels
        if unwanted or index == model.card.background_index:
            scores[index] = np.nan
    return scores


def _unknown_labels(model: Model, config: DetectionConfig, key: str) -> list[str]:
    named = {
        "labels": config.labels or (),
        "label_min_score": config.label_min_score,
        "filters": config.filters,
    }
    return [
        fault
        for part, given in named.items()
        for fault in label_faults(model, f"{key}.{part}", given)
    ]
