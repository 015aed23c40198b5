"""Embedded memory when things go wrong: killed writers, crowds, full disks, clocks set back."""

import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from botwire import Memory
from botwire.errors import Busy, StorageFull
from botwire.jsontext import encode
from botwire.stores import sqlitefile
from botwire.stores.sqlite import SQLiteStore

posix = pytest.mark.skipif(os.name != "posix", reason="needs signals and limits of POSIX")

WRITERS = """
import os, sys, threading
from botwire import Memory

memory = Memory("agent", url=sys.argv[1])
first, count = int(sys.argv[2]), int(sys.argv[3])

def write(number):
    turn = memory.length(f"list:{number}")
    while True:
        with memory.batch() as batch:
            batch.set(f"left:{number}", turn)
            batch.append(f"list:{number}", turn, "x" * 60)
            batch.increment(f"sum:{number % 4}")
            batch.set(f"right:{number}", turn)
        os.write(1, b"%d %d\\n" % (number, turn))
        turn += 2

for number in range(first, first + count):
    threading.Thread(target=write, args=(number,)).start()
"""


def spawn(code: str, *arguments: object, **options: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, **options)  # type: ignore[call-overload]


def acknowledged(process: subprocess.Popen[bytes], lines: int) -> dict[int, int]:
    """Let writers acknowledge so many writes, kill them, and tell each one's last."""
    assert process.stdout is not None
    last: dict[int, int] = {}
    for seen, line in enumerate(process.stdout, start=1):
        number, turn = map(int, line.split())
        last[number] = turn
        if seen == lines:
            process.kill()
    process.stdout.close()
    process.wait(30)
    return last


def whole(memory: Memory, last: dict[int, int]) -> None:
    """Every acknowledged batch is there, and no half of another one."""
    sums: defaultdict[int, int] = defaultdict(int)
    for number, turn in last.items():
        left, right = memory.get(f"left:{number}"), memory.get(f"right:{number}")
        assert left == right
        assert turn <= left <= turn + 2
        assert memory.get(f"list:{number}")[::2] == list(range(0, left + 1, 2))
    for key, items in memory.items("list:"):
        sums[int(key[5:]) % 4] += len(items) // 2
    assert dict(memory.items("sum:")) == {f"sum:{key}": count for key, count in sums.items()}
    everything = [len(key.encode()) + len(encode(value)) for key, value in memory.items()]
    usage = memory.usage()
    assert (usage.entries, usage.bytes) == (len(everything), sum(everything))


