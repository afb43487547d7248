"""What a person finds without the documents: help, completion, the default configuration."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer
import yaml
from daemons import run_command

from edgevision.cli.main import app
from edgevision.config import settings
from edgevision.config.settings import Config, bundled

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "edgevision"
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]+")

# Commands that print the messages of a function or module, other than the command of that name.
PRINTED_BY = {
    "cli/main.py:_recording": ["replay", "evaluate"],
    "cli/main.py:_checked": ["demo"],
    "cli/model.py": ["model build"],
    "cli/separable.py": ["model separable"],
    "cli/separable_plot.py": ["model separable"],
    "config/loader.py": ["run", "check-config", "watch", "replay", "evaluate", "detect", "bench"],
    "evaluation/golden.py": ["replay"],
    "model_builder/architectures.py": ["model cost"],
    "model_builder/blocks.py": ["model cost", "model names", "model build"],
    "model_builder/calibration_images.py": ["model build"],
    "model_builder/separable.py": ["model separable"],
}
# Command lines of other programs, and the start of a part of an HTTP response.
NOT_OURS = {"capture/picamera.py", "model_builder/npm_package.py", "evaluation/bench.py"}


def options() -> dict[str, set[str]]:
    """Return the options of every command, by `command` or `model command`."""
    root = typer.main.get_command(app)
    found = {}
    for name, command in root.commands.items():  # type: ignore[attr-defined]
        within = getattr(command, "commands", None)
        for path, each in (
            [(f"{name} {inner}", each) for inner, each in within.items()]
            if within
            else [(name, command)]
        ):
            found[path] = {flag for parameter in each.params for flag in parameter.opts}
    return found


def messages() -> Iterator[tuple[str, str, str]]:
    """Yield (module, function, text) of every text in the code that names an option."""
    for path in sorted(PACKAGE.rglob("*.py")):
        module = path.relative_to(PACKAGE).as_posix()
        if module in NOT_OURS:
            continue
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(function, ast.FunctionDef):
                continue
            for statement in function.body:  # without the annotations, which declare options
                if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                    continue  # the docstring
                for node in ast.walk(statement):
                    if isinstance(node, ast.Constant) and isinstance(node.value, str):
                        text = node.value
                        if OPTION.search(text) and not text.startswith("--config"):
                            yield module, function.name, text


def test_every_option_that_a_message_names_is_one_of_its_command() -> None:
    known = options()
    seen = 0
    for module, function, text in messages():
        own = PRINTED_BY.get(f"{module}:{function}") or PRINTED_BY.get(module)
        commands = own or [function if module == "cli/main.py" else Path(module).stem]
        for option in OPTION.findall(text):
            for command in commands:
                assert option in known[command], f"{module}: {command}: {text}"
            seen += 1
    assert seen > 20


def test_a_missing_configuration_can_be_given_as_the_message_says(tmp_path: Path) -> None:
    done = run_command("check-config", str(tmp_path / "absent.yaml"))
    assert "give a file with --config" in done.stderr
    assert run_command("check-config", "--config", str(ROOT / "config.yaml")).returncode == 0


def test_help_lists_the_commands_in_four_groups() -> None:
    lines = run_command("--help", COLUMNS="100").stdout
    titles = re.findall(r"^╭─ (.+?) ─", lines, re.MULTILINE)
    assert titles[-4:] == [
        "Run the service",
        "Look at what it sees",
        "Prove and measure",
        "Models",
    ]
    assert "Commands" not in titles


def test_bash_completes_a_command() -> None:
    start = "import sys; sys.argv[0] = 'edgevision'; from edgevision.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", start],
        env={
            **os.environ,
            "_EDGEVISION_COMPLETE": "complete_bash",
            "COMP_WORDS": "edgevision ch",
            "COMP_CWORD": "1",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout.split() == ["check-config"]


def test_config_prints_the_commented_default_configuration() -> None:
    done = run_command("config")
    assert done.stdout == (ROOT / "config.yaml").read_text(encoding="utf-8")
    assert Config.model_validate(yaml.safe_load(done.stdout))


def test_the_default_configuration_of_a_wheel_lies_among_its_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "site-packages" / "edgevision" / "data"
    data.mkdir(parents=True)
    monkeypatch.setattr(settings, "DATA_FOLDER", data)
    assert bundled("config.yaml") == data / "config.yaml"
    included = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert '"config.yaml" = "edgevision/data/config.yaml"' in included
