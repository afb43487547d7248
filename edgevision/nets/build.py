"""The entry to building; says which extra is missing where its packages are."""

from __future__ import annotations

from edgevision.errors import MissingExtraError

try:
    from edgevision.nets.default_model import build_ssd_mobilenet_v2_oid, published_weights
    from edgevision.nets.folder import BuildReport
    from edgevision.nets.own_images import own_images
    from edgevision.nets.own_model import Trained, build_own
    from edgevision.nets.photographs import calibration_frames
    from edgevision.nets.random_weights import random_weights
    from edgevision.nets.weights_file import read_weights, write_weights
except ModuleNotFoundError as error:
    raise MissingExtraError(
        command="edgevision model build", extra="build", missing=error.name or "onnx"
    ) from error

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
