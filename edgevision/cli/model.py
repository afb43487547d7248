"""`edgevision model`: cards and builds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from edgevision.card import ModelCard, load_card
from edgevision.cli.console import out, plain, print_json, step_progress

if TYPE_CHECKING:
    from pathlib import Path

    from edgevision.nets.folder import BuildReport


def info(folder: Path, *, as_json: bool) -> None:
    """Print a model's card.

    Raises:
        ModelError: a file is missing or not the one on the card.
    """
    card, labels = load_card(folder)
    if as_json:
        print_json({**json.loads(card.model_dump_json()), "label_names": list(labels)})
        return
    table = Table(title=card.name, show_header=False)
    table.add_row("what", _text(card.description))
    table.add_row("input", f"{card.input.width}x{card.input.height} {card.input.colour_order}")
    table.add_row("task", card.task)
    shown = list(labels)
    if isinstance(card, ModelCard):
        table.add_row("anchors", str(card.anchor_count))
        shown = [label for i, label in enumerate(labels) if i != card.background_index]
    table.add_row("labels", _text(f"{len(shown)}: {', '.join(shown)}"))
    origin = card.provenance
    table.add_row("weights", _text(f"{origin.package} {origin.version}, {card.licence}"))
    if card.calibration is not None:
        calibration = card.calibration
        frames = len(calibration.frames)
        table.add_row("calibration", _text(f"{calibration.method}; {frames} frames"))
    for measured in card.measured:
        figure = f"{measured.value:g} ({measured.dataset})"
        table.add_row(_text(measured.metric), _text(figure))
    for name, file in card.files.items():
        table.add_row(name, f"{file.size_bytes} bytes, sha256 {file.sha256[:16]}… checked")
    out.print(table)


def _text(text: str) -> Text:
    return Text(plain(text))


def build_default(*, folder: Path, cache: Path, evaluate: Path | None, as_json: bool) -> None:
    """Build the default model and print what was made and measured.

    Raises:
        MissingExtraError: the packages that build models are not installed.
        SourceError, ModelError, OutputError: see `nets.build`.
    """
    from edgevision.nets.build import build_ssd_mobilenet_v2_oid  # noqa: PLC0415 - needs the extra

    with step_progress() as show:
        report = build_ssd_mobilenet_v2_oid(
            folder=folder, cache=cache, evaluate=evaluate, on_progress=show
        )
    print_report(report, as_json=as_json)


def print_report(report: BuildReport, *, as_json: bool) -> None:
    """Print what a build made."""
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
    table = Table(title=str(report.folder), show_header=False)
    table.add_row("parameters", f"{report.parameters:,}")
    for file, size in report.sizes.items():
        table.add_row(file, f"{size:,} bytes")
    for measured in report.measured:
        table.add_row(measured.metric, f"{measured.value:.3g} ({measured.dataset})")
    out.print(table)
