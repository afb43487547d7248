"""The command line. Each command imports only what it runs, so `--help` is fast."""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import typer
from typer.core import TyperGroup

from edgevision import __version__, limit_blas
from edgevision.cli.model_app import JsonOption, model_app
from edgevision.config.camera import CameraConfig
from edgevision.config.loader import load_config, with_places
from edgevision.config.settings import Config, bundled
from edgevision.errors import ConfigError, EdgevisionError, SourceError, UsageError

# The groups of `--help`, in their order there.
RUN = "Run the service"
LOOK = "Look at what it sees"
PROVE = "Prove and measure"
MODELS = "Models"
DEFAULT_CONFIG = Path("config.yaml")
REPLAYED = "replay"


class _ModelsLast(TyperGroup):
    """Lists `model` after the commands; typer would list a group of commands first."""

    def list_commands(self, ctx: object) -> list[str]:  # noqa: ARG002 - typer passes it
        """Return the names in the order in which the panels of `--help` come."""
        return sorted(self.commands, key=lambda name: name == "model")


app = typer.Typer(
    name="edgevision",
    help="Real-time object detection for small ARM boards, published over MQTT.",
    no_args_is_help=True,
    cls=_ModelsLast,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# readable=False: an unreadable file is a configuration error, with its own exit status.
ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", readable=False, help="Configuration file.")
]

OptionalConfig = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", readable=False, help="Configuration file; default: built-in settings."
    ),
]

ModelOption = Annotated[
    Path | None, typer.Option("--model", help="Model folder instead of the configured one.")
]

MinScore = Annotated[
    float | None,
    typer.Option(
        min=0.001, max=0.999, help="Lowest score to report, instead of the configured ones."
    ),
]

Recording = Annotated[Path, typer.Argument(help="A video file or a folder of images.")]

CameraOption = Annotated[
    str, typer.Option(help="Camera in the configuration whose settings apply.")
]

app.add_typer(model_app, name="model", rich_help_panel=MODELS)


def _print_version(asked: bool) -> None:  # noqa: FBT001 - typer passes the value
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Real-time object detection for small ARM boards, published over MQTT."""


@app.command(rich_help_panel=RUN)
def run(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Run the service until SIGTERM or Ctrl-C."""
    settings = load_config(config, os.environ)
    limit_blas(settings.runtime.thread_count, os.environ)

    from edgevision.cli.console import set_up_logging
    from edgevision.daemon.daemon import Daemon

    set_up_logging(settings.log_level, journal="JOURNAL_STREAM" in os.environ)
    try:
        daemon = Daemon(settings, file=config)
    except ConfigError as error:
        raise with_places(config, error) from None
    daemon.listen_to_signals()
    daemon.run()
    # A read stuck in a driver must not delay the exit: everything is done.
    sys.stderr.flush()
    os._exit(0)


