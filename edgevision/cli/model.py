"""`edgevision model`: show cards, count networks by name, build model folders."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from edgevision.cli.console import out, plain, print_json, print_lines, print_wide, step_progress
from edgevision.errors import UsageError
from edgevision.files import read_regular
from edgevision.model_builder.architectures import (
    ARCHITECTURES,
    IMAGENET_CLASSES,
    Head,
    architecture,
    lay_out,
)
from edgevision.model_builder.cost import Kind, network_cost
from edgevision.model_builder.heads import BACKGROUND
from edgevision.model_card import ClassifierCard, ModelCard, Provenance, load_card, parse_labels

if TYPE_CHECKING:
    from pathlib import Path

    from edgevision.model_builder.architectures import Blueprint
    from edgevision.model_builder.cost import LayerCost, NetworkCost
    from edgevision.model_builder.own_model import BuildReport

COCO_CLASSES = 80
MAX_LABEL_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Chosen:
    """The network that the user asked for; None stands for the network's or head's default."""

    name: str
    width: float
    size: int | None
    head: str
    classes: int | None

    def lay_out(self, *, full_conv: bool = False, labels: int | None = None) -> Blueprint:
        """Lay out the network with the classes asked for, or as many as there are labels."""
        head = Head(self.head)
        usual = COCO_CLASSES if head.is_detector else IMAGENET_CLASSES
        return lay_out(
            architecture(self.name, full_conv=full_conv),
            head=head,
            width=self.width,
            side=self.size,
            classes=self.classes if self.classes is not None else labels or usual,
        )


@dataclass(frozen=True, slots=True)
class OwnWeights:
    """The options that a model is built from."""

    weights: Path | None
    seed: int | None
    labels: Path | None
    licence: str
    int8: bool
    calibrate: tuple[Path, ...]

    def refuse_for_default(self, chosen: Chosen) -> None:
        """Refuse options that do not apply to the default model, which has published weights."""
        given = {
            "--weights": self.weights,
            "--seed": self.seed,
            "--labels": self.labels,
            "--calibrate": self.calibrate or None,
            "--width": chosen.width if chosen.width != 1 else None,
            "--size": chosen.size,
            "--classes": chosen.classes,
            "--head": chosen.head if chosen.head != "classifier" else None,
        }
        surplus = [option for option, value in given.items() if value is not None]
        if surplus:
            msg = (
                f"{chosen.name} is built from published weights: expected no "
                f"{', '.join(surplus)}; for your own weights build mobilenet_v2 --head ssd"
            )
            raise UsageError(msg)

    def check(self) -> None:
        """Refuse options that contradict each other."""
        if (self.weights is None) == (self.seed is None):
            msg = "expected either --weights FILE.npz or --seed N"
            raise UsageError(msg)
        if self.calibrate and not self.int8:
            msg = "--calibrate: expected --int8 with it: a float network needs no calibration"
            raise UsageError(msg)


def info(folder: Path, *, as_json: bool) -> None:
    """Print a model's card.

    Raises:
        ModelError: a file is missing or does not match the card.
    """
    card, labels = load_card(folder)
    if as_json:
        print_json({**json.loads(card.model_dump_json()), "label_names": list(labels)})
        return
    table = Table(title=card.name, show_header=False)
    table.add_row("description", _text(card.description))
    table.add_row("input", f"{card.input.width}x{card.input.height} {card.input.colour_order}")
    table.add_row("task", card.task)
    shown = list(labels)
    if isinstance(card, ModelCard):
        table.add_row("anchors", str(card.anchor_count))
    if not isinstance(card, ClassifierCard):
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


def list_architectures(*, as_json: bool) -> None:
    """Print every architecture with its cost at its default size and 1000 classes."""
    rows = []
    for each in ARCHITECTURES.values():
        cost = network_cost(lay_out(each).network)
        rows.append({"name": each.name, "source": each.source, "size": each.side, **_totals(cost)})
    if as_json:
        print_json(rows)
        return
    kinds = [kind.value for kind in Kind]
    table = Table(title="Last columns: share of the multiply-adds")
    table.add_column("name", no_wrap=True)
    for column in ("size", "parameters", "multiply-adds", *kinds):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(
            row["name"],
            str(row["size"]),
            f"{row['parameters']:,}",
            _millions(row["multiply_adds"]),
            *(f"{row['shares'][kind]:.1%}" for kind in kinds),
        )
    print_wide(table)


def print_cost(chosen: Chosen, *, full_conv: bool, as_json: bool) -> None:
    """Print the layers of a network and their cost.

    Raises:
        UsageError, ModelError: there is no such network.
    """
    blueprint = chosen.lay_out(full_conv=full_conv)
    cost = network_cost(blueprint.network)
    totals = _totals(cost)
    side = blueprint.network.input.rows
    if as_json:
        head = {"name": blueprint.network.name, "width": chosen.width, "size": side}
        print_json({**head, **totals, "layers": [_layer(layer) for layer in cost.layers]})
        return
    title = f"{blueprint.network.name}, width {chosen.width:g}, {side}x{side}"
    table = Table("layer", "kind", "kernel", title=title)
    for column in ("output", "parameters", "multiply-adds", "as standard convolution"):
        table.add_column(column, justify="right")
    for layer in cost.layers:
        conv, shape = layer.conv, layer.output
        table.add_row(
            conv.name,
            layer.kind.value,
            f"{conv.kernel}x{conv.kernel}" + (f" /{conv.stride}" if conv.stride > 1 else ""),
            f"{shape.rows}x{shape.columns}x{shape.channels}",
            f"{layer.cost.parameters:,}",
            f"{layer.cost.multiply_adds:,}",
            f"{layer.standard.multiply_adds:,}" if layer.standard.multiply_adds else "(above)",
        )
    print_wide(table)
    parameter_ratio = totals["standard_parameters"] / totals["parameters"]
    for what, ratio in (("parameters", parameter_ratio), ("multiply_adds", totals["ratio"])):
        own, standard = totals[what], totals[f"standard_{what}"]
        print_lines([f"{what}: {own:,}; as standard convolutions {standard:,}: {ratio:.2f} times"])


def print_names(chosen: Chosen, *, as_json: bool) -> None:
    """Print name and shape of every weight array (float32, batch norm folded in).

    Raises:
        UsageError, ModelError: there is no such network.
    """
    shapes = chosen.lay_out().network.weight_shapes
    if as_json:
        print_json({name: list(shape) for name, shape in shapes.items()})
        return
    print_lines(f"{name} {list(shape)}" for name, shape in shapes.items())


def export_weights(file: Path, *, cache: Path) -> None:
    """Write the default model's weights to a .npz file.

    Raises:
        MissingExtraError: the packages that build models are not installed.
        SourceError: the weights cannot be fetched.
        OutputError: the file cannot be written.
    """
    from edgevision.model_builder.build import published_weights, write_weights  # noqa: PLC0415

    with step_progress() as show:
        write_weights(file, published_weights(cache, show))
    print_lines([f"{file}: for edgevision model build mobilenet_v2 --head ssd --size 300"])


def build_default(*, folder: Path, cache: Path, evaluate: Path | None, as_json: bool) -> None:
    """Build the default model and print the result with its measurements.

    Raises:
        MissingExtraError: the packages that build models are not installed.
        SourceError, ModelError, OutputError: see `build_ssd_mobilenet_v2_oid`.
    """
    from edgevision.model_builder.build import build_ssd_mobilenet_v2_oid  # noqa: PLC0415 - needs the extra

    with step_progress() as show:
        report = build_ssd_mobilenet_v2_oid(
            folder=folder, cache=cache, evaluate=evaluate, on_progress=show
        )
    print_report(report, as_json=as_json)


def build_own_model(
    chosen: Chosen,
    own: OwnWeights,
    folder: Path,
    *,
    cache: Path,
    evaluate: Path | None,
    as_json: bool,
) -> None:
    """Build a model folder from the user's weights or from random ones.

    Raises:
        MissingExtraError: the packages that build models are not installed.
        UsageError: options contradict each other or the network.
        ModelError: the weights do not fit the network; lists every fault.
        SourceError: labels or pictures cannot be read or fetched.
        OutputError: the folder cannot be written.
    """
    own.check()
    if evaluate is not None:
        msg = "--evaluate: expected with ssd_mobilenet_v2_oid only"
        raise UsageError(msg)
    labels = _labels(own.labels) if own.labels else None
    blueprint = chosen.lay_out(labels=len(labels) if labels else None)
    from edgevision.model_builder.build import (  # noqa: PLC0415 - needs the extra
        Trained,
        build_own,
        calibration_frames,
        own_images,
        random_weights,
        read_weights,
    )

    network = blueprint.network
    with step_progress() as show:
        frames: tuple[Any, ...] = ()
        side = network.input.rows
        weights = (
            random_weights(network, seed=own.seed or 0)
            if own.weights is None
            else read_weights(own.weights)
        )
        if own.calibrate:
            frames = own_images(own.calibrate, side=side, on_progress=show)
        elif own.int8:
            frames = calibration_frames(
                cache, lambda done, total: show("fetching photographs", done, total), side=side
            )
        names = labels or tuple(f"class {index}" for index in range(blueprint.classes))
        trained = Trained(weights, names, _provenance(own), frames)
        report = build_own(blueprint, trained, folder=folder, on_progress=show)
    print_report(report, as_json=as_json)


def print_report(report: BuildReport, *, as_json: bool) -> None:
    """Print the result of a build."""
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


def _labels(path: Path) -> tuple[str, ...]:
    try:
        content = read_regular(path, MAX_LABEL_BYTES)
    except OSError as error:
        msg = f"--labels: {path}: cannot be read ({error.strerror})"
        raise UsageError(msg) from None
    labels = parse_labels(path, content)
    return labels[1:] if labels[0] == BACKGROUND else labels


def _provenance(own: OwnWeights) -> Provenance:
    if own.weights is None:
        package, version, file, integrity = "random weights", f"seed {own.seed}", "none", "none"
    else:
        digest = hashlib.sha512(own.weights.read_bytes()).digest()
        integrity = f"sha512-{base64.b64encode(digest).decode()}"
        package, version, file = "own weights", "1", own.weights.name
    return Provenance(
        package=package, version=version, integrity=integrity, file=file, licence=own.licence
    )


def _totals(cost: NetworkCost) -> dict[str, Any]:
    return {
        "parameters": cost.total.parameters,
        "multiply_adds": cost.total.multiply_adds,
        "standard_parameters": cost.standard.parameters,
        "standard_multiply_adds": cost.standard.multiply_adds,
        "ratio": round(cost.standard.multiply_adds / cost.total.multiply_adds, 3),
        "shares": {kind.value: round(cost.share(kind), 4) for kind in Kind},
    }


def _layer(layer: LayerCost) -> dict[str, Any]:
    conv = layer.conv
    return {
        "name": conv.name,
        "kind": layer.kind.value,
        "kernel": conv.kernel,
        "stride": conv.stride,
        "shape": [layer.output.rows, layer.output.columns, layer.output.channels],
        "parameters": layer.cost.parameters,
        "multiply_adds": layer.cost.multiply_adds,
        "standard_parameters": layer.standard.parameters,
        "standard_multiply_adds": layer.standard.multiply_adds,
    }


def _millions(count: int) -> str:
    return f"{count / 1e6:,.1f} M"


def _text(text: str) -> Text:
    return Text(plain(text))
