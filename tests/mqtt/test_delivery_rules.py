"""What goes out over a connection and what waits, with connections that a test plays."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from edgevision.clock import ManualClock
from edgevision.config.settings import OutboxConfig
from edgevision.mqtt.connection import Answer, Connection
from edgevision.mqtt.message import Message
from edgevision.mqtt.outbox import Outbox
from edgevision.mqtt.publisher import STALL_S, STRIKES, Delivery

TOPIC = "p/yard/events"
NOT_AUTHORIZED, PAYLOAD_INVALID = 0x87, 0x99


def event(number: int, topic: str = TOPIC) -> Message:
    return Message(topic, b'{"schema_version":1,"n":%d}' % number, qos=1)


class PlayedConnection:
    """Takes what is published; a test answers."""

    def __init__(self, window: int = 20) -> None:
        self.window = window
        self.max_bytes = 1 << 20
        self.alive = True
        self.sent: list[tuple[int, dict[str, object]]] = []
        self.abandoned = ""
        self._answers: list[Answer] = []

    def publish(self, row: int, message: Message) -> bool:
        if self.alive:
            self.sent.append((row, json.loads(message.payload)))
        return self.alive

    def takes(self, message: Message) -> bool:
        return message.packet_bytes <= self.max_bytes

    def answers(self) -> list[Answer]:
        answers, self._answers = self._answers, []
        return answers

    def abandon(self, why: str) -> None:
        self.abandoned = why

    def answer(self, *, code: int = 0, count: int = 1) -> None:
        """Answer the next messages that have no answer yet."""
        for _ in range(count):
            self._answers.append(Answer(self.sent[self.answered][0], code, f"code {code:#x}"))
            self.answered += 1

    answered = 0

    @property
    def numbers(self) -> list[object]:
        return [body["n"] for _, body in self.sent]

    @property
    def link(self) -> Connection:
        return cast("Connection", self)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def outbox(tmp_path: Path, clock: ManualClock) -> Iterator[Outbox]:
    outbox = Outbox(tmp_path / "outbox.sqlite", OutboxConfig(), clock=clock)
    yield outbox
    outbox.close()


@pytest.fixture
def delivery(outbox: Outbox, clock: ManualClock) -> Delivery:
    return Delivery(outbox, clock=clock)


def test_no_more_than_the_window_is_on_its_way(outbox: Outbox, delivery: Delivery) -> None:
    outbox.commit([event(n) for n in range(9)])
    connection = PlayedConnection(window=3)
    delivery.turn(connection.link)
    assert connection.numbers == [0, 1, 2]
    connection.answer(count=2)
    delivery.turn(connection.link)
    assert connection.numbers == [0, 1, 2, 3, 4]


def test_what_a_connection_left_unanswered_is_sent_again_one_at_a_time_and_in_order(
    outbox: Outbox, delivery: Delivery
) -> None:
    outbox.commit([event(n) for n in range(6)])
    first, second = PlayedConnection(window=3), PlayedConnection(window=3)
    delivery.turn(first.link)
    first.answer()
    delivery.turn(None)
    delivery.turn(second.link)
    assert second.numbers == [1]
    for _ in range(2):
        second.answer()
        delivery.turn(second.link)
    assert second.numbers == [1, 2, 3, 4, 5]


def test_an_answer_that_came_before_the_end_of_the_connection_counts(
    outbox: Outbox, delivery: Delivery
) -> None:
    outbox.commit([event(0), event(1)])
    first, second = PlayedConnection(), PlayedConnection()
    delivery.turn(first.link)
    first.answer(count=2)
    delivery.turn(second.link)
    assert second.sent == []
    assert delivery.done == 2


def test_what_was_recorded_before_the_connection_is_marked_and_what_came_later_is_not(
    outbox: Outbox, delivery: Delivery, clock: ManualClock
) -> None:
    outbox.commit([event(0)])
    clock.advance(5)
    connection = PlayedConnection()
    delivery.turn(connection.link)
    clock.advance(5)
    outbox.commit([event(1)])
    delivery.turn(connection.link)
    assert [body.get("delayed") for _, body in connection.sent] == [True, None]


def test_a_refused_topic_waits_in_order_while_others_go_on(
    outbox: Outbox, delivery: Delivery, clock: ManualClock
) -> None:
    outbox.commit([event(0, "secret"), event(1, "secret"), event(2)])
    connection = PlayedConnection(window=1)
    delivery.turn(connection.link)
    connection.answer(code=NOT_AUTHORIZED)
    delivery.turn(connection.link)
    assert connection.numbers == [0, 2]
    assert delivery.refused == 1
    assert delivery.problems == ("the broker refuses messages on secret: code 0x87",)
    connection.answer()
    clock.advance(61)
    for _ in range(3):
        delivery.turn(connection.link)
        if connection.answered < len(connection.sent):
            connection.answer()
    delivery.turn(connection.link)
    assert connection.numbers == [0, 2, 0, 1]
    assert delivery.problems == ()


def test_a_new_connection_tries_what_was_refused_at_once(
    outbox: Outbox, delivery: Delivery
) -> None:
    outbox.commit([event(0, "secret")])
    first, second = PlayedConnection(), PlayedConnection()
    delivery.turn(first.link)
    first.answer(code=NOT_AUTHORIZED)
    delivery.turn(first.link)
    delivery.turn(first.link)
    assert first.numbers == [0]
    delivery.turn(second.link)
    assert second.numbers == [0]


def test_a_single_refused_message_does_not_hold_its_topic_back(
    outbox: Outbox, delivery: Delivery, clock: ManualClock
) -> None:
    outbox.commit([event(0), event(1)])
    connection = PlayedConnection(window=1)
    delivery.turn(connection.link)
    connection.answer(code=PAYLOAD_INVALID)
    delivery.turn(connection.link)
    assert connection.numbers == [0, 1]
    clock.advance(61)
    connection.answer()
    delivery.turn(connection.link)
    assert connection.numbers == [0, 1, 0]


def test_a_message_too_large_for_the_broker_is_dropped_counted_and_said(
    outbox: Outbox, delivery: Delivery
) -> None:
    outbox.commit([event(0, "long/" * 50), event(1), event(2)])
    connection = PlayedConnection()
    connection.max_bytes = 100
    delivery.turn(connection.link)
    assert connection.numbers == [1, 2]
    assert delivery.dropped == {"oversize": 1}
    assert delivery.done == 1
    assert "larger than the broker accepts" in delivery.problems[0]


def test_a_broker_that_acknowledges_nothing_is_given_up(
    outbox: Outbox, delivery: Delivery, clock: ManualClock
) -> None:
    outbox.commit([event(n) for n in range(3)])
    connection = PlayedConnection(window=1)
    for _ in range(2):
        delivery.turn(connection.link)
        clock.advance(STALL_S - 1)
        connection.answer()
        delivery.turn(connection.link)
        assert not connection.abandoned
    clock.advance(STALL_S + 1)
    delivery.turn(connection.link)
    assert "acknowledged nothing for 60 s" in connection.abandoned


def _play(delivery: Delivery, *, kills: int | None) -> list[object]:
    """Play one connection: every message is acknowledged but the one that kills it."""
    connection = PlayedConnection()
    for _ in range(30):
        delivery.turn(connection.link)
        pending = connection.numbers[connection.answered :]
        if kills in pending:
            connection.answer(count=pending.index(kills))
            break
        connection.answer(count=len(pending))
    delivery.turn(None)
    return connection.numbers


def test_a_message_that_ends_every_connection_is_held_back_and_the_others_get_through(
    outbox: Outbox, delivery: Delivery, clock: ManualClock
) -> None:
    outbox.commit([event(n) for n in range(6)])
    seen: list[object] = []
    for _ in range(STRIKES + 3):
        seen += _play(delivery, kills=2)
        outbox.commit(done=delivery.take_done())
    assert outbox.rows == 1
    assert [n for n in dict.fromkeys(seen) if n != 2] == [0, 1, 3, 4, 5]
    assert "the broker disconnects on a message of" in delivery.problems[0]
    assert _play(delivery, kills=2) == []  # left alone for a minute
    clock.advance(61)
    assert _play(delivery, kills=2) == [2]  # and now for two
    clock.advance(61)
    assert _play(delivery, kills=2) == []
    clock.advance(61)
    assert _play(delivery, kills=None) == [2]
    outbox.commit(done=delivery.take_done())
    assert (outbox.rows, delivery.problems) == (0, ())


def test_while_a_message_that_kills_is_tried_again_no_other_is_on_its_way(
    outbox: Outbox, delivery: Delivery, clock: ManualClock
) -> None:
    outbox.commit([event(n) for n in range(3)])
    for _ in range(STRIKES + 2):
        _play(delivery, kills=0)
        outbox.commit(done=delivery.take_done())
    assert outbox.rows == 1
    clock.advance(61)
    outbox.commit([event(n) for n in range(3, 6)])
    connection = PlayedConnection()
    delivery.turn(connection.link)
    delivery.turn(connection.link)
    assert connection.numbers == [0]
    delivery.turn(None)
    assert _play(delivery, kills=0) == [3, 4, 5]


def test_state_that_was_on_its_way_when_the_network_failed_slows_nothing_once_it_is_replaced(
    outbox: Outbox, delivery: Delivery
) -> None:
    state = Message("p/yard/status", b'{"schema_version":1,"n":0}', qos=1, retain=True)
    outbox.commit([state])
    first, second = PlayedConnection(), PlayedConnection()
    delivery.turn(first.link)
    delivery.turn(None)
    outbox.commit([state, *(event(n) for n in range(1, 6))])
    delivery.turn(second.link)
    second.answer()
    delivery.turn(second.link)
    assert second.numbers == [0, 1, 2, 3, 4, 5]


def test_a_network_that_lets_nothing_through_holds_nothing_back(
    outbox: Outbox, delivery: Delivery
) -> None:
    outbox.commit([event(n) for n in range(5)])
    for _ in range(50):
        connection = PlayedConnection()
        delivery.turn(connection.link)
        delivery.turn(None)
    assert delivery.problems == ()
    seen: list[object] = []
    for _ in range(3):
        seen += _play(delivery, kills=None)
        outbox.commit(done=delivery.take_done())
    assert sorted(seen, key=str) == [0, 1, 2, 3, 4]
    assert outbox.rows == 0
