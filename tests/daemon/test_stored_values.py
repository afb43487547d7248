from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevision.daemon.uplink import OPEN, message_of, messages_in, value_of
from edgevision.mqtt.message import Message

END = Message("p/yard/events", b'{"schema_version":1,"type":"end"}', qos=1)


@given(
    topic=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="+#\0"), min_size=1),
    payload=st.binary(),
    qos=st.integers(0, 1),
    flag=st.booleans(),
)
def test_any_message_comes_back_from_its_value(
    topic: str, payload: bytes, qos: int, *, flag: bool
) -> None:
    message = Message(topic, payload, qos, flag)
    assert message_of(value_of(message)) == message


@given(at=st.integers(0, len(value_of(END)) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_is_noticed(at: int, bit: int) -> None:
    value = bytearray(value_of(END))
    value[at] ^= 1 << bit
    with pytest.raises(ValueError, match="expected a message, got"):
        message_of(bytes(value))


@pytest.mark.parametrize(
    "value",
    [b"", b"\n", b"[]\n", b"{}\n", b"[1, 2, 3, 4]\n", b"[" * 100_000 + b"\n", b"\xff\nx", b"7"],
)
def test_what_is_no_message_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match="expected a message, got"):
        message_of(value)


def test_damaged_values_are_left_out_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    values = {f"{OPEN}a": value_of(END), f"{OPEN}b": value_of(END)[:-1], "lines/yard": b"{}"}
    assert messages_in(values) == {f"{OPEN}a": END}
    damaged = len(value_of(END)) - 1
    assert caplog.messages == [
        f"outbox: the value of open/b is ignored: expected a message, got {damaged} damaged bytes"
    ]
