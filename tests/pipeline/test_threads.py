"""The postprocess thread."""

from __future__ import annotations

import threading

from edgevision.pipeline.threads import PostprocessThread


def test_everything_is_taken_in_order_before_it_ends() -> None:
    taken: list[int] = []
    thread = PostprocessThread(taken.append)
    thread.start()
    for number in range(100):
        thread.put(number)
    thread.stop(30)
    assert taken == list(range(100))


def test_a_follower_that_is_stuck_holds_up_who_puts_and_not_the_end() -> None:
    free = threading.Event()
    thread = PostprocessThread(lambda _item: free.wait(60) and None)
    thread.start()
    thread.put(1)
    thread.put(2)
    putting = threading.Thread(target=thread.put, args=[3], daemon=True)
    putting.start()
    putting.join(0.1)
    assert putting.is_alive()
    thread.stop(0.1)
    free.set()
    putting.join(30)
    assert not putting.is_alive()


def test_one_that_was_never_started_ends_at_once() -> None:
    PostprocessThread(print).stop(60)
