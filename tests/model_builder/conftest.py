from __future__ import annotations

import numpy as np
import pytest
from model_builder.tiny_network import TinyNetwork, make_tiny_network


@pytest.fixture(scope="session")
def tiny() -> TinyNetwork:
    """A residual network of 33x33 pixels with random weights."""
    return make_tiny_network(np.random.default_rng(7))
