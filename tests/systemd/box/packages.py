"""The pinned packages as files, because there is no network in a box."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]
SYSTEM_PYTHON = "/usr/bin/python3"


def download_packages() -> Path:
    """Fetch what install.sh installs, for the system's Python, once; return the folder."""
    constraints, project = REPOSITORY / "constraints.txt", REPOSITORY / "pyproject.toml"
    digest = hashlib.sha256(constraints.read_bytes() + project.read_bytes()).hexdigest()
    folder = REPOSITORY / ".cache" / f"wheels-{digest[:12]}"
    if folder.exists():
        return folder
    tree = tomllib.loads(project.read_text(encoding="utf-8"))
    wanted = ["pip", "editables", *tree["build-system"]["requires"]]
    wanted += tree["project"]["dependencies"]
    unfinished = folder.with_suffix(".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "--python", SYSTEM_PYTHON, "--disable-pip-version-check"]
    options = ["--quiet", "--only-binary=:all:", "-d", unfinished, "-c", constraints]
    subprocess.run([*pip, "download", *options, *wanted], check=True)
    return unfinished.rename(folder)


if __name__ == "__main__":
    download_packages()
