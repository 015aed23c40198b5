"""Agents that write while something is done to their server, and miss nothing of it."""

import itertools
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from botwire import Memory

__all__ = ["Writing"]


class Writing:
    """Agents that write without a pause, and note what they were told."""

    def __init__(self, url: str, writers: int = 8) -> None:
        self._url = url
        self._over = threading.Event()
        self._threads = ThreadPoolExecutor(writers)
        self._counts: list[Future[int]] = []
        self._names = [f"agent {number}" for number in range(writers)]
        self.slowest = 0.0

    def __enter__(self) -> Self:
        self._counts = [self._threads.submit(self._work, name) for name in self._names]
        return self

    def _work(self, name: str) -> int:
        with Memory(name, url=self._url) as memory:
            for turn in itertools.count(1):
                began = time.monotonic()
                assert memory.append("log", turn) == turn
                assert memory.increment("turns") == turn
                assert memory.get("turns") == turn
                self.slowest = max(self.slowest, time.monotonic() - began)
                if self._over.is_set():
                    return turn
        raise AssertionError("unreachable")

    def go_on(self) -> None:
        """Wait until every writer has certainly written again."""
        before = [self._length(name) for name in self._names]
        deadline = time.monotonic() + 20
        while [n for n, old in zip(self._names, before, strict=True) if self._length(n) < old + 2]:
            for stopped in (count for count in self._counts if count.done()):
                stopped.result()  # raises what it met
            assert time.monotonic() < deadline, "the writers do not go on"

    def _length(self, name: str) -> int:
        with Memory(name, url=self._url) as memory:
            return memory.get("turns", 0)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._over.set()
        self._threads.shutdown()
        if kind is None:
            for name, count in zip(self._names, self._counts, strict=True):
                with Memory(name, url=self._url) as memory:
                    turns = count.result()  # raises what a writer met
                    assert memory.get("log") == list(range(1, turns + 1))
                    assert memory.get("turns") == turns