@posix
def test_64_writers_killed_in_the_middle_lose_nothing_acknowledged(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/memory.db"
    last: dict[int, int] = {}
    for round_ in range(3):
        last |= acknowledged(spawn(WRITERS, url, 0, 64), 400 + 150 * round_)
        with Memory("agent", url=url) as memory:
            whole(memory, last)
            # What a killed writer heard nothing of any more may be there; then it stays there.
            last = {number: memory.get(f"left:{number}") for number in last}
    assert len(last) == 64


@posix
def test_of_several_processes_the_others_go_on_when_one_is_killed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/memory.db"
    processes = [spawn(WRITERS, url, 16 * number, 16) for number in range(4)]
    last: dict[int, int] = {}
    for process in processes:  # one after the other, while those that are left go on
        last |= acknowledged(process, 100)
    with Memory("agent", url=url) as memory:
        whole(memory, last)


@posix
def test_a_file_that_was_killed_while_it_was_made_is_a_memory(tmp_path: Path) -> None:
    code = "import sys; from botwire import Memory; Memory('a', url=sys.argv[1]).set('k', 1)"
    chance = random.Random(1)
    for number in range(12):
        url = f"sqlite:///{tmp_path}/{number}.db"
        process = spawn(code, url)
        time.sleep(chance.uniform(0.1, 0.35))  # anywhere in its short life
        process.kill()
        process.communicate()
        with Memory("a", url=url) as memory:
            assert memory.get("k") in (None, 1)
            memory.set("k", 2)
            assert memory.get("k") == 2


CROWD = """
import sys
from botwire import Memory

memory = Memory("agent", url=sys.argv[1])
sys.stdin.readline()
for number in range(int(sys.argv[2])):
    memory.increment("n")
    memory.append("list", [sys.argv[3], number])
    memory.set(sys.argv[3], number)
    assert memory.get(sys.argv[3]) == number
    assert memory.get("n") > 0
"""


def crowd(url: str, size: int, turns: int) -> None:
    """Let so many processes begin to write at the same moment; none may meet an error."""
    processes = [
        spawn(CROWD, url, turns, number, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        for number in range(size)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
    for process in processes:
        _, errors = process.communicate(timeout=90)
        assert (process.returncode, errors.decode()) == (0, "")


def test_processes_that_open_a_fresh_file_at_once_share_it(tmp_path: Path) -> None:
    for attempt in range(3):
        url = f"sqlite:///{tmp_path}/{attempt}.db"
        crowd(url, size=6, turns=1)
        with Memory("agent", url=url) as memory:
            assert memory.get("n") == 6


def test_a_crowd_of_processes_on_one_file_loses_nothing_and_meets_no_error(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/memory.db"
    crowd(url, size=5, turns=60)
    with Memory("agent", url=url) as memory:
        assert memory.get("n") == 300
        items = memory.get("list")
        for number in range(5):
            assert [turn for who, turn in items if who == str(number)] == list(range(60))


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[tuple[Memory, sqlite3.Connection]]:
    """A memory whose file another application keeps locked for writing."""
    with Memory("agent", url=f"sqlite:///{tmp_path}/memory.db") as memory:
        memory.set("k", 1)
        other = sqlite3.connect(
            tmp_path / "memory.db", isolation_level=None, check_same_thread=False
        )
        other.execute("BEGIN IMMEDIATE")
        yield memory, other
        other.close()


def test_readers_do_not_wait_for_a_writer(locked: tuple[Memory, sqlite3.Connection]) -> None:
    memory, _ = locked
    started = time.monotonic()
    assert memory.get("k") == 1
    assert memory.list_keys() == ["k"]
    assert memory.usage().entries == 1
    assert time.monotonic() - started < 5


def test_a_writer_waits_for_its_turn(locked: tuple[Memory, sqlite3.Connection]) -> None:
    memory, other = locked
    threading.Timer(0.3, lambda: other.execute("COMMIT")).start()
    memory.set("k", 2)
    assert memory.get("k") == 2


def test_a_lock_that_is_never_given_up_is_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlitefile, "BUSY_SECONDS", 0.2)
    store = SQLiteStore(tmp_path / "memory.db")
    memory = Memory("agent", store=store)
    memory.set("k", 1)
    other = sqlite3.connect(tmp_path / "memory.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Busy) as refused:
        memory.set("k", 2)
    assert refused.value.retryable
    assert "Try again" in refused.value.hint
    other.execute("ROLLBACK")
    memory.set("k", 3)
    assert memory.get("k") == 3
    other.close()
    store.close()


def fill(memory: Memory) -> dict[str, str]:
    """Write until nothing more fits, in every way there is; what was acknowledged."""
    kept: dict[str, str] = {}
    value = "x" * 20_000

    def write() -> None:
        for number in range(1000):
            memory.set(f"k{number}", value)
            kept[f"k{number}"] = value

    with pytest.raises(StorageFull) as full:
        write()
    assert full.value.hint
    assert full.value.retryable
    assert len(kept) > 2
    for attempt in (
        lambda: memory.set("k0", "y" * 900_000),
        lambda: memory.set_many({"k0": "y" * 900_000, "k1": "y"}),
        lambda: memory.append("list", *["y" * 1000] * 900),
        lambda: memory.update("k0", lambda text: text * 45),
        lambda: batch(memory),
    ):
        with pytest.raises(StorageFull):
            attempt()
    return kept


def batch(memory: Memory) -> None:
    with memory.batch() as batch:
        batch.delete("k0")
        batch.append("list", *["y" * 1000] * 900)
        batch.set("k1", "y" * 900_000)


def unharmed(memory: Memory, kept: dict[str, str]) -> None:
    assert dict(memory.items()) == kept
    usage = memory.usage()
    assert usage.entries == len(kept)
    assert usage.bytes == sum(len(key) + len(value) + 2 for key, value in kept.items())


FULL = """
import resource, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from botwire import Memory
from test_faults import fill, unharmed

def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

memory = Memory("agent", url=sys.argv[1])
memory.get("k")
limit(600_000)
kept = fill(memory)
unharmed(memory, kept)
limit(resource.RLIM_INFINITY)
memory.set("k0", "short")
memory.append("list", *["y" * 1000] * 900)
memory.delete("list")
unharmed(memory, {**kept, "k0": "short"})
memory.close()
with Memory("agent", url=sys.argv[1]) as again:
    unharmed(again, {**kept, "k0": "short"})
"""


@posix
def test_a_file_that_may_not_grow_loses_nothing_and_goes_on_when_it_may(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/memory.db"
    command = [sys.executable, "-c", FULL, url, str(Path(__file__).parent)]
    subprocess.run(command, check=True, timeout=60)


def test_a_full_disk_loses_nothing_and_goes_on_when_there_is_room(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 1_000_000)
    with Memory("agent", url=f"sqlite:///{small_disk}/memory.db") as memory:
        kept = fill(memory)
        unharmed(memory, kept)
        ballast.unlink()
        memory.set("k0", "short")
        unharmed(memory, {**kept, "k0": "short"})
    with Memory("agent", url=f"sqlite:///{small_disk}/memory.db") as memory:
        unharmed(memory, {**kept, "k0": "short"})


def test_a_memory_that_begins_on_a_full_disk_works_once_there_is_room(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            pass
    with Memory("agent", url=f"sqlite:///{small_disk}/memory.db") as memory:
        for _ in range(3):
            with pytest.raises(StorageFull):
                memory.set("k", 1)
        with ballast.open("r+b") as file:
            file.truncate(1_000_000)
        memory.set("k", 1)
        assert memory.get("k") == 1


@pytest.mark.slow
def test_100_000_keys_are_listed_completely(tmp_path: Path) -> None:
    keys = [f"user:{number % 100:02}:{number:06}" for number in range(100_000)]
    with Memory("agent", url=f"sqlite:///{tmp_path}/memory.db") as memory:
        for start in range(0, len(keys), 10_000):
            memory.set_many(dict.fromkeys(keys[start : start + 10_000], 1))
        keys.sort()
        assert memory.list_keys() == keys
        assert [key for key, _ in memory.items("user:4")] == [k for k in keys if k[5] == "4"]
        assert [entry.key for entry in memory.entries(values=False, reverse=True)] == keys[::-1]
        assert memory.usage().entries == len(keys)
        assert memory.clear("user:0") == 10_000
        assert memory.usage().entries == 90_000


CLOCK_SET_BACK = """
import sys, time
from botwire import Memory

memory = Memory("agent", url=sys.argv[1])
memory.set("k", 1, ttl=0.05)
memory.set("long", 1, ttl=60)
time.sleep(0.06)
assert memory.get("k") is None
wall = time.time
time.time = lambda: wall() - 3600
for attempt in range(2):
    assert memory.get("k") is None
    assert memory.list_keys() == ["long"]
    assert memory.set("k", 2, if_version=0, ttl=0.05)
    assert 59 < memory.ttl("long") <= 60
    time.sleep(0.06)
    assert memory.get("k") is None
    memory.close()
    memory = Memory("agent", url=sys.argv[1])
"""


@pytest.mark.parametrize("url", ["memory://", "sqlite:///{}/memory.db"])
def test_a_clock_set_back_brings_nothing_back(tmp_path: Path, url: str) -> None:
    command = [sys.executable, "-c", CLOCK_SET_BACK, url.format(tmp_path)]
    subprocess.run(command, check=True, timeout=60)
