"""Labels that a configuration names, against those that a model knows."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from edgevision.card import Model
    from edgevision.config import Config


def known_labels(model: Model) -> list[str]:
    """Return all labels but the background."""
    background = model.card.background_index
    return [label for index, label in enumerate(model.labels) if index != background]


def label_faults(model: Model, key: str, labels: Iterable[str]) -> Iterator[str]:
    """Yield a sentence for each label that the model does not have.

    Args:
        model: what is used.
        key: where they stand in the configuration.
        labels: what stands there.
    """
    known = known_labels(model)
    plain = {name.lower(): name for name in known}
    for label in labels:
        if label not in known:
            close = difflib.get_close_matches(label.lower(), plain, n=1)
            hint = f" (did you mean {plain[close[0]]}?)" if close else ""
            expected = f"expected labels of {model.card.name} ({', '.join(known)})"
            yield f"{key}: {expected}, got {label!r}{hint}"


def scene_faults(model: Model, config: Config) -> Iterator[str]:
    """Yield a sentence for each label of scenes and entities that is unknown or not looked for."""
    yield from label_faults(model, "homeassistant.labels", config.homeassistant.labels or ())
    for name, camera in config.cameras.items():
        looked_for = config.detection_of(name).labels
        for part in ("zones", "lines", "masks"):
            for own, section in getattr(camera, part).items():
                key = f"cameras.{name}.{part}.{own}"
                yield from label_faults(model, f"{key}.labels", section.labels or ())
                for label in section.labels or ():
                    if looked_for is not None and label not in looked_for:
                        expected = f"expected labels that are looked for ({', '.join(looked_for)})"
                        yield f"{key}.labels: {expected}, got {label!r}; see detection.labels"
        for own, zone in camera.zones.items():
            yield from label_faults(model, f"cameras.{name}.zones.{own}.filters", zone.filters)
