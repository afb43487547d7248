"""`python -m edgevision`."""

from edgevision.cli.main import main

main()
