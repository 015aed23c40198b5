"""Ctrl-C in the middle of a write to PostgreSQL: others go on, and nothing is kept that was not."""

import linecache
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any

import psycopg
import pytest

from botwire import Memory
from botwire.testing import PostgresServer
from botwire_server.lanes import Lanes
from botwire_server.postgres import PostgresStore
from botwire_server.postgres.writers import Writers

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(os.name != "posix", reason="sends signals"),
]


@pytest.fixture(scope="module")
def database(botwire_postgres: PostgresServer) -> str:
    return botwire_postgres.database()


@pytest.fixture
def opened(database: str) -> Iterator[PostgresStore]:
    opened = PostgresStore(f"{database}{'&' if '?' in database else '?'}pool_size=2")
    yield opened
    opened.close()


@pytest.fixture
def memory(opened: PostgresStore, request: pytest.FixtureRequest) -> Memory:
    memory = Memory(request.node.nodeid, store=opened)
    memory.set("k", 1)
    return memory


@pytest.fixture
def other(database: str, memory: Memory) -> Iterator[psycopg.Connection[Any]]:
    """Somebody who holds the namespace."""
    with psycopg.connect(database) as connection:
        connection.execute(
            "SELECT FROM botwire.namespaces WHERE namespace = %s FOR UPDATE", [memory.namespace]
        )
        yield connection
        connection.rollback()


def interrupted(seconds: float, act: Callable[[], Any]) -> None:
    """Act, and be interrupted meanwhile."""
    timer = threading.Timer(seconds, os.kill, [os.getpid(), signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        act()
    timer.join()


def test_one_that_commits_lets_the_next_one_go_on(
    memory: Memory, other: psycopg.Connection[Any]
) -> None:
    with ThreadPoolExecutor(1) as threads:
        waiting = []
        threading.Timer(0.2, lambda: waiting.append(threads.submit(memory.set, "k", 3))).start()
        interrupted(0.5, lambda: memory.set("k", 2))
        other.rollback()
        assert waiting[0].result(5) == 2
    assert memory.get("k") == 3


def test_one_that_waits_in_the_line_is_not_written_later(
    memory: Memory, other: psycopg.Connection[Any]
) -> None:
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(memory.set, "first", 1)
        _await_waiting(other)
        interrupted(0.5, lambda: memory.set("interrupted", 1))
        other.rollback()
        first.result(5)
    memory.set("later", 1)
    assert memory.list_keys() == ["first", "k", "later"]


def test_one_that_waits_for_a_connection_takes_none_with_it(
    memory: Memory, opened: PostgresStore
) -> None:
    taken = [opened.pool.take() for _ in range(2)]
    interrupted(0.3, lambda: memory.get("k"))
    for wire in taken:
        opened.pool.give_back(wire, whole=True)
    taken = [opened.pool.take() for _ in range(2)]
    for wire in taken:
        opened.pool.give_back(wire, whole=True)
    assert memory.get("k") == 1


def _await_waiting(connection: psycopg.Connection[Any]) -> None:
    """Until somebody waits for a lock."""
    deadline = time.monotonic() + 10
    while connection.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone() == (0,):
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Interrupts:
    """Raises KeyboardInterrupt before the `count`th line about the line of writers.

    Lines with `with` and `while` are left out: a trace comes there between a block and its end,
    where Python itself looks for no signals.
    """

    codes = (
        *(Writers.write, Writers._next_group, Writers._serve_group),
        *(Lanes.add, Lanes.take, Lanes._leave, Lanes._passing, Lanes._alone, Lanes.done),
    )

    def __init__(self, count: int) -> None:
        self.left = count
        self.codes = [function.__code__ for function in type(self).codes]

    def __call__(self, frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code not in self.codes:
            return None
        line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).lstrip()
        if event == "line" and not line.startswith(("with ", "while ")):
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return self

    def hit(self, memory: Memory) -> bool:
        """Write a value; tells whether that was interrupted."""
        traced = sys.gettrace()
        sys.settrace(self)
        try:
            memory.set("k", 2)
        except KeyboardInterrupt:
            return True
        finally:
            sys.settrace(traced)
        return False


def test_wherever_a_write_is_interrupted_others_go_on(memory: Memory) -> None:
    count = 0
    while Interrupts(count := count + 1).hit(memory):
        assert elsewhere(lambda: memory.increment("n")) == count
    assert count > 25
    assert memory.get("k") == 2


def elsewhere(act: Callable[[], Any], seconds: float = 10) -> Any:
    """The result of another thread, which must not wait for ever."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(act()), daemon=True)
    thread.start()
    thread.join(seconds)
    return results[0]
