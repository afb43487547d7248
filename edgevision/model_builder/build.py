"""The entry point for building models; reports the extra `build` if its packages are missing.

A module of its own because it is the one place that imports them.
"""

from __future__ import annotations

from edgevision.errors import MissingExtraError

__all__ = [
    "BuildReport",
    "Trained",
    "build_own",
    "build_ssd_mobilenet_v2_oid",
    "calibration_frames",
    "own_images",
    "published_weights",
    "random_weights",
    "read_weights",
    "write_weights",
]

try:
    from edgevision.model_builder.calibration_images import calibration_frames, own_images
    from edgevision.model_builder.default_model import build_ssd_mobilenet_v2_oid, published_weights
    from edgevision.model_builder.own_model import BuildReport, Trained, build_own
    from edgevision.model_builder.weights import random_weights, read_weights, write_weights
except ModuleNotFoundError as error:
    raise MissingExtraError(
        command="edgevision model build", extra="build", missing=error.name or "onnx"
    ) from error
