"""The entry to building; says which extra is missing where its packages are."""

from __future__ import annotations

from edgevision.errors import MissingExtraError

try:
    from edgevision.nets.default_model import build_ssd_mobilenet_v2_oid, published_weights
    from edgevision.nets.folder import BuildReport
except ModuleNotFoundError as error:
    raise MissingExtraError(
        command="edgevision model build", extra="build", missing=error.name or "onnx"
    ) from error

__all__ = ["BuildReport", "build_ssd_mobilenet_v2_oid", "published_weights"]
