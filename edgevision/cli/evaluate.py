"""`edgevision evaluate`: quality of detections and tracks, measured against ground truth."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rich.table import Table

from edgevision.cli.console import out, print_json, progress_bar
from edgevision.errors import MissingExtraError, UsageError
from edgevision.evaluation.ground_truth import read_ground_truth
from edgevision.model_card import known_labels, load_model

if TYPE_CHECKING:
    from pathlib import Path

    from edgevision.config.camera import CameraConfig
    from edgevision.config.settings import Config
    from edgevision.evaluation.evaluate import Figures


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """The options of the command."""

    camera: str
    truth: Path
    label: str
    as_json: bool


def evaluate(config: Config, source: CameraConfig, options: EvaluateOptions) -> None:
    """Evaluate a recording and print the figures.

    Raises:
        UsageError: the model or the configuration does not know the label.
        MissingExtraError: the metrics library is not installed.
        SourceError: recording or ground truth cannot be used.
        ConfigError, ModelError, BackendError: as when the daemon starts.
    """
    try:
        from edgevision.evaluation.evaluate import evaluate as measure  # noqa: PLC0415 - extra
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            command="edgevision evaluate", extra="evaluate", missing=error.name or "motmetrics"
        ) from error
    config = config.model_copy(update={"cameras": {**config.cameras, options.camera: source}})
    _check_label(config, options)
    truth = read_ground_truth(options.truth, options.label)
    with progress_bar() as bar:
        task = bar.add_task("evaluate", total=None)

        def show(done: int, total: int | None) -> None:
            bar.update(task, completed=done, total=total)

        figures = measure(config, options.camera, options.label, truth, show)
    if options.as_json:
        print_json(_report(figures))
    else:
        _print(options.label, figures)


def _check_label(config: Config, options: EvaluateOptions) -> None:
    model = load_model(config.model)
    known = known_labels(model)
    wanted = config.detection_of(options.camera).labels
    if wanted is not None:
        known = [label for label in known if label in wanted]
    if options.label not in known:
        msg = f"--label: expected one of {', '.join(known)}, got {options.label!r}"
        raise UsageError(msg)


def _report(figures: Figures) -> dict[str, Any]:
    values = asdict(figures)
    identity = values.pop("identity")
    timing = {key: values.pop(key) for key in ("tracking_ms_median", "tracking_ms_p95")}
    values |= identity | timing
    return {
        key: round(value, 4) if isinstance(value, float) else value for key, value in values.items()
    }


def _print(label: str, figures: Figures) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_column(style="dim")
    identity = figures.identity
    rows = (
        ("frames", f"{figures.frames}", ""),
        ("objects", f"{figures.objects}", f"of {identity.identities} identities, {label}"),
        ("precision", f"{figures.precision:.3f}", "of the published detections"),
        ("recall", f"{figures.recall:.3f}", "of the published detections"),
        ("AP50", f"{figures.ap50:.3f}", "of all detections above 0.1"),
        ("MOTA", f"{identity.mota:.3f}", "of the tracks"),
        ("IDF1", f"{identity.idf1:.3f}", "of the tracks"),
        ("switches", f"{identity.switches}", "an object got another track"),
        ("fragmentations", f"{identity.fragmentations}", "an object was lost and found again"),
        ("misses", f"{identity.misses}", "objects without a track"),
        ("false positives", f"{identity.false_positives}", "tracks without an object"),
        (
            "tracking",
            f"{figures.tracking_ms_median:.2f} ms",
            f"a frame, median; 95 % below {figures.tracking_ms_p95:.2f} ms",
        ),
    )
    for row in rows:
        table.add_row(*row)
    out.print(table)
