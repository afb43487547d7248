from __future__ import annotations

import json
import os
import resource
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevision.clock import ManualClock
from edgevision.config.settings import OutboxConfig
from edgevision.mqtt.message import Message
from edgevision.mqtt.outbox import MAX_MESSAGE_BYTES, Outbox
from edgevision.mqtt.outbox_file import (
    MAX_ASIDE,
    MAX_KEYS,
    MAX_STATE_BYTES,
    MAX_VALUE_BYTES,
    MAX_VALUES_BYTES,
)
from edgevision.mqtt.outbox_file import VERSION as SCHEMA_VERSION

BOUNDS = OutboxConfig()


def event(number: int, topic: str = "p/yard/events", padding: int = 0) -> Message:
    body = {"schema_version": 1, "n": number, "padding": "x" * padding}
    return Message(topic, json.dumps(body, separators=(",", ":")).encode(), qos=1)


def state(number: int, topic: str) -> Message:
    return Message(topic, event(number).payload, qos=1, retain=True)


def numbers(outbox: Outbox) -> list[int]:
    return [json.loads(row.payload)["n"] for row in outbox.oldest(1_000_000)]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "outbox.sqlite"


@contextmanager
def opened(
    path: Path, clock: ManualClock, bounds: OutboxConfig = BOUNDS, retry_s: float = 30
) -> Iterator[Outbox]:
    outbox = Outbox(path, bounds, clock=clock, retry_s=retry_s)
    try:
        yield outbox
    finally:
        outbox.close()


# What it keeps.


def test_messages_come_out_in_the_order_of_recording(path: Path, clock: ManualClock) -> None:
    with opened(path, clock) as outbox:
        outbox.commit([event(1), event(2)])
        outbox.commit([event(3)])
        assert numbers(outbox) == [1, 2, 3]


def test_a_deleted_message_is_gone_and_an_unknown_id_is_passed_over(
    path: Path, clock: ManualClock
) -> None:
    with opened(path, clock) as outbox:
        outbox.commit([event(1), event(2)])
        outbox.commit(done=[outbox.oldest(1)[0].id, 999])
        assert numbers(outbox) == [2]
        assert (outbox.rows, outbox.bytes) == (1, event(2).size_bytes)


def test_state_comes_before_events_and_only_the_newest_of_a_topic(
    path: Path, clock: ManualClock
) -> None:
    with opened(path, clock) as outbox:
        outbox.commit([event(1), state(2, "p/a/status"), state(3, "p/b/status")])
        outbox.commit([state(4, "p/a/status")])
        assert numbers(outbox) == [3, 4, 1]
        assert not outbox.dropped


def test_ids_and_topics_can_be_passed_over(path: Path, clock: ManualClock) -> None:
    with opened(path, clock) as outbox:
        outbox.commit([event(1), event(2, "other"), event(3)])
        first = outbox.oldest(1)[0].id
        found = outbox.oldest(9, skip_ids=[first], skip_topics=["other"])
        assert [json.loads(row.payload)["n"] for row in found] == [3]


def test_what_waited_is_there_after_a_restart(path: Path, clock: ManualClock) -> None:
    with opened(path, clock) as outbox:
        outbox.commit([event(1), state(2, "s")])
    with opened(path, clock) as outbox:
        assert numbers(outbox) == [2, 1]
        assert outbox.rows == 2
        assert outbox.problems == ()


def test_what_was_committed_is_there_after_sigkill(path: Path, clock: ManualClock) -> None:
    script = (
        "import os, sys; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path\n"
        "from test_outbox import *\n"
        "outbox = Outbox(Path(sys.argv[1]), BOUNDS, clock=ManualClock())\n"
        "for n in range(50): outbox.commit([event(n)])\n"
        "os.kill(os.getpid(), 9)\n"
    )
    tests = Path(__file__).parent
    done = subprocess.run([sys.executable, "-c", script, str(path), str(tests)], check=False)
    assert done.returncode == -9
    assert path.with_name("outbox.sqlite-wal").stat().st_size > 0
    with opened(path, clock) as outbox:
        assert numbers(outbox) == list(range(50))
        assert outbox.problems == ()


