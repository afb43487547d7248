"""Pictures that wait for the broker."""

from __future__ import annotations

from edgevision.daemon.uplink import MAX_BYTES, Pictures
from edgevision.mqtt.message import Message


def picture(topic: str, content: bytes = b"jpeg") -> Message:
    return Message(topic, content, retain=True)


class Broker:
    """Takes a number of messages, then none."""

    def __init__(self, takes: int) -> None:
        self.takes = takes
        self.got: list[Message] = []

    def send(self, message: Message) -> bool:
        if len(self.got) == self.takes:
            return False
        self.got.append(message)
        return True


def test_a_picture_waits_until_the_broker_takes_it_and_is_sent_once() -> None:
    pictures, away, there = Pictures(), Broker(0), Broker(9)
    pictures.add(picture("cat"))
    pictures.send(away.send)
    for _ in range(2):
        pictures.send(there.send)
    assert there.got == [picture("cat")]


def test_of_several_pictures_on_a_topic_only_the_newest_is_sent() -> None:
    pictures, broker = Pictures(), Broker(9)
    pictures.add(picture("cat", b"old"))
    pictures.add(picture("cat", b"new"))
    pictures.send(broker.send)
    assert [message.payload for message in broker.got] == [b"new"]


def test_a_broker_that_takes_one_at_a_time_gets_all_of_them() -> None:
    pictures, got = Pictures(), []
    for topic in ("cat", "dog", "person"):
        pictures.add(picture(topic))
    for _ in range(3):
        broker = Broker(1)
        pictures.send(broker.send)
        got += broker.got
    assert [message.topic for message in got] == ["cat", "dog", "person"]


def test_a_broker_that_has_lost_its_memory_gets_them_again() -> None:
    pictures, broker = Pictures(), Broker(9)
    pictures.add(picture("cat"))
    pictures.send(broker.send)
    pictures.send_again()
    pictures.send(broker.send)
    assert len(broker.got) == 2


def test_too_many_bytes_push_out_the_oldest_and_count_those_never_sent() -> None:
    pictures, broker = Pictures(), Broker(9)
    third = bytes(MAX_BYTES // 3)
    pictures.add(picture("sent", third))
    pictures.send(broker.send)
    for topic in ("lost", "kept", "new"):
        pictures.add(picture(topic, third))
    assert pictures.dropped == 1
    pictures.send_again()
    broker.got.clear()
    pictures.send(broker.send)
    assert [message.topic for message in broker.got] == ["kept", "new"]


def test_a_picture_of_a_camera_that_has_gone_is_not_sent_again() -> None:
    pictures, broker = Pictures(), Broker(9)
    for topic in ("yard/cat", "door/cat"):
        pictures.add(picture(topic))
    pictures.keep_only(frozenset({"door/cat"}))
    pictures.send(broker.send)
    assert [message.topic for message in broker.got] == ["door/cat"]
