"""Emulated ARM. Each file takes minutes, so it runs only where it is named: `make test-arm`."""

from __future__ import annotations

collect_ignore_glob = ["test_*.py"]