def test_the_file_is_its_owners_alone(path: Path, clock: ManualClock) -> None:
    with opened(path, clock) as outbox:
        outbox.commit([event(1)])
        for part in path.parent.iterdir():
            assert stat.S_IMODE(part.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


# Bounds.


def test_above_max_rows_the_oldest_events_go_and_are_counted(
    path: Path, clock: ManualClock
) -> None:
    with opened(path, clock, OutboxConfig(max_rows=100)) as outbox:
        outbox.commit([state(0, "s"), *(event(n) for n in range(1, 106))])
        assert numbers(outbox) == [0, *range(6, 106)]
        assert outbox.dropped == {"rows": 5}
        assert outbox.problems == ("outbox is full: the oldest messages are dropped",)
        outbox.commit(done=[row.id for row in outbox.oldest(50)])
        assert outbox.problems == ()


def test_state_above_its_own_bound_displaces_the_oldest_state_and_no_event(
    path: Path, clock: ManualClock
) -> None:
    large = MAX_MESSAGE_BYTES - 1000
    states = MAX_STATE_BYTES // large + 2
    with opened(path, clock, OutboxConfig(max_rows=100, max_bytes=1 << 20)) as outbox:
        outbox.commit([event(n) for n in range(100)])
        for n in range(states):
            outbox.commit([Message(f"s{n}", bytes(large), 1, retain=True)])
        found = outbox.oldest(1000)
        assert [row.topic for row in found if row.retain][:2] == ["s2", "s3"]
        assert sum(not row.retain for row in found) == 100
        assert outbox.dropped == {"bytes": 2}


def test_above_max_bytes_the_oldest_go_and_are_counted(path: Path, clock: ManualClock) -> None:
    bounds = OutboxConfig(max_bytes=1 << 20)
    with opened(path, clock, bounds) as outbox:
        for n in range(12):
            outbox.commit([event(n, padding=100_000)])
        assert numbers(outbox) == list(range(2, 12))
        assert outbox.bytes <= 1 << 20
        assert outbox.dropped == {"bytes": 2}


def test_a_message_older_than_max_age_is_dropped_and_counted(
    path: Path, clock: ManualClock
) -> None:
    with opened(path, clock, OutboxConfig(max_age_s=60)) as outbox:
        outbox.commit([event(1)])
        clock.advance(40)
        outbox.commit([event(2)])
        clock.advance(40)
        outbox.expire()
        assert numbers(outbox) == [2]
        assert outbox.dropped == {"age": 1}


@pytest.mark.parametrize("step_s", [3600.0, -3600.0, 1.8e9])
def test_a_clock_step_makes_no_message_old(path: Path, clock: ManualClock, step_s: float) -> None:
    with opened(path, clock, OutboxConfig(max_age_s=60)) as outbox:
        outbox.commit([event(1)])
        clock.step_wall(step_s)
        outbox.expire()
        assert numbers(outbox) == [1]


def test_age_counts_the_uptime_of_all_runs_and_not_the_time_between(
    path: Path, clock: ManualClock
) -> None:
    bounds = OutboxConfig(max_age_s=100)
    for run in range(3):
        with opened(path, clock, bounds) as outbox:
            if run == 0:
                outbox.commit([event(1)])
            clock.advance(40)
            outbox.expire()
            assert outbox.rows == (1 if run < 2 else 0)
        clock.advance(1_000_000)  # switched off


@dataclass
class Model:
    """What an outbox of 100 rows and 1 MiB of events is to hold; state is besides."""

    rows: list[Message] = field(default_factory=list)
    dropped: int = 0

    def commit(self, messages: list[Message], delete: int) -> None:
        for gone in self.sorted()[:delete]:
            self.rows.remove(gone)
        for message in messages:
            if message.retain:
                self.rows = [r for r in self.rows if not (r.retain and r.topic == message.topic)]
            self.rows.append(message)
        events = [r for r in self.rows if not r.retain]
        while len(events) > 100 or sum(r.size_bytes for r in events) > 1 << 20:
            self.rows.remove(events.pop(0))
            self.dropped += 1

    def sorted(self) -> list[Message]:
        return [r for r in self.rows if r.retain] + [r for r in self.rows if not r.retain]


STEPS = st.lists(
    st.tuples(
        st.lists(st.tuples(st.sampled_from("eeeesSt"), st.sampled_from([0, 10, 90_000]))),
        st.integers(0, 30),
        st.sampled_from(["", "", "restart"]),
    ),
    max_size=12,
)


@settings(max_examples=40)
@given(steps=STEPS)
def test_any_sequence_of_commits_and_restarts_leaves_what_a_list_would(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[list[tuple[str, int]], int, str]],
) -> None:
    path = tmp_path_factory.mktemp("outbox") / "outbox.sqlite"
    bounds = OutboxConfig(max_rows=100, max_bytes=1 << 20)
    outbox = Outbox(path, bounds, clock=ManualClock())
    model, count, dropped = Model(), 0, 0
    for kinds, delete, then in steps:
        messages = []
        for kind, padding in kinds:
            count += 1
            made = event(count, kind, padding)
            messages.append(Message(kind, made.payload, 1, retain=kind != "e"))
        outbox.commit(messages, [row.id for row in outbox.oldest(delete)])
        model.commit(messages, delete)
        if then:
            dropped += outbox.dropped.total()
            outbox.close()
            outbox = Outbox(path, bounds, clock=ManualClock())
        found = [(row.topic, row.payload, row.retain) for row in outbox.oldest(1000)]
        assert found == [(m.topic, m.payload, m.retain) for m in model.sorted()]
        assert outbox.rows == len(model.rows)
        assert outbox.bytes == sum(m.size_bytes for m in model.rows)
    assert dropped + outbox.dropped.total() == model.dropped
    outbox.close()


