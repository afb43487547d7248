from __future__ import annotations

from typing import TYPE_CHECKING

from fuzz.feeding import INPUTS, TALLIES

if TYPE_CHECKING:
    import pytest

ROW = "{:<14} {:>7} {:>7} {:>8} {:>8} {:>6} {:>10} {:>10} {:>8}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what each target was fed, where that was asked for."""
    if not TALLIES or INPUTS < 1000:
        return
    terminalreporter.section("fuzzing")
    titles = ("target", "inputs", "taken", "refused", "crashes", "hangs")
    terminalreporter.line(ROW.format(*titles, "slowest s", "growth MB", "peak MB"))
    for tally in TALLIES:
        figures = (tally.inputs, tally.taken, tally.refused, tally.crashes, tally.hangs)
        sizes = (f"{tally.slowest_s:.2f}", f"{tally.growth_mb:.1f}", f"{tally.peak_mb:.0f}")
        terminalreporter.line(ROW.format(tally.target, *figures, *sizes))
    terminalreporter.line(f"{sum(tally.inputs for tally in TALLIES)} inputs")
