from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest
from daemons import run_command
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevision.errors import UsageError
from edgevision.model_builder.separable import (
    Engine,
    Form,
    MeasuredConvolution,
    engine_runs,
    subtract_common,
)


@settings(max_examples=40)
@given(st.integers(2, 64), st.integers(7, 40), st.sampled_from([2, 3, 5, 7]))
def test_the_counted_multiply_adds_stand_as_1_over_n_plus_1_over_k_squared(
    channels: int, size: int, kernel: int
) -> None:
    convolution = MeasuredConvolution(channels, size, kernel)
    costs = [convolution.cost(form).multiply_adds for form in (Form.SEPARABLE, Form.STANDARD)]
    assert costs[0] / costs[1] == pytest.approx(1 / channels + 1 / kernel**2)


def test_64_channels_on_56x56_cost_115605504_or_14651392_multiply_adds() -> None:
    convolution = MeasuredConvolution(64, 56, 3)
    assert convolution.cost(Form.STANDARD).multiply_adds == 115_605_504
    assert convolution.cost(Form.SEPARABLE).multiply_adds == 14_651_392


def test_every_engine_runs_every_form() -> None:
    runs = engine_runs(MeasuredConvolution(4, 8, 3))
    assert set(runs) == {(engine, form) for engine in Engine for form in Form}
    for run in runs.values():
        run()


def test_what_both_forms_have_in_common_is_taken_off() -> None:
    result = subtract_common(Engine.FLOAT, [11.0, 12.0, 11.0], [3.0, 3.0, 3.0], [1.0, 1.0, 1.0])
    assert (result.standard_ms, result.separable_ms, result.speedup) == (10.0, 2.0, 5.0)


def test_a_form_too_short_to_be_told_from_nothing_has_no_speedup() -> None:
    assert subtract_common(Engine.FLOAT, [2.0], [1.0], [1.0]).speedup is None


@pytest.mark.parametrize(
    ("channels", "size", "kernel", "words"),
    [
        (0, 56, 3, "--channels: expected 2 or more, got 0"),
        (64, -1, 3, "--size: expected 2 or more, got -1"),
        (64, 8, 9, "--kernel: expected 2 to 8"),
        (8192, 56, 3, "expected at most"),
    ],
)
def test_a_convolution_that_is_none_or_too_large_is_refused(
    channels: int, size: int, kernel: int, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        MeasuredConvolution(channels, size, kernel).check()


def test_the_command_prints_counts_and_times_and_draws_a_picture(tmp_path: Path) -> None:
    picture = tmp_path / "out.png"
    options = ["--channels", "4", "--size", "8", "--plot", str(picture), "--json"]
    done = run_command("model", "separable", *options)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["multiply_adds"]["ratio"] == pytest.approx(1 / 4 + 1 / 9)
    assert [times["engine"] for times in report["times"]] == [e.value for e in Engine]
    drawn = cv2.imread(str(picture))
    assert drawn is not None
    assert drawn.shape[1] > 600


def test_the_command_says_in_one_line_what_it_cannot_measure() -> None:
    done = run_command("model", "separable", "--kernel", "0")
    assert done.returncode == 2
    assert done.stderr.startswith("edgevision: --kernel: expected 2 to 31")
    assert len(done.stderr.splitlines()) == 1