# Files that cannot be used.


def _garbage(path: Path) -> None:
    path.write_bytes(b"no database at all " * 1000)


def _header(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(b"\xff" * 100 + content[100:])


def _truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 + 7)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _other_database(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE message (a)")


@pytest.mark.parametrize("damage", [_garbage, _header, _truncated, _folder, _other_database])
def test_an_unusable_file_is_kept_aside_and_a_new_one_begun(
    path: Path, clock: ManualClock, damage: object
) -> None:
    with opened(path, clock) as outbox:
        outbox.commit([event(n, padding=500) for n in range(300)])
    assert callable(damage)
    damage(path)
    with opened(path, clock) as outbox:
        assert outbox.storage == "disk"
        assert len(outbox.problems) == 1
        assert "kept as outbox.sqlite.corrupt-1" in outbox.problems[0]
        outbox.commit([event(1000)])
        assert numbers(outbox)[-1] == 1000
    assert path.with_name("outbox.sqlite.corrupt-1").exists()
    with opened(path, clock) as outbox:
        assert numbers(outbox)[-1] == 1000
        assert outbox.problems == ()


def test_of_a_file_with_a_damaged_page_the_rest_is_saved(path: Path, clock: ManualClock) -> None:
    with opened(path, clock) as outbox:
        outbox.commit([event(n, padding=500) for n in range(300)])
    content = bytearray(path.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 4096] = os.urandom(4096)
    path.write_bytes(content)
    with opened(path, clock) as outbox:
        assert len(outbox.problems) == 1
        saved = numbers(outbox)
        assert saved == sorted(set(saved))
        assert 250 < len(saved) < 300


def test_damage_that_shows_while_it_runs_costs_the_damaged_page_alone(
    path: Path, clock: ManualClock
) -> None:
    with opened(path, clock) as outbox:
        outbox.commit([event(n, padding=500) for n in range(3000)])
    with opened(path, clock) as outbox:
        with path.open("r+b") as file:
            file.seek(path.stat().st_size // 2 // 4096 * 4096)
            file.write(os.urandom(4096))
        outbox._db.execute("PRAGMA shrink_memory")
        outbox.commit(done=[row.id for row in outbox.oldest(2990)])
        outbox.commit([event(5000)])
        assert numbers(outbox)[-1] == 5000
        assert "kept as outbox.sqlite.corrupt-1" in outbox.problems[0]
        assert outbox.storage == "disk"
        assert len(outbox.oldest(9999)) == outbox.rows


def test_an_outbox_of_a_newer_version_is_kept_undamaged(path: Path, clock: ManualClock) -> None:
    with opened(path, clock) as outbox:
        outbox.commit([event(1)])
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with opened(path, clock) as outbox:
        assert "written by a newer version" in outbox.problems[0]
        assert numbers(outbox) == []
    with closing(sqlite3.connect(path.with_name("outbox.sqlite.newer-1"))) as db:
        assert db.execute("SELECT count(*) FROM message").fetchone() == (1,)


def test_no_more_than_3_unusable_files_are_kept(path: Path, clock: ManualClock) -> None:
    path.parent.mkdir()
    for _ in range(MAX_ASIDE + 2):
        path.write_bytes(b"garbage" * 999)
        with opened(path, clock) as outbox:
            assert outbox.storage == "disk"
    kept = sorted(each.name for each in path.parent.iterdir() if "corrupt" in each.name)
    assert kept == [f"outbox.sqlite.corrupt-{n}" for n in (1, 2, 3)]


# Disks that cannot be written.


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)],
        check=False,
        capture_output=True,
    )
    if mounted.returncode != 0:
        pytest.skip("may not mount a file system of its own here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_on_a_full_disk_it_goes_on_in_memory_and_returns_when_there_is_room(
    tmp_path: Path, clock: ManualClock
) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        path = disk / "outbox.sqlite"
        with opened(path, clock) as outbox:
            outbox.commit([event(0)])
            (disk / "ballast").write_bytes(bytes(disk_free(disk) - 8192))
            for n in range(1, 40):
                outbox.commit([event(n, padding=5000)])
            assert outbox.storage == "memory"
            assert "kept in memory" in outbox.problems[0]
            assert "full" in outbox.problems[0]
            assert numbers(outbox) == list(range(40))
            first = outbox.oldest(1)[0].id
            outbox.commit(done=[first])
            assert not outbox.disk_due
            clock.advance(31)
            assert outbox.disk_due
            outbox.try_disk()
            assert outbox.storage == "memory"
            (disk / "ballast").unlink()
            clock.advance(31)
            outbox.try_disk()
            assert outbox.storage == "disk"
            assert outbox.problems == ()
        with opened(path, clock) as outbox:
            assert numbers(outbox) == list(range(1, 40))


