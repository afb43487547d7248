from __future__ import annotations

from pathlib import Path

import pytest

from edgevision.errors import SourceError
from edgevision.nets.pedestrians import read_ground_truth


def test_rows_become_corners_by_frame_and_ignored_rows_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "gt.txt"
    path.write_text("1,7,10,20,30,40,1,0,0,0\n1,8,1,1,1,1,0,0,0,0\n3,7,0,0,5,6,1,0,0,0\n")
    truth = read_ground_truth(path)
    assert {frame: corners.tolist() for frame, corners in truth.items()} == {
        1: [[10, 20, 40, 60]],
        3: [[0, 0, 5, 6]],
    }


@pytest.mark.parametrize("content", ["", "1,2,3\n", "frame,id\n", "\x89PNG"])
def test_other_text_is_refused_as_ground_truth(tmp_path: Path, content: str) -> None:
    path = tmp_path / "gt.txt"
    path.write_text(content)
    with pytest.raises(SourceError, match=r"gt\.txt: expected"):
        read_ground_truth(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gt\.txt: expected MOTChallenge ground truth"):
        read_ground_truth(tmp_path / "gt.txt")
