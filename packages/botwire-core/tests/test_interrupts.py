"""Ctrl-C in the middle of a write: others go on, and what was given up does not happen later."""

import linecache
import os
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from botwire import Memory
from botwire.stores import sqlite, store
from botwire.stores.sqlite import SQLiteStore

pytestmark = pytest.mark.skipif(os.name != "posix", reason="sends signals")


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[SQLiteStore]:
    made = SQLiteStore(tmp_path / "memory.db")
    yield made
    made.close()


@pytest.fixture
def memory(opened: SQLiteStore) -> Memory:
    memory = Memory("agent", store=opened)
    memory.set("k", 1)
    return memory


@pytest.fixture
def other(tmp_path: Path, memory: Memory) -> Iterator[sqlite3.Connection]:
    """Another application that has locked the file for writing."""
    connection = sqlite3.connect(
        tmp_path / "memory.db", isolation_level=None, check_same_thread=False, timeout=5
    )
    connection.execute("BEGIN IMMEDIATE")
    yield connection
    connection.close()


def ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def after(seconds: float, act: Callable[[], Any]) -> None:
    timer = threading.Timer(seconds, act)
    timer.daemon = True
    timer.start()


def test_a_write_that_was_interrupted_while_others_held_the_file_leaves_it_free(
    memory: Memory, other: sqlite3.Connection
) -> None:
    after(0.2, ctrl_c)
    after(0.4, lambda: other.execute("COMMIT"))
    with pytest.raises(KeyboardInterrupt):
        memory.set("k", 2)
    other.execute("BEGIN IMMEDIATE")
    other.execute("COMMIT")
    version = memory.set("k", 3)
    assert memory.get("k") == 3
    assert version == 2


def test_a_write_that_was_interrupted_in_the_line_is_not_written_later(
    memory: Memory, opened: SQLiteStore, other: sqlite3.Connection
) -> None:
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(memory.set, "first", 1)
        deadline = time.monotonic() + 10
        while not opened._lock.locked():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        after(0.2, ctrl_c)
        with pytest.raises(KeyboardInterrupt):
            memory.set("interrupted", 1)
        other.execute("COMMIT")
        first.result(10)
    memory.set("later", 1)
    assert memory.list_keys() == ["first", "k", "later"]


class Interrupts:
    """Raises KeyboardInterrupt before the `count`th line of these files that this thread runs.

    Lines with `with` and `while` are left out: a trace comes there between a block and its end,
    where Python itself looks for no signals.
    """

    def __init__(self, count: int, *files: str | None) -> None:
        self.left = count
        self._files = files

    def __call__(self, frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename not in self._files:
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
    while Interrupts(count := count + 1, store.__file__, sqlite.__file__).hit(memory):
        assert elsewhere(lambda: memory.increment("n")) == count
    assert count > 50
    assert memory.get("k") == 2


def elsewhere(act: Callable[[], Any], seconds: float = 10) -> Any:
    """The result of another thread, which must not wait for ever."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(act()), daemon=True)
    thread.start()
    thread.join(seconds)
    return results[0]
