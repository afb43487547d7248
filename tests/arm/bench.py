"""`make bench-arm`: instructions that a frame takes on emulated cores, as a table."""

from __future__ import annotations

import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from arm.debian import EmulationError, need, run
from arm.userland import ARM64, CACHE, REPOSITORY, Userland
from rich.console import Console
from rich.table import Table

from edgevision.errors import EdgevisionError
from edgevision.model_builder import default_model
from edgevision.model_builder.architectures import ssd_mobilenet_v2
from edgevision.model_builder.onnx_export import float_onnx
from edgevision.model_builder.tflite_import import match, read_convs

HERE = Path(__file__).parent
BUILT = REPOSITORY / "models/ssd_mobilenet_v2_oid/float.onnx"
# The processors of a Raspberry Pi 4 and 5.
CPUS = ("cortex-a72", "cortex-a76")
err = Console(stderr=True, highlight=False, soft_wrap=True)


@dataclass(frozen=True, slots=True)
class Instructions:
    """What was executed, of each kind in turn: all, SIMD, load and store, dot product."""

    total: int
    simd: int
    load_store: int
    dot: int

    @classmethod
    def parse(cls, line: str) -> Self:
        """Read a line of icount.c."""
        return cls(*map(int, line.split()[1:]))


def main() -> int:
    """Count and print; return the exit status."""
    try:
        userland = Userland(ARM64)
        plugin = _plugin()
    except EmulationError as error:
        err.print(f"edgevision: {error}", markup=False)
        return 1
    graph = _float_graph()
    with ThreadPoolExecutor() as pool:
        counted = list(pool.map(lambda cpu: _count(userland, cpu, plugin, graph), CPUS))
    print_table(dict(zip(CPUS, counted, strict=True)))
    return 0


def _plugin() -> Path:
    """Compile the counter.

    Raises:
        EmulationError: there is no compiler, or it fails.
    """
    library = CACHE / "libicount.so"
    options = ("-Wall", "-Wextra", "-Werror", "-O2", "-fPIC", "-shared")
    run(need("gcc", "gcc"), *options, "-o", library, HERE / "icount.c")
    return library


def _float_graph() -> str:
    """Return the path of the float graph, built if need be; empty where it cannot be."""
    kept = CACHE / "float.onnx"
    for path in (BUILT, kept):
        if path.exists():
            return str(path)
    try:
        source = default_model.fetch_published(REPOSITORY / ".cache", lambda *_: None)
    except EdgevisionError as error:
        err.print(f"edgevision: without the float graph: {error}", markup=False)
        return ""
    network, _ = ssd_mobilenet_v2(classes=len(source.labels))
    kept.write_bytes(float_onnx(network, match(network, read_convs(source.tflite))))
    return str(kept)


def _count(userland: Userland, cpu: str, plugin: Path, graph: str) -> dict[str, list[Instructions]]:
    """Return the rounds of everything that was counted, by name."""
    done = userland.python(cpu, HERE / "count_frames.py", graph, plugin=plugin)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, cpu, done.stdout, done.stderr)
    lines = [line for line in done.stderr.splitlines() if line.startswith("icount ")]
    found: dict[str, list[Instructions]] = {}
    # The odd ones count what lies between two rounds.
    for name, line in zip(done.stdout.splitlines(), lines[1::2], strict=True):
        found.setdefault(name, []).append(Instructions.parse(line))
    return found


def print_table(counted: dict[str, dict[str, list[Instructions]]]) -> None:
    """Print the median of the rounds, and how far they lie apart."""
    table = Table(title="Million instructions, one thread")
    table.add_column("what")
    for cpu in counted:
        for column in (cpu, "SIMD", "dot", "load, store", "spread"):
            table.add_column(column, justify="right")
    for name in next(iter(counted.values())):
        cells = []
        for rounds in (measured[name] for measured in counted.values()):
            totals = [each.total for each in rounds]
            middle = sorted(rounds, key=lambda each: each.total)[len(rounds) // 2]
            figures = (middle.total, middle.simd, middle.dot, middle.load_store)
            cells += [f"{figure / 1e6:.1f}" for figure in figures]
            cells.append(f"{(max(totals) - min(totals)) / statistics.median(totals):.2%}")
        table.add_row(name, *cells)
    Console(width=120).print(table)


if __name__ == "__main__":
    sys.exit(main())
