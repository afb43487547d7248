"""State at the broker: told when it changes, taken back when its subject has gone."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from edgevision.daemon.retained_state import RetainedTopics
from edgevision.mqtt.message import Message


class Store:
    """A broker and the key-values, as they are once everything has been delivered."""

    def __init__(self) -> None:
        self.retained: dict[str, bytes] = {}
        self.values: dict[str, bytes] = {}
        self.recorded = 0

    def record(self, message: Message | None, values: Mapping[str, bytes | None], /) -> None:
        if message is not None:
            assert message.retain
            assert message.qos == 1
            self.recorded += 1
            self.retained[message.topic] = message.payload
            if not message.payload:
                del self.retained[message.topic]
        for key, value in values.items():
            self.values.pop(key, None)
            if value is not None:
                self.values[key] = value


def state(topic: str, text: str) -> Message:
    return Message(topic, text.encode(), qos=1, retain=True)


def test_a_state_is_recorded_once_and_again_only_when_it_changes() -> None:
    store, retained = Store(), RetainedTopics({})
    for text in ("1", "1", "2", "2"):
        retained.want_only([state("yard/count", text)])
        retained.publish(store.record, everything=False)
    assert store.recorded == 2
    assert store.retained == {"yard/count": b"2"}


def test_after_a_connection_everything_is_recorded_again() -> None:
    store, retained = Store(), RetainedTopics({})
    retained.want_only([state("a", "1"), state("b", "2")])
    retained.publish(store.record, everything=False)
    store.retained.clear()
    retained.publish(store.record, everything=True)
    assert store.retained == {"a": b"1", "b": b"2"}


def test_what_was_configured_before_a_restart_and_is_no_more_is_taken_back() -> None:
    store, retained = Store(), RetainedTopics({})
    retained.want_only([state("drive/count", "1"), state("lawn/count", "0")])
    retained.publish(store.record, everything=False)
    restarted = RetainedTopics(store.values)
    restarted.want_only([state("lawn/count", "0")])
    restarted.publish(store.record, everything=True)
    assert store.retained == {"lawn/count": b"0"}
    assert store.values == {"topic/lawn/count": b""}


def test_a_picture_stays_as_long_as_there_may_be_one_and_is_taken_back_afterwards() -> None:
    store, retained = Store(), RetainedTopics({})
    store.retained["yard/Cat/snapshot"] = b"jpeg"
    cat = frozenset({"yard/Cat/snapshot"})
    retained.hold(cat | {"yard/Dog/snapshot"}, used=cat)
    retained.publish(store.record, everything=True)
    restarted = RetainedTopics(store.values)
    restarted.hold(cat, used=frozenset())
    restarted.publish(store.record, everything=True)
    assert store.retained == {"yard/Cat/snapshot": b"jpeg"}
    restarted.hold(frozenset(), used=frozenset())
    restarted.publish(store.record, everything=False)
    assert store.retained == {}
    assert store.values == {}


@given(
    st.lists(
        st.tuples(st.dictionaries(st.sampled_from("abcd"), st.sampled_from("12")), st.booleans()),
        max_size=8,
    )
)
def test_the_broker_always_holds_exactly_what_is_wanted(
    steps: list[tuple[dict[str, str], bool]],
) -> None:
    store, retained = Store(), RetainedTopics({})
    for wanted, restarts in steps:
        if restarts:
            retained = RetainedTopics(store.values)
        retained.want_only(state(topic, text) for topic, text in wanted.items())
        retained.publish(store.record, everything=False)
        assert store.retained == {topic: text.encode() for topic, text in wanted.items()}
