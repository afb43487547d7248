"""Counters of lines as key-values."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevision.daemon.uplink import counter_values, counts_in
from edgevision.events import LineCount

SINCE = datetime(2026, 1, 1, 12, tzinfo=UTC)
GATE = LineCount("yard", "gate", "street", "yard", 3, 4, SINCE)


@given(forward=st.integers(0, 10**12), backward=st.integers(0, 10**12))
def test_a_counter_comes_back_as_it_was(forward: int, backward: int) -> None:
    count = LineCount("yard", "gate", "street", "yard", forward, backward, SINCE)
    assert counts_in({**counter_values(count), "open/1": b"other"}) == [count]


@pytest.mark.parametrize(
    "value", [b"", b"{}", b"[]", b"null", b'{"forward": -1}', b"\xff", b"[" * 10_000]
)
def test_a_damaged_counter_is_left_out_and_logged(
    value: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    assert counts_in({"line/yard/gate": value}) == []
    assert "the value of line/yard/gate is damaged" in caplog.text


@pytest.mark.parametrize(
    ("old", "new"), [(b'"forward": 3', b'"forward": -3'), (b'"yard"', b"7"), (b"+00:00", b"")]
)
def test_a_counter_with_another_kind_of_value_is_left_out(old: bytes, new: bytes) -> None:
    ((key, value),) = counter_values(GATE).items()
    assert old in value
    assert counts_in({key: value.replace(old, new)}) == []
