from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgevision.errors import StateInUseError
from edgevision.files import StateFolder


def test_a_missing_state_folder_is_created_for_its_owner_alone(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "a" / "b")
    assert folder.path.stat().st_mode & 0o777 == 0o700
    folder.close()


def test_a_second_service_on_a_state_folder_is_refused_with_what_to_do(tmp_path: Path) -> None:
    first = StateFolder(tmp_path)
    with pytest.raises(StateInUseError, match="another edgevision uses; stop that one, or set"):
        StateFolder(tmp_path)
    first.close()
    StateFolder(tmp_path).close()


def test_a_killed_service_leaves_no_lock_behind(tmp_path: Path) -> None:
    script = (
        "import sys, time, pathlib\n"
        "from edgevision.files import StateFolder\n"
        "folder = StateFolder(pathlib.Path(sys.argv[1]))\n"
        "print('locked', flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        with pytest.raises(StateInUseError):
            StateFolder(tmp_path)
        other.kill()
        other.wait(10)
    StateFolder(tmp_path).close()


def test_a_refused_service_keeps_no_file_open(tmp_path: Path) -> None:
    first = StateFolder(tmp_path)
    before = len([*Path("/proc/self/fd").iterdir()])
    with pytest.raises(StateInUseError):
        StateFolder(tmp_path)
    assert len([*Path("/proc/self/fd").iterdir()]) == before
    first.close()


def test_a_folder_that_cannot_be_created_is_logged_and_not_fatal(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "file"
    file.write_text("in the way", encoding="ascii")
    StateFolder(file / "state").close()
    assert f"state folder {file}/state cannot be used (Not a directory)" in caplog.messages
