"""`edgevision model …`: each command imports what it runs, so that `--help` is fast."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from edgevision import limit_blas
from edgevision.config.settings import DEFAULT_MODEL, bundled

model_app = typer.Typer(help="Build and inspect models.", no_args_is_help=True)
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
NameArgument = Annotated[str, typer.Argument(help="A name from `edgevision model list`.")]
WidthOption = Annotated[float, typer.Option(help="Multiplier of the channel counts.")]

SizeOption = Annotated[
    int | None, typer.Option(help="Side of the square image in pixels; default: the network's own.")
]

HeadOption = Annotated[
    Literal["classifier", "ssd", "ssdlite"], typer.Option(help="Head of the network.")
]

ClassesOption = Annotated[
    int | None,
    typer.Option(
        help="Classes, without background; default: the number of labels, or 1000 (SSD: 80)."
    ),
]

CacheOption = Annotated[Path, typer.Option(help="Folder for downloaded files.")]


@model_app.command("info")
def model_info(
    folder: Annotated[
        Path | None, typer.Argument(help="Model folder; default: the bundled one.")
    ] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Check the hash of every file of a model and show its card."""
    from edgevision.cli.model import info

    info(folder or bundled(DEFAULT_MODEL), as_json=as_json)


@model_app.command("list")
def model_list(*, as_json: JsonOption = False) -> None:
    """List the architectures with their parameters and multiply-adds, by kind of convolution."""
    from edgevision.cli.model import list_architectures

    list_architectures(as_json=as_json)


@model_app.command("cost")
def model_cost(
    name: NameArgument,
    width: WidthOption = 1.0,
    size: SizeOption = None,
    head: HeadOption = "classifier",
    classes: ClassesOption = None,
    *,
    full_conv: Annotated[
        bool, typer.Option("--full-conv", help="The variant with standard convolutions.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the cost of every layer, and that of standard convolutions in its place."""
    from edgevision.cli.model import Chosen, print_cost

    print_cost(Chosen(name, width, size, head, classes), full_conv=full_conv, as_json=as_json)


@model_app.command("separable")
def model_separable(
    *,
    channels: Annotated[int, typer.Option(help="Channels of the input and of the output.")] = 64,
    size: Annotated[int, typer.Option(help="Rows and columns of both maps.")] = 56,
    kernel: Annotated[int, typer.Option(help="Side of the square kernel.")] = 3,
    plot: Annotated[
        Path | None,
        typer.Option(help="Write a chart to this .png file; also measures 16 to 256 channels."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare a standard convolution with a depthwise separable one, on one thread.

    Needs the extra `build`.
    """
    limit_blas(1, os.environ, force=True)

    from edgevision.cli.separable import compare_forms

    compare_forms(channels, size, kernel, plot=plot, as_json=as_json)


@model_app.command("names")
def model_names(
    name: NameArgument,
    width: WidthOption = 1.0,
    size: SizeOption = None,
    head: HeadOption = "classifier",
    classes: ClassesOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Print names and shapes of the weights that `model build --weights` expects."""
    from edgevision.cli.model import Chosen, print_names

    print_names(Chosen(name, width, size, head, classes), as_json=as_json)


@model_app.command("export")
def model_export(
    file: Annotated[Path, typer.Argument(help="The .npz file to write.")],
    cache: CacheOption = Path(".cache"),
) -> None:
    """Write the default model's published weights to a file for `model build --weights`."""
    from edgevision.cli.model import export_weights

    export_weights(file, cache=cache)


@model_app.command("build")
def model_build(
    name: Annotated[
        str, typer.Argument(help="ssd_mobilenet_v2_oid, or a name from `edgevision model list`.")
    ],
    *,
    width: WidthOption = 1.0,
    size: SizeOption = None,
    head: HeadOption = "classifier",
    classes: ClassesOption = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="Trained weights (.npz), with the arrays listed by `model names`."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of random weights, instead of --weights.")
    ] = None,
    calibrate: Annotated[
        list[Path] | None,
        typer.Option(
            help="Picture or folder of pictures for --int8; default: downloaded photographs."
        ),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="File of class names, one per line, without background.")
    ] = None,
    licence: Annotated[
        str, typer.Option(help="SPDX identifier of the weights' licence.")
    ] = "LicenseRef-unstated",
    out: Annotated[Path, typer.Option(help="Folder to create the model's folder in.")] = Path(
        "models"
    ),
    cache: CacheOption = Path(".cache"),
    evaluate: Annotated[
        Path | None,
        typer.Option(
            help="Folder with video.avi and gt.txt (MOTChallenge), to measure accuracy on."
        ),
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="Quantize to 8-bit integers.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Build the default model from published weights, or any network from your own.

    Needs the extra `build`; the default model and `--int8` without `--calibrate` need npm.
    """
    from edgevision.cli.model import Chosen, OwnWeights, build_default, build_own_model

    chosen = Chosen(name, width, size, head, classes)
    own = OwnWeights(weights, seed, labels, licence, int8, tuple(calibrate or ()))
    if name == "ssd_mobilenet_v2_oid":
        own.refuse_for_default(chosen)
        build_default(folder=out / name, cache=cache, evaluate=evaluate, as_json=as_json)
    else:
        build_own_model(chosen, own, out / name, cache=cache, evaluate=evaluate, as_json=as_json)
