"""What a depthwise separable convolution saves, counted and measured on this machine.

A standard convolution from C to C channels is compared with the pair that replaces it: depthwise
k x k and pointwise 1x1. Each is placed in a small network between a 1x1 convolution that turns an
image into a map of C channels and a global mean:

    image -> stem -> standard              -> pool -> output
    image -> stem -> depthwise, pointwise  -> pool -> output
    image -> stem                          -> pool -> output

The third is what the other two have in common; its time is subtracted from theirs, which leaves
the time of the convolutions under test.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from edgevision.clock import NS_PER_MS, SystemClock
from edgevision.errors import UsageError
from edgevision.inference.numpy_backend import NumpyNetwork
from edgevision.inference.numpy_plan import read_plan
from edgevision.model_builder.calibrate import choose_activations, measure_ranges
from edgevision.model_builder.cost import Cost, network_cost
from edgevision.model_builder.graph_builder import GraphBuilder
from edgevision.model_builder.numpy_export import float_plan
from edgevision.model_builder.onnx_export import GraphSession, float_onnx, int8_onnx
from edgevision.model_builder.quantize import quantize_network
from edgevision.model_builder.weights import random_weights, reading_bgr

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgevision.frames import U8
    from edgevision.model_builder.graph import Network, Progress
    from edgevision.model_builder.weights import Weights

ROUNDS = 9
WARM_UP = 3
ROUND_MS = 15.0  # of one network in one round: long compared with the clock and a scheduler tick
SEED = 1
OUTPUT = "means"

# Limits of a measurement: a map and weights of 32 MB each, a run of less than a second.
MAX_KERNEL = 31
MAX_NUMBERS = 1 << 23
MAX_MULTIPLY_ADDS = 20_000_000_000

Run: TypeAlias = Callable[[], object]


class Form(Enum):
    """The layers between stem and mean."""

    STANDARD = "standard"
    SEPARABLE = "separable"
    NOTHING = "nothing"


class Engine(Enum):
    """The inference engine, with one thread."""

    FLOAT = "ONNX Runtime float"
    INT8 = "ONNX Runtime INT8"
    NUMPY = "NumPy"


@dataclass(frozen=True, slots=True)
class MeasuredConvolution:
    """A convolution of stride 1 with SAME padding.

    Attributes:
        channels: of its input and its output.
        size: rows and columns of both.
        kernel: side of the square kernel.
    """

    channels: int
    size: int
    kernel: int

    def check(self) -> None:
        """Refuse impossible sizes and those too large to measure.

        Raises:
            UsageError: a number is out of bounds.
        """
        if self.channels < 2:
            msg = f"--channels: expected 2 or more, got {self.channels}"
            raise UsageError(msg)
        if self.size < 2:
            msg = f"--size: expected 2 or more, got {self.size}"
            raise UsageError(msg)
        if not 2 <= self.kernel <= min(self.size, MAX_KERNEL):
            msg = (
                f"--kernel: expected 2 to {min(self.size, MAX_KERNEL)} (at most --size and "
                f"{MAX_KERNEL}), got {self.kernel}"
            )
            raise UsageError(msg)
        cells, weights = self.size**2, self.channels**2 * self.kernel**2
        for what, found, limit, options in (
            ("numbers in a map", cells * self.channels, MAX_NUMBERS, "--channels or --size"),
            ("weights", weights, MAX_NUMBERS, "--channels or --kernel"),
            ("multiply-adds", cells * weights, MAX_MULTIPLY_ADDS, "--channels or --size"),
        ):
            if found > limit:
                msg = f"expected at most {limit:,} {what}, got {found:,}: give a smaller {options}"
                raise UsageError(msg)

    @property
    def is_measurable(self) -> bool:
        """Whether `check` accepts it."""
        try:
            self.check()
        except UsageError:
            return False
        return True

    def network(self, form: Form) -> Network:
        """Build one of the three networks."""
        graph = GraphBuilder(rows=self.size, columns=self.size, channels=3)
        x = graph.conv("stem", graph.image, self.channels, kernel=1)
        if form is Form.STANDARD:
            x = graph.conv("standard", x, self.channels, kernel=self.kernel)
        elif form is Form.SEPARABLE:
            x = graph.depthwise("depthwise", x, kernel=self.kernel)
            x = graph.conv("pointwise", x, self.channels, kernel=1)
        graph.logits(OUTPUT, graph.pool("pool", x))
        return graph.build(form.value)

    def cost(self, form: Form) -> Cost:
        """Count the convolutions under test, as `model cost` does."""
        layers = network_cost(self.network(form)).layers
        return sum((layer.cost for layer in layers if layer.conv.name != "stem"), Cost())

    @property
    def predicted(self) -> float:
        """Return 1/N + 1/k^2, separable over standard (Howard et al. 2017, section 3.1)."""
        return 1 / self.channels + 1 / self.kernel**2


@dataclass(frozen=True, slots=True)
class Timing:
    """One engine's times: medians over the rounds, one image, one thread.

    Attributes:
        engine: the inference engine.
        standard_ms: the standard convolution.
        separable_ms: the depthwise and the pointwise one.
        speedup: standard / separable, the median over the rounds; None if the separable
            one is too short to measure.
    """

    engine: Engine
    standard_ms: float
    separable_ms: float
    speedup: float | None


@dataclass(frozen=True, slots=True)
class Measured:
    """A convolution, and the time that each engine takes for both forms."""

    convolution: MeasuredConvolution
    timings: tuple[Timing, ...]

    @property
    def standard(self) -> Cost:
        """Return the cost of the standard form."""
        return self.convolution.cost(Form.STANDARD)

    @property
    def separable(self) -> Cost:
        """Return the cost of the separable form."""
        return self.convolution.cost(Form.SEPARABLE)


def measure_separable(
    convolutions: Sequence[MeasuredConvolution], on_progress: Progress
) -> tuple[Measured, ...]:
    """Measure convolutions; all engines and forms of one take turns in every round.

    BLAS must have been limited to one thread before NumPy was loaded (`limit_blas`).

    Args:
        convolutions: each must pass `check`.
        on_progress: called for every round.
    """
    measured = []
    for index, convolution in enumerate(convolutions):
        first, total = index * ROUNDS, len(convolutions) * ROUNDS

        def show(done: int, first: int = first, total: int = total) -> None:
            on_progress("measuring", first + done, total)

        show(0)
        measured.append(_measure(convolution, show))
    return tuple(measured)


def engine_runs(convolution: MeasuredConvolution) -> dict[tuple[Engine, Form], Run]:
    """Return a function for every engine and form that runs its network once."""
    side = convolution.size
    image = np.random.default_rng(SEED).integers(0, 256, (side, side, 3), np.uint8)
    runs: dict[tuple[Engine, Form], Run] = {}
    for form in Form:
        network = convolution.network(form)
        for engine, run in _runs(network, random_weights(network, seed=SEED), image).items():
            runs[engine, form] = run
    return runs


def subtract_common(
    engine: Engine, standard: Sequence[float], separable: Sequence[float], nothing: Sequence[float]
) -> Timing:
    """Subtract the time of what the networks have in common, round by round.

    Args:
        engine: the inference engine.
        standard: milliseconds per run of the whole network with the standard convolution, one
            value per round.
        separable: the same, with the separable one.
        nothing: the same, with neither.
    """
    own = [
        (of_standard - common, of_separable - common)
        for of_standard, of_separable, common in zip(standard, separable, nothing, strict=True)
    ]
    ratios = [first / second for first, second in own if second > 0]
    return Timing(
        engine,
        standard_ms=max(0.0, statistics.median(first for first, _ in own)),
        separable_ms=max(0.0, statistics.median(second for _, second in own)),
        speedup=statistics.median(ratios) if len(ratios) == len(own) else None,
    )


def _runs(network: Network, weights: Weights, image: U8) -> dict[Engine, Run]:
    ranges = measure_ranges(network, weights, [image], lambda _what, _done, _total: None)
    activations = choose_activations(network, ranges, {})
    quantized = quantize_network(network, reading_bgr(network, weights), activations)
    float32 = GraphSession(float_onnx(network, weights), [OUTPUT], threads=1)
    int8 = GraphSession(int8_onnx(quantized), [OUTPUT], threads=1)
    numpy = NumpyNetwork(read_plan(float_plan(network, weights)))
    return {
        Engine.FLOAT: lambda: float32.run(image),
        Engine.INT8: lambda: int8.run(image),
        Engine.NUMPY: lambda: numpy.run(image[np.newaxis]),
    }


def _measure(convolution: MeasuredConvolution, on_round: Callable[[int], None]) -> Measured:
    runs = engine_runs(convolution)
    counts = {key: _runs_a_round(run) for key, run in runs.items()}
    rounds_ms: dict[tuple[Engine, Form], list[float]] = {key: [] for key in runs}
    for done in range(1, ROUNDS + 1):
        for key, run in runs.items():
            rounds_ms[key].append(_mean_ms(run, counts[key]))
        on_round(done)
    return Measured(
        convolution,
        tuple(
            subtract_common(engine, *(rounds_ms[engine, form] for form in Form))
            for engine in Engine
        ),
    )


def _runs_a_round(run: Run) -> int:
    _mean_ms(run, WARM_UP)
    return max(1, round(ROUND_MS / _mean_ms(run, WARM_UP)))


def _mean_ms(run: Run, count: int) -> float:
    clock = SystemClock()
    start_ns = clock.monotonic_ns()
    for _ in range(count):
        run()
    return (clock.monotonic_ns() - start_ns) / NS_PER_MS / count