@app.command("check-config", rich_help_panel=RUN)
def check_config(
    file: Annotated[
        Path | None,
        typer.Argument(readable=False, help="Configuration file; default: that of --config."),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    *,
    as_json: JsonOption = False,
) -> None:
    """Check a configuration, its model, labels, certificates and password file."""
    from edgevision.cli.check import check

    check(file or config, as_json=as_json)


@app.command("config", rich_help_panel=RUN)
def print_config() -> None:
    """Print the default configuration, with every key explained."""
    sys.stdout.write(bundled("config.yaml").read_text(encoding="utf-8"))


@app.command(rich_help_panel=RUN)
def schema(
    what: Annotated[
        Literal["config", "mqtt", "asyncapi"], typer.Argument(help="Which document to print.")
    ],
) -> None:
    """Print the JSON Schema of the configuration or of the MQTT payloads, or the AsyncAPI."""
    from edgevision.cli.check import schema_document

    typer.echo(json.dumps(schema_document(what), indent=2))


@app.command(rich_help_panel=LOOK)
def demo(
    source: Annotated[
        str | None, typer.Option(help="0 for a webcam, a URL or a file; default: the bundled clip.")
    ] = None,
    *,
    loop: Annotated[bool, typer.Option("--loop", help="Repeat until Ctrl-C.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Run broker, daemon, recording and subscriber on this machine."""
    from edgevision.cli.demo import DemoOptions, demo

    demo(DemoOptions(source, loop, as_json))


@app.command(rich_help_panel=LOOK)
def watch(
    config: ConfigOption = DEFAULT_CONFIG,
    seconds: Annotated[float | None, typer.Option(help="Stop after this many seconds.")] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Subscribe to a board's topics and show what arrives."""
    from edgevision.cli.watch import watch

    watch(load_config(config, os.environ), as_json=as_json, seconds=seconds)


@app.command(rich_help_panel=LOOK)
def detect(
    images: Annotated[list[Path], typer.Argument(help="Image files.")],
    config: OptionalConfig = None,
    model: ModelOption = None,
    min_score: MinScore = None,
    annotate: Annotated[
        Path | None, typer.Option(help="Also write the images with boxes into this folder.")
    ] = None,
) -> None:
    """Print the objects in images, one JSON line each."""
    from edgevision.cli.detect import detect

    faults = detect(_settings(config, model, min_score), images, annotate=annotate)
    if faults:
        raise SourceError("\n".join(str(fault) for fault in faults))


@app.command(rich_help_panel=PROVE)
def replay(
    recording: Recording,
    config: OptionalConfig = None,
    camera: CameraOption = REPLAYED,
    model: ModelOption = None,
    min_score: MinScore = None,
    annotate: Annotated[
        Path | None, typer.Option(help="Also write a video with boxes drawn in (.mp4).")
    ] = None,
    start: Annotated[
        datetime, typer.Option(help="Time of day of the first frame, UTC.")
    ] = datetime(1970, 1, 1),  # noqa: DTZ001 - typer parses naive times
    *,
    golden: Annotated[
        Path | None,
        typer.Option(help="Compare the events with this stored run; exit status 1 if any differ."),
    ] = None,
    tolerance_ms: Annotated[
        float, typer.Option(min=0, help="Events that moved by no more than this count as equal.")
    ] = 200.0,
    mqtt: Annotated[bool, typer.Option("--mqtt", help="Publish instead of printing.")] = False,
    events: Annotated[
        bool, typer.Option("--events", help="Print events instead of detections.")
    ] = False,
    update_golden: Annotated[
        bool, typer.Option("--update-golden", help="Store the events in the --golden file.")
    ] = False,
) -> None:
    """Process every frame of a recording and print the messages as JSON lines."""
    from edgevision.cli.replay import Golden, ReplayOptions, replay

    if golden is None and update_golden:
        msg = "--update-golden: expected --golden FILE with it, got none"
        raise UsageError(msg)
    if golden is not None and mqtt:
        msg = "--golden: expected no --mqtt with it, got both; compare or publish"
        raise UsageError(msg)

    settings = _settings(config, model, min_score)
    source = _recording(settings, recording, camera, configured=config is not None)
    if start.year > 9000:
        msg = f"--start: expected a time before the year 9000, got {start}"
        raise UsageError(msg)
    options = ReplayOptions(
        camera,
        start.replace(tzinfo=UTC),
        annotate,
        mqtt,
        events or golden is not None,
        None if golden is None else Golden(golden, tolerance_ms, update_golden),
    )
    if not replay(settings, source, options):
        raise typer.Exit(1)


@app.command(rich_help_panel=PROVE)
def evaluate(
    recording: Recording,
    truth: Annotated[Path, typer.Option(help="Ground truth in MOTChallenge's format (gt.txt).")],
    label: Annotated[
        str, typer.Option(help="Label of the objects in the ground truth.")
    ] = "Person",
    config: OptionalConfig = None,
    camera: CameraOption = REPLAYED,
    model: ModelOption = None,
    min_score: MinScore = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Evaluate detections and tracks of a recording against ground truth (extra `evaluate`)."""
    from edgevision.cli.evaluate import EvaluateOptions, evaluate

    settings = _settings(config, model, min_score)
    source = _recording(settings, recording, camera, configured=config is not None)
    evaluate(settings, source, EvaluateOptions(camera, truth, label, as_json))


@app.command(rich_help_panel=PROVE)
def bench(
    recording: Annotated[
        Path | None, typer.Argument(help="Recording to measure with; default: the bundled clip.")
    ] = None,
    config: OptionalConfig = None,
    model: ModelOption = None,
    threads: Annotated[str, typer.Option(help="Thread counts to compare, as in 1,2,4.")] = "",
    frames: Annotated[int, typer.Option(min=10, help="Number of frames to measure.")] = 200,
    backend: Annotated[
        Literal["auto", "onnxruntime", "numpy"] | None,
        typer.Option(help="Inference engine instead of the configured one."),
    ] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Measure this machine: every stage, the whole path, threads, memory, start-up."""
    limit_blas(1, os.environ, force=True)

    from edgevision.cli.bench import BenchOptions, bench

    settings = _settings(config, model, None)
    if backend is not None:
        settings = settings.model_copy(update={"backend": backend})
    bench(settings, BenchOptions(recording, threads, frames, as_json))


def _recording(settings: Config, recording: Path, camera: str, *, configured: bool) -> CameraConfig:
    """Return the recording as a source with the settings of the named camera."""
    own = settings.cameras.get(camera)
    if own is None and camera != REPLAYED:
        known = ", ".join(settings.cameras) if configured else "none without --config"
        msg = f"--camera: expected a camera in the configuration ({known}), got {camera!r}"
        raise UsageError(msg)
    source = CameraConfig.model_validate({"source": str(recording.absolute())})
    return source if own is None else own.model_copy(update={"source": source.source})


def _settings(path: Path | None, model: Path | None, min_score: float | None) -> Config:
    """Return the configuration of a command that needs no camera, with its options applied."""
    if path is not None:
        settings = load_config(path, os.environ)
    else:
        settings = Config.model_validate({"cameras": {"none": {"source": "0"}}})
    changed: dict[str, Any] = {}
    if model is not None:
        changed["model"] = model
    if min_score is not None:
        score = {"min_score": min_score, "label_min_score": {}}
        changed["detection"] = settings.detection.model_copy(update=score)
        changed["cameras"] = {
            name: camera
            if camera.detection is None
            else camera.model_copy(update={"detection": camera.detection.model_copy(update=score)})
            for name, camera in settings.cameras.items()
        }
    return settings.model_copy(update=changed)


def main() -> NoReturn:
    """Run the command line; every known error is one line on stderr and an exit status."""
    # Commands without logging print their errors themselves, once.
    logging.getLogger("edgevision").addHandler(logging.NullHandler())
    try:
        app()
    except EdgevisionError as error:
        from edgevision.cli.console import plain

        lines = (plain(line) for line in str(error).split("\n"))
        sys.stderr.write("".join(f"edgevision: {line}\n" for line in lines))
        sys.exit(error.exit_status)
    except BrokenPipeError:  # the reader of our output has exited, as in `… | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if sys.flags.dev_mode:
            raise
        text = f"unexpected error: {type(error).__name__}: {error}"
        sys.stderr.write(f"edgevision: {text}; run with PYTHONDEVMODE=1 for details\n")
        sys.exit(1)
    sys.exit(0)