def disk_free(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_bsize


def test_on_a_disk_that_turns_read_only_it_goes_on_in_memory_and_returns(
    tmp_path: Path, clock: ManualClock
) -> None:
    with small_disk(tmp_path / "disk", "4m") as disk:
        path = disk / "outbox.sqlite"
        with opened(path, clock) as outbox:
            outbox.commit([event(1), event(2)])
        remount(disk, "ro")
        with opened(path, clock) as outbox:
            assert outbox.storage == "memory"
            outbox.commit([event(3)])
            assert numbers(outbox) == [1, 2, 3]
            outbox.commit(done=[outbox.oldest(1)[0].id])
            remount(disk, "rw")
            clock.advance(31)
            outbox.try_disk()
            assert outbox.storage == "disk"
        with opened(path, clock) as outbox:
            assert numbers(outbox) == [2, 3]


def remount(folder: Path, mode: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{mode}", str(folder)], check=True)


def test_what_another_process_holds_is_neither_sent_nor_lost(
    path: Path, clock: ManualClock
) -> None:
    with opened(path, clock) as other:
        other.commit([event(1), event(2)])
        outbox = Outbox(path, BOUNDS, clock=clock)
        assert outbox.storage == "memory"
        assert "another process uses it" in outbox.problems[0]
        outbox.commit([event(3)])
        assert numbers(outbox) == [3]
    clock.advance(31)
    outbox.try_disk()
    assert outbox.storage == "disk"
    assert numbers(outbox) == [1, 2, 3]
    outbox.close()


def test_where_no_file_may_grow_it_goes_on_in_memory(path: Path, clock: ManualClock) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with opened(path, clock) as outbox:
        outbox.commit([event(1)])
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, before[1]))
        try:
            for n in range(2, 30):
                outbox.commit([event(n, padding=5000)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert outbox.storage == "memory"
        assert numbers(outbox) == list(range(1, 30))


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path, clock: ManualClock) -> None:
    (tmp_path / "file").touch()
    with opened(tmp_path / "file" / "outbox.sqlite", clock) as outbox:
        assert outbox.storage == "memory"
        assert "cannot be written" in outbox.problems[0]
        outbox.commit([event(1)])
        assert numbers(outbox) == [1]


# Key-values.


def test_values_are_there_after_a_restart_until_they_are_deleted(
    path: Path, clock: ManualClock
) -> None:
    with opened(path, clock) as outbox:
        outbox.commit([event(1)], values={"open/a": b"end of a", "count": b"1"})
        outbox.commit(values={"count": b"2"})
    with opened(path, clock) as outbox:
        assert outbox.key_values.values == {"open/a": b"end of a", "count": b"2"}
        outbox.commit([event(2)], values={"open/a": None, "never": None})
    with opened(path, clock) as outbox:
        assert outbox.key_values.values == {"count": b"2"}
        assert numbers(outbox) == [1, 2]


KEYS = st.sampled_from(["", "a", "b", "ö/c", "k" * 513])
VALUES = st.none() | st.sampled_from([b"", b"x", b"y" * 3000, bytes(MAX_VALUE_BYTES + 1)])


@settings(max_examples=30)
@given(steps=st.lists(st.tuples(st.dictionaries(KEYS, VALUES), st.booleans()), max_size=8))
def test_any_sequence_of_values_and_restarts_leaves_what_a_dict_would(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[dict[str, bytes | None], bool]],
) -> None:
    path = tmp_path_factory.mktemp("outbox") / "outbox.sqlite"
    outbox = Outbox(path, BOUNDS, clock=ManualClock())
    model: dict[str, bytes] = {}
    for changes, restart in steps:
        outbox.commit(values=changes)
        for key, value in changes.items():
            if value is None:
                model.pop(key, None)
            elif 0 < len(key) <= 512 and len(value) <= MAX_VALUE_BYTES:
                model[key] = value
        if restart:
            outbox.close()
            outbox = Outbox(path, BOUNDS, clock=ManualClock())
        assert outbox.key_values.values == model
    outbox.close()
    with opened(path, ManualClock()) as again:
        assert again.key_values.values == model


