"""The documents against the code: links, commands, options, make targets, the example event."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
import typer

from edgevision.cli.main import app
from edgevision.mqtt.contract import schema

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DOCUMENTS = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
EACH = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)

LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
COMMAND = re.compile(r"\bedgevision ((?:model )?[a-z][a-z-]*)((?: [^\n|`]*)?)")
TARGET = re.compile(r"\bmake ([a-z][a-z0-9-]*)")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]+")


def commands() -> dict[str, set[str]]:
    """Return the options of each command, by `command` or `model command`."""
    root = typer.main.get_command(app)
    found = {}
    for name, command in root.commands.items():  # type: ignore[attr-defined]
        for inner, each in getattr(command, "commands", {"": command}).items():
            flags = {flag for parameter in each.params for flag in parameter.opts}
            found[f"{name} {inner}".strip()] = flags
    return found


def anchors(document: Path) -> set[str]:
    """Return the fragments of a document's headings, as forges make them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


def code(text: str) -> str:
    """Return what a document shows as code: indented, fenced or in backticks."""
    text, fenced = (
        re.sub(r"```.*?```", "", text, flags=re.DOTALL),
        re.findall(r"```.*?```", text, flags=re.DOTALL),
    )
    indented = [line for line in text.splitlines() if line.startswith("    ")]
    # A command in backticks may be broken over two lines.
    spans = CODE.findall(re.sub(r"(?<=\w)\n(?=\w)", " ", text))
    return "\n".join([*fenced, *indented, *spans]).replace("\\\n", " ")


def test_the_readme_has_at_most_900_words() -> None:
    assert len(README.read_text(encoding="utf-8").split()) <= 900


@EACH
def test_every_relative_link_resolves(document: Path) -> None:
    for link in LINK.findall(document.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        path, _, fragment = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), f"{document.name}: {link}"
        assert not fragment or fragment in anchors(target), f"{document.name}: {link}"


@EACH
def test_every_command_and_option_that_is_named_exists(document: Path) -> None:
    known = commands()
    for name, rest in COMMAND.findall(code(document.read_text(encoding="utf-8"))):
        assert name in known, f"{document.name}: edgevision {name}"
        for option in OPTION.findall(rest.split(" && ")[0].split("#")[0]):
            assert option in known[name], f"{document.name}: edgevision {name} {option}"


@EACH
def test_every_make_target_that_is_named_exists(document: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", makefile, re.MULTILINE))
    named = set(TARGET.findall(code(document.read_text(encoding="utf-8"))))
    assert named <= targets


def test_the_commands_page_lists_every_command_and_only_options_they_have() -> None:
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    rows = {}
    for row in re.findall(r"^\| (`.+)$", text, re.MULTILINE):
        name = re.match(r"`((?:model )?[a-z-]+)", row.replace("\\|", "/"))
        if name:
            rows[name[1]] = set(OPTION.findall(row))
    known = commands()
    assert rows.keys() == known.keys()
    for name, options in rows.items():
        assert options <= known[name]


def test_the_readmes_event_is_one_of_the_contract() -> None:
    example = re.search(r"```json\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert example
    jsonschema.validate(json.loads(example[1]), schema() | {"$ref": "#/$defs/ObjectEventMessage"})


def test_the_architecture_reads_in_ten_minutes() -> None:
    assert len((ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").split()) <= 2200
