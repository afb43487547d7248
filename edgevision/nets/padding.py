"""TensorFlow's SAME padding: output size ceil(size / stride), the odd cell after, not before."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pads:
    """Cells of zeros added on each side of a map."""

    top: int
    left: int
    bottom: int
    right: int


def same_pads(rows: int, columns: int, *, kernel: int, stride: int) -> Pads:
    """Return the zeros that SAME padding adds around a map.

    At stride 2 the padding is asymmetric (bottom and right get the odd cell), so a network
    trained with it cannot be run with the symmetric padding of other frameworks.
    """
    top, bottom = _along(rows, kernel, stride)
    left, right = _along(columns, kernel, stride)
    return Pads(top, left, bottom, right)


def same_size(size: int, *, stride: int) -> int:
    """Return the output size of a SAME convolution: ceil(size / stride)."""
    return -(-size // stride)


def _along(size: int, kernel: int, stride: int) -> tuple[int, int]:
    total = max((same_size(size, stride=stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2
