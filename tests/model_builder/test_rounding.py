from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgevision.frames import F32
from edgevision.model_builder.quantize import quantize_weight, round_to_inputs


def error_variance(weight: F32, real: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    error = (real - weight)[:, :, 0, 0]
    return np.einsum("oi,ij,oj->o", error, covariance, error)


@given(st.integers(0, 2**32 - 1))
def test_rounding_to_the_inputs_never_makes_a_channels_output_worse(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(5, 12, 1, 1)).astype(np.float32)
    inputs = rng.normal(size=(4, 12)) @ rng.normal(size=(12, 12))
    covariance = np.cov(inputs.T)
    nearest = error_variance(weight, quantize_weight(weight).real, covariance)
    fitted = error_variance(weight, round_to_inputs(weight, covariance).real, covariance)
    assert (fitted <= nearest * (1 + 1e-9) + 1e-12).all()


def test_errors_of_inputs_that_move_together_cancel() -> None:
    weight = np.array([127.0, 0.4, 0.0, 0.4], np.float32).reshape(1, 4, 1, 1)
    covariance = np.zeros((4, 4))
    covariance[1, 1] = covariance[3, 3] = covariance[1, 3] = covariance[3, 1] = 1.0
    levels = round_to_inputs(weight, covariance).levels[0, :, 0, 0]
    assert sorted(levels[[1, 3]].tolist()) == [0, 1]


def test_independent_inputs_keep_the_nearest_levels() -> None:
    weight = np.random.default_rng(1).normal(size=(6, 10, 1, 1)).astype(np.float32)
    fitted = round_to_inputs(weight, np.eye(10))
    assert (fitted.levels == quantize_weight(weight).levels).all()
