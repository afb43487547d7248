"""Two runs over one recording, compared event by event."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevision.errors import OutputError, SourceError
from edgevision.evaluation.golden import (
    RecordedEvent,
    differences,
    read_event,
    read_golden,
    write_golden,
)

START = datetime(2026, 1, 1, tzinfo=UTC)


def event(what: str, at_s: float) -> RecordedEvent:
    return RecordedEvent(what, START + timedelta(seconds=at_s))


EVENTS = st.lists(
    st.builds(event, st.sampled_from(["new Person", "end Person"]), st.floats(0, 100)), max_size=20
)


def words(old: list[RecordedEvent], new: list[RecordedEvent], tolerance_ms: float) -> list[str]:
    return [str(each) for each in differences(old, new, tolerance_ms=tolerance_ms)]


def test_an_event_more_an_event_less_and_a_later_one_are_told_in_order_of_time() -> None:
    old = [event("new Person", 1), event("zone enter drive Person", 20), event("end Person", 40)]
    new = [event("new Cat", 0.5), event("new Person", 1), event("end Person", 41)]
    assert words(old, new, 200) == [
        "+ 00:00:00.500  new Cat",
        "- 00:00:20.000  zone enter drive Person",
        "~ 00:00:41.000  end Person  +1000 ms",
    ]


def test_a_move_within_the_tolerance_is_no_change() -> None:
    assert words([event("new Person", 1)], [event("new Person", 1.2)], 200) == []
    assert words([event("new Person", 1)], [event("new Person", 0.79)], 200) == [
        "~ 00:00:00.790  new Person  -210 ms"
    ]


def test_an_event_that_is_missing_in_between_is_not_taken_for_a_move_of_all_later_ones() -> None:
    old = [event("new Person", at) for at in (1, 20, 40, 60)]
    assert words(old, [old[0], *old[2:]], 200) == ["- 00:00:20.000  new Person"]


@given(events=EVENTS)
def test_a_run_does_not_differ_from_itself(events: list[RecordedEvent]) -> None:
    assert differences(events, events, tolerance_ms=0) == []


@given(old=EVENTS, new=EVENTS)
def test_what_is_more_and_less_explains_the_difference_in_number(
    old: list[RecordedEvent], new: list[RecordedEvent]
) -> None:
    signs = [each.sign for each in differences(old, new, tolerance_ms=100)]
    assert len(new) - len(old) == signs.count("+") - signs.count("-")


def test_a_line_of_another_kind_is_refused_with_its_number(tmp_path: Path) -> None:
    file = tmp_path / "golden.jsonl"
    file.write_text('{"type":"new"}\n')
    with pytest.raises(SourceError, match=r"golden\.jsonl:1: expected an event"):
        read_golden(file)
    with pytest.raises(SourceError, match="--update-golden"):
        read_golden(tmp_path / "none.jsonl")
    with pytest.raises(OutputError, match="cannot be written"):
        write_golden(tmp_path / "no" / "folder.jsonl", [])


@pytest.mark.parametrize("line", [b"1", b"[]", b"null", b'{"type": 3}', b'{"type": "new"}', b"{"])
def test_what_is_no_event_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_event(line)


def test_a_line_crossing_is_told_with_its_direction() -> None:
    line = (
        b'{"type":"line","line":"gate","from":"street","to":"yard","object":{"label":"Person"},'
        b'"occurred_at":"2026-01-01T00:00:01.500000Z"}'
    )
    assert str(read_event(line)) == "00:00:01.500  line gate street to yard Person"