def test_after_sigkill_a_message_and_its_value_are_both_there_or_both_not(
    path: Path, clock: ManualClock
) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path\n"
        "from test_outbox import *\n"
        "outbox = Outbox(Path(sys.argv[1]), BOUNDS, clock=ManualClock())\n"
        "first = max(numbers(outbox), default=0) + 1\n"
        "for n in range(first, first + 5000):\n"
        "    outbox.commit([event(n)], values={f'open/{n}': b'%d' % n, f'open/{n - 1}': None})\n"
        "    print(n, flush=True)\n"
    )
    tests = Path(__file__).parent
    command = [sys.executable, "-c", script, str(path), str(tests)]
    committed = 0
    for more in (1, 20, 35):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            for _ in range(more):
                committed = int(child.stdout.readline())
            child.kill()
        with opened(path, clock) as outbox:
            found = numbers(outbox)
            assert found == list(range(1, len(found) + 1))
            assert len(found) >= committed
            last = found[-1]
            assert outbox.key_values.values == {f"open/{last}": b"%d" % last}
            assert outbox.problems == ()


def test_a_file_of_a_version_without_values_gets_them(path: Path, clock: ManualClock) -> None:
    with opened(path, clock) as outbox:
        outbox.commit([event(1)])
    with closing(sqlite3.connect(path)) as db:
        db.execute("DROP TABLE note")
    with opened(path, clock) as outbox:
        assert outbox.problems == ()
        outbox.commit(values={"a": b"1"})
    with opened(path, clock) as outbox:
        assert numbers(outbox) == [1]
        assert outbox.key_values.values == {"a": b"1"}


