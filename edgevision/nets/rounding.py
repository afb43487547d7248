"""Rounding a pointwise convolution's weights so that its output changes least.

The nearest level is best for each weight alone, not for the layer: errors of weights whose
inputs rise and fall together can cancel (Nagel et al. 2020, "Up or Down? Adaptive Rounding
for Post-Training Quantization"). With the error e = W' - W of one output channel and the
covariance C of the inputs, the variance of the output's error is e C e^T. It is made smaller
by moving one weight after the other to its second nearest level where that helps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgevision.nets.quantize import F64, WEIGHT_LIMIT, QuantizedWeight, weight_scale

if TYPE_CHECKING:
    from edgevision.records import F32

PASSES = 4


def round_to_inputs(weight: F32, covariance: F64) -> QuantizedWeight:
    """Round a 1x1 convolution's weights with regard to its inputs.

    Args:
        weight: float32 [out, in, 1, 1].
        covariance: float64 [in, in], of the input channels.

    Returns:
        The levels; each is less than one step from the float weight.
    """
    scale = weight_scale(weight)
    exact = weight[:, :, 0, 0] / scale.astype(np.float64)[:, None]
    levels = np.rint(exact).clip(-WEIGHT_LIMIT, WEIGHT_LIMIT)
    error = levels - exact
    gradient = error @ covariance  # half of it, for every output channel at once
    for _ in range(PASSES):
        if not _improve(levels, error, gradient, covariance):
            break
    return QuantizedWeight(levels.astype(np.int8)[:, :, None, None], scale)


def _improve(levels: F64, error: F64, gradient: F64, covariance: F64) -> bool:
    """Visit every input channel once, changing the first three arrays; say if any did."""
    changed = False
    for channel in np.flatnonzero(np.diagonal(covariance)):
        step = -np.sign(gradient[:, channel])
        gain = 2 * step * gradient[:, channel] + covariance[channel, channel]
        allowed = (np.abs(error[:, channel] + step) < 1) & (
            np.abs(levels[:, channel] + step) <= WEIGHT_LIMIT
        )
        moved = np.flatnonzero((gain < 0) & allowed & (step != 0))
        if len(moved):
            changed = True
            levels[moved, channel] += step[moved]
            error[moved, channel] += step[moved]
            gradient[moved] += step[moved, None] * covariance[channel]
    return changed
