"""`edgevision model separable`: the savings of depthwise separable convolutions, measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

from edgevision.cli.console import out, print_json, print_lines, step_progress
from edgevision.errors import MissingExtraError, OutputError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from edgevision.model_builder.separable import Measured

SWEEP = (16, 32, 64, 128, 256)


def compare_forms(
    channels: int, size: int, kernel: int, *, plot: Path | None, as_json: bool
) -> None:
    """Measure and print a comparison; with `plot` also measure and chart more channel counts.

    Raises:
        UsageError: the sizes are impossible or too large.
        MissingExtraError: the packages that build models or draw charts are not installed.
        OutputError: the chart cannot be written.
    """
    try:
        from edgevision.model_builder.separable import (  # noqa: PLC0415 - needs the extra
            MeasuredConvolution,
            measure_separable,
        )
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            command="edgevision model separable", extra="build", missing=error.name or "onnx"
        ) from error
    asked = MeasuredConvolution(channels, size, kernel)
    asked.check()
    convolutions = [asked]
    if plot is not None:
        _check_plot(plot)
        from edgevision.cli.separable_plot import separable_chart  # noqa: PLC0415 - slow, rarely used

        others = (MeasuredConvolution(count, size, kernel) for count in SWEEP if count != channels)
        convolutions += [other for other in others if other.is_measurable]
    with step_progress() as show:
        measured = measure_separable(convolutions, show)
    if plot is not None:
        in_order = sorted(measured, key=lambda each: each.convolution.channels)
        try:
            plot.write_bytes(separable_chart(in_order))
        except OSError as error:
            msg = f"--plot: {plot}: cannot be written ({error.strerror})"
            raise OutputError(msg) from None
    report = _report(measured[0])
    if as_json:
        sweep = [_times(each) for each in measured] if plot is not None else []
        print_json({**report, "sweep": sorted(sweep, key=lambda each: int(each["channels"]))})
    else:
        _print(report)


def _check_plot(plot: Path) -> None:
    """Refuse a file that cannot be written, before the measurement, which takes a while."""
    if plot.suffix.lower() != ".png":
        msg = f"--plot: expected a file name that ends in .png, got {plot}"
        raise UsageError(msg)
    if not plot.absolute().parent.is_dir() or plot.is_dir():
        msg = f"--plot: {plot}: cannot be written (its folder is missing, or it is a folder)"
        raise OutputError(msg)


def _report(measured: Measured) -> dict[str, Any]:
    convolution = measured.convolution
    costs = {"standard": measured.standard, "separable": measured.separable}
    counts = {
        "multiply_adds": {name: cost.multiply_adds for name, cost in costs.items()},
        "parameters": {name: cost.parameters for name, cost in costs.items()},
    }
    return {
        **_times(measured),
        "size": convolution.size,
        "kernel": convolution.kernel,
        "predicted_ratio": convolution.predicted,
        **{
            what: {**both, "ratio": both["separable"] / both["standard"]}
            for what, both in counts.items()
        },
        "threads": 1,
    }


def _times(measured: Measured) -> dict[str, Any]:
    return {
        "channels": measured.convolution.channels,
        "times": [
            {
                "engine": timing.engine.value,
                "standard_ms": round(timing.standard_ms, 4),
                "separable_ms": round(timing.separable_ms, 4),
                "speedup": None if timing.speedup is None else round(timing.speedup, 2),
            }
            for timing in measured.timings
        ],
    }


def _print(report: dict[str, Any]) -> None:
    channels, size, kernel = report["channels"], report["size"], report["kernel"]
    table = Table(
        "",
        title=f"{channels} to {channels} channels on a {size}x{size} map, one thread, medians",
    )
    for column in (
        f"standard {kernel}x{kernel}",
        f"depthwise {kernel}x{kernel} + 1x1",
        "times less",
    ):
        table.add_column(column, justify="right")
    for what in ("multiply_adds", "parameters"):
        both = report[what]
        table.add_row(
            what.replace("_", "-"),
            f"{both['standard']:,}",
            f"{both['separable']:,}",
            f"{1 / both['ratio']:.2f}",
        )
    table.add_section()
    for times in report["times"]:
        speedup = times["speedup"]
        table.add_row(
            times["engine"],
            f"{times['standard_ms']:.3f} ms",
            f"{times['separable_ms']:.3f} ms",
            "too short" if speedup is None else f"{speedup:.2f}",
        )
    out.print(table)
    ratio = report["predicted_ratio"]
    formula = f"1/N + 1/k^2 = 1/{channels} + 1/{kernel**2} = {ratio:.4f}"
    print_lines([f"{formula}: {1 / ratio:.2f} times fewer multiply-adds"])
