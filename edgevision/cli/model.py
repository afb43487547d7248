"""`edgevision model`: cards and builds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rich.table import Table

from edgevision.card import load_model
from edgevision.cli.console import out, print_json, progress_bar
from edgevision.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from rich.progress import TaskID


def info(folder: Path, *, as_json: bool) -> None:
    """Print a model's card.

    Raises:
        ModelError: a file is missing or not the one on the card.
    """
    model = load_model(folder)
    card = model.card
    if as_json:
        print_json({**json.loads(card.model_dump_json()), "label_names": list(model.labels)})
        return
    table = Table(title=card.name, show_header=False)
    table.add_row("what", card.description)
    table.add_row("input", f"{card.input.width}x{card.input.height} {card.input.colour_order}")
    table.add_row("anchors", str(card.anchor_count))
    shown = [label for i, label in enumerate(model.labels) if i != card.background_index]
    table.add_row("labels", f"{len(shown)}: {', '.join(shown)}")
    origin = card.provenance
    table.add_row("weights", f"{origin.package} {origin.version}, {card.licence}")
    if card.calibration is not None:
        calibration = card.calibration
        table.add_row("calibration", f"{calibration.method}; {len(calibration.frames)} frames")
    for measured in card.measured:
        table.add_row(measured.metric, f"{measured.value:g} ({measured.dataset})")
    for name, file in card.files.items():
        table.add_row(name, f"{file.size_bytes} bytes, sha256 {file.sha256[:16]}… checked")
    out.print(table)


def build(name: str, *, folder: Path, cache: Path, evaluate: Path | None, as_json: bool) -> None:
    """Build a model by its name and print what was made and measured.

    Raises:
        UsageError: there is no build of that name.
        MissingExtraError: the packages that build models are not installed.
        SourceError, ModelError, OutputError: see `nets.build`.
    """
    if name != "ssd_mobilenet_v2_oid":
        msg = f"expected the name of a model that can be built, ssd_mobilenet_v2_oid, got {name!r}"
        raise UsageError(msg)
    from edgevision.nets.build import build_ssd_mobilenet_v2_oid  # noqa: PLC0415 - needs the extra

    with progress_bar() as bar:
        tasks: dict[str, TaskID] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total)

        report = build_ssd_mobilenet_v2_oid(
            folder=folder, cache=cache, evaluate=evaluate, on_progress=show
        )
    if as_json:
        print_json(
            {
                "folder": str(report.folder),
                "parameters": report.parameters,
                "sizes": report.sizes,
                "measured": [measured.model_dump() for measured in report.measured],
            }
        )
        return
    table = Table(title=f"{name} in {report.folder}", show_header=False)
    table.add_row("parameters", f"{report.parameters:,}")
    for file, size in report.sizes.items():
        table.add_row(file, f"{size:,} bytes")
    for measured in report.measured:
        table.add_row(measured.metric, f"{measured.value:.3g} ({measured.dataset})")
    out.print(table)