def test_values_above_their_bounds_are_refused_and_counted_and_the_message_is_kept(
    path: Path, clock: ManualClock
) -> None:
    with opened(path, clock) as outbox:
        outbox.commit(values={f"n{n}": b"x" for n in range(MAX_KEYS)})
        outbox.commit([event(1)], values={"one more": b"x", "n0": b"y"})
        assert len(outbox.key_values.values) == MAX_KEYS
        assert outbox.key_values.values["n0"] == b"y"
        assert numbers(outbox) == [1]
        assert "1 values were not stored" in outbox.problems[0]
    other = path.with_name("other.sqlite")
    with opened(other, clock) as outbox:
        large = bytes(MAX_VALUE_BYTES)
        outbox.commit(values={f"n{n}": large for n in range(40)})
        assert outbox.key_values.refused == 40 - (MAX_VALUES_BYTES - 1) // MAX_VALUE_BYTES
        outbox.commit(values={"n0": None, "again": large})
        assert "again" in outbox.key_values.values


def test_of_a_file_with_a_damaged_page_the_other_values_are_saved(
    path: Path, clock: ManualClock
) -> None:
    values: dict[str, bytes | None] = {f"open/{n:03}": b"%03d" % n * 100 for n in range(300)}
    with opened(path, clock) as outbox:
        outbox.commit(values=values)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 4096] = os.urandom(4096)
    path.write_bytes(content)
    with opened(path, clock) as outbox:
        saved = outbox.key_values.values
        assert len(outbox.problems) == 1
        assert 200 < len(saved) < 300
        assert saved.items() < values.items()
    with opened(path, clock) as outbox:
        assert outbox.key_values.values == saved


def test_damage_that_shows_while_it_runs_costs_no_value(path: Path, clock: ManualClock) -> None:
    values: dict[str, bytes | None] = {f"open/{n}": b"x" * 400 for n in range(500)}
    with opened(path, clock) as outbox:
        outbox.commit(values=values)
    with opened(path, clock) as outbox:
        with path.open("r+b") as file:
            file.seek(path.stat().st_size // 2 // 4096 * 4096)
            file.write(os.urandom(4096))
        outbox._db.execute("PRAGMA shrink_memory")
        outbox.commit([event(1)], values=dict.fromkeys(values, b"y"))
        assert "kept as outbox.sqlite.corrupt-1" in outbox.problems[0]
    with opened(path, clock) as outbox:
        assert outbox.key_values.values == dict.fromkeys(values, b"y")
        assert numbers(outbox) == [1]


def test_values_of_a_read_only_disk_are_there_and_changes_reach_it_once_it_can_be_written(
    tmp_path: Path, clock: ManualClock
) -> None:
    with small_disk(tmp_path / "disk", "4m") as disk:
        path = disk / "outbox.sqlite"
        with opened(path, clock) as outbox:
            outbox.commit(values={"kept": b"1", "gone": b"1", "new": b"1"})
        remount(disk, "ro")
        with opened(path, clock) as outbox:
            assert outbox.key_values.values == {"kept": b"1", "gone": b"1", "new": b"1"}
            outbox.commit([event(1)], values={"gone": None, "new": b"2"})
            remount(disk, "rw")
            clock.advance(31)
            outbox.try_disk()
            assert outbox.storage == "disk"
        with opened(path, clock) as outbox:
            assert outbox.key_values.values == {"kept": b"1", "new": b"2"}
            assert numbers(outbox) == [1]


def test_values_that_another_process_holds_are_kept_beside_the_own(
    path: Path, clock: ManualClock
) -> None:
    with opened(path, clock) as other:
        other.commit(values={"theirs": b"1", "both": b"1"})
        outbox = Outbox(path, BOUNDS, clock=clock)
        assert outbox.key_values.values == {}
        outbox.commit(values={"own": b"2", "both": b"2"})
    clock.advance(31)
    outbox.try_disk()
    assert outbox.storage == "disk"
    outbox.close()
    with opened(path, clock) as again:
        assert again.key_values.values == {"theirs": b"1", "own": b"2", "both": b"2"}


def test_a_message_of_the_contract_is_marked_as_delayed_and_other_documents_are_not() -> None:
    assert json.loads(event(1).delayed().payload)["delayed"] is True
    other = Message("homeassistant/device/x/config", b'{"dev": {}}', qos=1, retain=True)
    assert other.delayed() == other
