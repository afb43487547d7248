"""The entry point: `edgevision` and `python -m edgevision`.

A module of its own because `python -m edgevision` starts it.
"""

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line; Ctrl-C exits with 130, even while the modules are loading."""
    try:
        from edgevision.cli.main import main as command_line  # noqa: PLC0415

        command_line()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
