from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgevision.errors import SourceError
from edgevision.evaluation import ground_truth
from edgevision.evaluation.ground_truth import GroundTruth, read_ground_truth


def read(folder: Path, text: str, label: str = "Person") -> GroundTruth:
    path = folder / "gt.txt"
    path.write_text(text)
    return read_ground_truth(path, label)


def test_rows_become_corners_and_ids_by_frame_and_ignored_rows_are_left_out(
    tmp_path: Path,
) -> None:
    truth = read(tmp_path, "1,7,10,20,30,40,1,0,0,0\n1,8,1,1,1,1,0,0,0,0\n3,7,0,0,5,6,1,0,0,0\n")
    assert {frame: there.boxes.tolist() for frame, there in truth.frames.items()} == {
        1: [[10, 20, 40, 60]],
        3: [[0, 0, 5, 6]],
    }
    assert truth.at(1).ids.tolist() == [7]
    assert truth.at(2).boxes.shape == (0, 4)
    assert truth.last_frame == 3


def test_rows_may_stand_in_any_order(tmp_path: Path) -> None:
    truth = read(tmp_path, "2,1,0,0,5,6,1\n1,2,0,0,5,6,1\n1,1,9,9,5,6,1\n")
    assert [truth.at(frame).ids.tolist() for frame in (1, 2)] == [[1, 2], [1]]


CLASSES = "1,1,0,0,5,6,1,1,1.0\n1,2,9,9,5,6,1,3,1.0\n1,3,20,20,5,6,1,12,0.5\n"


@pytest.mark.parametrize(("label", "ids"), [("Person", [1]), ("Car", [2]), ("Cat", [1, 2, 3])])
def test_of_rows_with_a_class_those_of_the_label_count_and_all_where_it_has_none(
    tmp_path: Path, label: str, ids: list[int]
) -> None:
    assert read(tmp_path, CLASSES, label).at(1).ids.tolist() == ids


@pytest.mark.parametrize(
    "content",
    [
        "",
        "1,2,3\n",
        "frame,id\n",
        "frame,id,x,y,w,h,used\n",
        "\x89PNG",
        "1,1,0,0,5,6,1\n1,1,0\n",
        "1," * 20,
        "#,,,,,,\n",
    ],
)
def test_other_text_is_refused_as_ground_truth(tmp_path: Path, content: str) -> None:
    with pytest.raises(SourceError, match=r"gt\.txt: expected"):
        read(tmp_path, content)


@pytest.mark.parametrize(
    "row",
    ["0,1,0,0,5,6,1", "1.5,1,0,0,5,6,1", "1,1,nan,0,5,6,1", "1,1,0,0,0,6,1", "1e12,1,0,0,5,6,1"],
)
def test_a_row_that_is_no_object_is_refused_with_its_number(tmp_path: Path, row: str) -> None:
    with pytest.raises(SourceError, match=r"box with an area, got .* in row 2$"):
        read(tmp_path, f"1,1,0,0,5,6,1\n{row}\n")


def test_an_object_that_is_twice_in_a_frame_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="got id 4 twice in frame 2"):
        read(tmp_path, "1,4,0,0,5,6,1\n2,4,0,0,5,6,1\n2,4,9,9,5,6,1\n")


def test_a_truth_in_which_nothing_counts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="expected objects of the label Cat, got none"):
        read(tmp_path, "1,4,0,0,5,6,0\n", "Cat")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gt\.txt: expected MOTChallenge ground truth"):
        read_ground_truth(tmp_path / "gt.txt", "Person")


def test_a_file_that_is_too_large_is_not_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ground_truth, "MAX_BYTES", 1 << 20)
    with pytest.raises(SourceError, match="of at most 1 MiB"):
        read(tmp_path, "1,1,0,0,5,6,1\n" * 100_000)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    st.lists(
        st.lists(st.sampled_from(["1", "2", "-1", "0", "1e9", "nan", "", " ", "x"]), max_size=11)
    ).map(lambda rows: "\n".join(",".join(row) for row in rows).encode())
    | st.binary(max_size=200)
)
def test_whatever_is_in_the_file_it_is_read_or_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "gt.txt"
    path.write_bytes(content)
    try:
        truth = read_ground_truth(path, "Person")
    except SourceError as error:
        assert str(error).startswith(f"{path}: expected")  # noqa: PT017 - both ways are right
    else:
        assert all(there.boxes.shape == (len(there.ids), 4) for there in truth.frames.values())
