"""What wakes the main thread."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import closing

from edgevision.daemon.daemon import Bell


def test_a_bell_that_was_rung_before_ends_the_next_wait_and_only_that() -> None:
    with closing(Bell()) as bell:
        bell.ring()
        begin_s = time.monotonic()
        bell.wait(60)
        assert time.monotonic() - begin_s < 30
        bell.wait(0.05)
        assert time.monotonic() - begin_s >= 0.05


def test_another_thread_ends_a_wait() -> None:
    with closing(Bell()) as bell:
        thread = threading.Timer(0.05, bell.ring)
        thread.start()
        begin_s = time.monotonic()
        bell.wait(60)
        thread.join()
        assert time.monotonic() - begin_s < 30


def test_a_bell_nobody_listens_to_can_be_rung_for_ever() -> None:
    with closing(Bell()) as bell:
        for _ in range(10_000):
            bell.ring()
        bell.wait(60)


def test_a_signal_handler_may_ring_it_while_the_same_thread_waits() -> None:
    with closing(Bell()) as bell:
        former = signal.signal(signal.SIGUSR1, lambda *_: bell.ring())
        try:
            main = threading.main_thread().ident
            assert main is not None
            timer = threading.Timer(0.05, signal.pthread_kill, (main, signal.SIGUSR1))
            timer.start()
            begin_s = time.monotonic()
            bell.wait(60)
            timer.join()
            assert time.monotonic() - begin_s < 30
        finally:
            signal.signal(signal.SIGUSR1, former)
