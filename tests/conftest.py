from __future__ import annotations

from pathlib import Path

import pytest
from brokers import listener, mosquitto
from fake_model import FakeModel, write_fake_model
from hypothesis import HealthCheck, settings

from edgevision.model_card import Model, load_model

__all__ = ["listener", "mosquitto"]

# No test is timed, and a run on one machine repeats the run on another. The option
# --hypothesis-profile=search looks for new examples.
settings.register_profile(
    "repeatable", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "search", deadline=None, max_examples=2000, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("repeatable")

REPOSITORY = Path(__file__).parents[1]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write the golden detections again instead of comparing with them",
    )
    parser.addoption(
        "--delivery-cycles",
        type=int,
        default=10,
        help="how many times daemon, broker or network are killed; make test-delivery: 200",
    )
    parser.addoption("--delivery-seed", type=int, default=1, help="which random moments are taken")


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def recording() -> Path:
    """The bundled recording: 160 frames, 640x480, 10 fps, Motion JPEG."""
    return REPOSITORY / "edgevision" / "data" / "still-life.avi"


@pytest.fixture
def fake_model(tmp_path: Path) -> FakeModel:
    """A valid model folder of this test's own."""
    return write_fake_model(tmp_path / "fake_model")


@pytest.fixture(scope="session")
def loaded_model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """The fake model, loaded; its folder must stay as it is."""
    return load_model(write_fake_model(tmp_path_factory.mktemp("model")).folder)
