"""The chart of `edgevision model separable --plot`; only this module imports matplotlib."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from edgevision.errors import MissingExtraError
from edgevision.model_builder.separable import Engine

try:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.ticker import FuncFormatter, NullLocator
except ModuleNotFoundError as error:
    raise MissingExtraError(
        command="edgevision model separable --plot",
        extra="build",
        missing=error.name or "matplotlib",
    ) from error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from edgevision.model_builder.separable import Measured

# Distinguishable with colour blindness and in greyscale (Okabe & Ito 2008, "Color Universal
# Design").
COLOURS = {Engine.FLOAT: "#0072b2", Engine.INT8: "#d55e00", Engine.NUMPY: "#009e73"}
MARKS = {Engine.FLOAT: "o", Engine.INT8: "s", Engine.NUMPY: "^"}
GREY = "#555555"
DPI = 110


def separable_chart(measured: Sequence[Measured]) -> bytes:
    """Plot the time of both forms over channels, and the speedup of the separable one.

    Args:
        measured: at least one, by increasing channel count, all of one size and kernel.

    Returns:
        A PNG file.
    """
    figure = Figure(figsize=(11, 4.8), layout="constrained")
    times, speedups = figure.subplots(1, 2)
    _plot_times(times, measured)
    _plot_speedups(speedups, measured)
    first = measured[0].convolution
    figure.suptitle(
        f"Standard {first.kernel}x{first.kernel} convolution against depthwise separable, "
        f"{first.size}x{first.size} map, one thread",
        fontsize=13,
    )
    for axes in (times, speedups):
        _style(axes, [each.convolution.channels for each in measured])
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI)
    return file.getvalue()


def _plot_times(axes: Axes, measured: Sequence[Measured]) -> None:
    channels = [each.convolution.channels for each in measured]
    for index, engine in enumerate(Engine):
        timings = [each.timings[index] for each in measured]
        for values, line, fill in (
            ([timing.standard_ms for timing in timings], "-", COLOURS[engine]),
            ([timing.separable_ms for timing in timings], "--", "white"),
        ):
            axes.plot(
                channels,
                [value or float("nan") for value in values],
                line,
                color=COLOURS[engine],
                marker=MARKS[engine],
                markerfacecolor=fill,
            )
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_title("Time of one convolution (ms)", fontsize=11)
    forms = [
        Line2D([], [], color=GREY, linestyle="-", marker="o", label="standard"),
        Line2D(
            [],
            [],
            color=GREY,
            linestyle="--",
            marker="o",
            markerfacecolor="white",
            label="depthwise separable",
        ),
    ]
    axes.legend(handles=forms, frameon=False, loc="upper left")


def _plot_speedups(axes: Axes, measured: Sequence[Measured]) -> None:
    channels = [each.convolution.channels for each in measured]
    kernel = measured[0].convolution.kernel
    counted = [1 / each.convolution.predicted for each in measured]
    label = f"multiply-adds: 1 / (1/N + 1/{kernel**2})"
    axes.plot(channels, counted, color="black", linewidth=2.5, label=label)
    for index, engine in enumerate(Engine):
        speedups = [each.timings[index].speedup for each in measured]
        axes.plot(
            channels,
            [float("nan") if speedup is None else speedup for speedup in speedups],
            color=COLOURS[engine],
            marker=MARKS[engine],
            label=f"time, {engine.value}",
        )
    axes.axhline(1, color=GREY, linewidth=0.8, linestyle=":")
    axes.set_ylim(bottom=0)
    axes.set_title("Saving of the separable convolution (times)", fontsize=11)
    axes.legend(frameon=False, loc="lower right")


def _style(axes: Axes, channels: Sequence[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(channels, [str(count) for count in channels])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("channels N, in and out")
    axes.grid(visible=True, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
