"""Where the commands print: results to stdout, everything else to stderr."""

from __future__ import annotations

import json
import logging
import re
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rich.progress import TaskID
    from rich.table import Table

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)
WIDE = 112
JOURNAL_PRIORITIES = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}
# Characters that JSON need not escape but that are not text: control characters and surrogates.
_NO_TEXT = re.compile(r"[\x7f-\x9f\ud800-\udfff]")


class _JournalFormatter(logging.Formatter):
    """Prefixes each line with its syslog priority, see sd-daemon(3); the journal adds the time."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        prefix = f"<{JOURNAL_PRIORITIES.get(record.levelname, 5)}>"
        return "\n".join(prefix + line for line in text.splitlines())


def set_up_logging(level: str, *, journal: bool) -> None:
    """Log to stderr, in the journal's form under systemd."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        _JournalFormatter("%(message)s")
        if journal
        else logging.Formatter("%(asctime)s %(levelname)s %(message)s")
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def plain(text: str) -> str:
    """Return untrusted text with control characters shown as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def print_json(value: object) -> None:
    """Print one value as one line of JSON."""
    text = _NO_TEXT.sub(lambda c: f"\\u{ord(c[0]):04x}", json.dumps(value, ensure_ascii=False))
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def print_lines(lines: Iterable[str]) -> None:
    """Print lines without interpreting markup."""
    for line in lines:
        out.print(line, markup=False)


def print_wide(table: Table) -> None:
    """Print a table of many columns; a narrow terminal wraps its lines instead of cutting them."""
    Console(highlight=False, width=max(out.width, WIDE)).print(table)


@contextmanager
def step_progress() -> Iterator[Callable[[str, int, int], None]]:
    """Yield a function that takes (step, done, total) and shows the progress of each step."""
    with progress_bar() as bar:
        tasks: dict[str, TaskID] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total)

        yield show


def progress_bar() -> Progress:
    """Return a progress bar on stderr; it draws nothing unless stderr is a terminal."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )
