from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edgevision.files import check_regular, read_regular

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_file_within_the_limit_is_returned_whole(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_regular(tmp_path / "a", 5) == b"12345"


def test_a_longer_file_is_read_up_to_one_byte_above_the_limit(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    os.truncate(tmp_path / "a", 1 << 40)  # a hole: no room on the disk
    assert len(read_regular(tmp_path / "a", 5)) == 6


def _bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.mkdir(), "Is a directory"),
        (os.mkfifo, "a FIFO, not a file"),
        (lambda path: path.symlink_to("/dev/zero"), "a device, not a file"),
        (lambda path: path.symlink_to("/dev/stdin"), "not a file"),
        (_bind, "a socket, not a file"),
        (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
        (lambda _: None, "No such file or directory"),
    ],
    ids=["folder", "FIFO", "/dev/zero", "/dev/stdin", "socket", "link to itself", "absent"],
)
def test_what_is_no_file_is_refused_immediately_and_named(
    tmp_path: Path, make: Callable[[Path], object], words: str
) -> None:
    path = tmp_path / "a"
    make(path)
    for refuse in (lambda: read_regular(path, 5), lambda: check_regular(path)):
        with pytest.raises(OSError, match=r".") as caught:
            refuse()
        assert caught.value.strerror is not None
        assert caught.value.strerror.endswith(words)


def test_a_zero_character_in_a_name_is_a_fault_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="embedded null byte"):
        read_regular(tmp_path / "a\0b", 5)


def test_a_link_is_followed_unless_it_must_not_be(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("a")
    assert read_regular(tmp_path / "link", 5) == b"12345"
    with pytest.raises(OSError, match="a link, not a file"):
        read_regular(tmp_path / "link", 5, follow_links=False)


def test_a_file_that_turns_into_a_fifo_before_it_is_opened_does_not_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    os.mkfifo(path)
    monkeypatch.setattr("edgevision.files.check_regular", lambda *_, **__: None)
    with pytest.raises(OSError, match="a FIFO, not a file"):
        read_regular(path, 5)


def test_the_folder_of_a_file_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").write_bytes(b"1")
    (tmp_path / "folder").symlink_to("real")
    assert read_regular(Path(tmp_path, "folder", "a"), 5, follow_links=False) == b"1"
