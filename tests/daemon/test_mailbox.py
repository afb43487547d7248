"""What wakes the main thread and tells it what to do."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter

from edgevision.clock import ManualClock, SystemClock
from edgevision.daemon.control import (
    MAX_WAITING,
    ArrivedRequest,
    Connected,
    Mailbox,
    Reload,
    SceneChanged,
    Stop,
)


def request(payload: bytes = b"") -> ArrivedRequest:
    return ArrivedRequest("edgevision/porch", "reload", payload, retained=False)


def test_a_signal_that_was_put_before_ends_the_next_wait_and_only_that() -> None:
    mailbox = Mailbox(SystemClock())
    mailbox.put(Connected())
    begin_s = time.monotonic()
    assert mailbox.get(60) == Connected()
    assert time.monotonic() - begin_s < 30
    assert mailbox.get(0.05) is None
    assert time.monotonic() - begin_s >= 0.05


def test_another_thread_ends_a_wait() -> None:
    mailbox = Mailbox(SystemClock())
    thread = threading.Timer(0.05, mailbox.put, (Reload(),))
    thread.start()
    begin_s = time.monotonic()
    assert mailbox.get(60) == Reload()
    thread.join()
    assert time.monotonic() - begin_s < 30


def test_signals_can_be_put_for_ever_while_the_main_thread_is_busy_and_one_of_each_waits() -> None:
    mailbox = Mailbox(SystemClock())
    for _ in range(10_000):
        for each in (Stop(), Reload(), Connected(), SceneChanged("yard"), SceneChanged("door")):
            mailbox.put(each)
    waiting = [mailbox.get(0.0) for _ in range(6)]
    assert waiting == [
        Stop(),
        Reload(),
        Connected(),
        SceneChanged("yard"),
        SceneChanged("door"),
        None,
    ]


def test_a_signal_handler_may_put_while_the_same_thread_waits() -> None:
    mailbox = Mailbox(SystemClock())
    former = signal.signal(signal.SIGUSR1, lambda *_: mailbox.put(Reload()))
    try:
        main = threading.main_thread().ident
        assert main is not None
        timer = threading.Timer(0.05, signal.pthread_kill, (main, signal.SIGUSR1))
        timer.start()
        begin_s = time.monotonic()
        assert mailbox.get(60) == Reload()
        timer.join()
        assert time.monotonic() - begin_s < 30
    finally:
        signal.signal(signal.SIGUSR1, former)


def test_in_a_storm_of_unix_signals_the_last_one_is_never_lost() -> None:
    mailbox = Mailbox(SystemClock())
    arrived = handled = 0

    def arrive(*_: object) -> None:
        nonlocal arrived
        arrived += 1
        mailbox.put(Reload())

    former = signal.signal(signal.SIGUSR1, arrive)
    main = threading.main_thread().ident
    assert main is not None
    ended = threading.Event()

    def storm() -> None:
        for _ in range(3000):
            signal.pthread_kill(main, signal.SIGUSR1)
        ended.set()

    try:
        thread = threading.Thread(target=storm)
        thread.start()
        deadline_s = time.monotonic() + 30
        while not ended.is_set() or handled != arrived:
            if mailbox.get(0.05) == Reload():
                handled = arrived
            assert time.monotonic() < deadline_s
        thread.join()
    finally:
        signal.signal(signal.SIGUSR1, former)
    assert arrived > 0


def test_three_threads_that_flood_it_lose_no_request_and_never_exceed_the_bound() -> None:
    mailbox = Mailbox(SystemClock())
    each, longest = 5000, 0
    newest = [0, 0, 0]

    def flood(number: int) -> None:
        for count in range(1, each + 1):
            mailbox.ask(request(b"%d" % number))
            newest[number] = count
            mailbox.put(SceneChanged(str(number)))

    threads = [threading.Thread(target=flood, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    taken: Counter[bytes] = Counter()
    seen = [0, 0, 0]
    while any(thread.is_alive() for thread in threads) or mailbox._queue.qsize():
        longest = max(longest, mailbox._waiting)
        match mailbox.get(0.01):
            case ArrivedRequest(payload=payload):
                taken[payload] += 1
            case SceneChanged(camera=camera):
                seen[int(camera)] = newest[int(camera)]
    assert taken.total() + mailbox.refused == 3 * each
    assert mailbox.take_overflow() == mailbox.refused
    assert mailbox.take_overflow() == 0
    assert longest <= MAX_WAITING
    assert seen == newest == [each] * 3


def test_requests_beyond_the_bound_are_refused_and_signals_are_not() -> None:
    mailbox = Mailbox(SystemClock())
    for _ in range(MAX_WAITING + 3):
        mailbox.ask(request())
    mailbox.put(Reload())
    waiting = [mailbox.get(0.0) for _ in range(MAX_WAITING + 1)]
    assert waiting == [request()] * MAX_WAITING + [Reload()]
    assert mailbox.refused == 3
    mailbox.ask(request())
    assert mailbox.get(0.0) == request()


def test_stop_counts_at_once_although_requests_wait_before_it() -> None:
    mailbox = Mailbox(ManualClock())
    for _ in range(50):
        mailbox.ask(request())
    mailbox.put(Stop())
    assert mailbox.stopping
    assert list(mailbox.incoming(0.0)) == []
