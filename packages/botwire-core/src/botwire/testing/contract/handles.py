"""One memory, many users: threads, copies, processes, event loops, and the end."""

import asyncio
import copy
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from botwire.async_memory import AsyncMemory
from botwire.errors import Closed
from botwire.memory import Memory
from botwire.operations import Batch, Get
from botwire.testing.contract.kit import Capabilities, require

__all__ = ["Handles"]

FORK = """
import asyncio, os, sys, threading
from botwire import AsyncMemory, Memory

url, namespace, face = sys.argv[1:]
memory = {"Memory": Memory, "AsyncMemory": AsyncMemory}[face](namespace, url=url)

def work():
    if face == "Memory":
        for _ in range(20):
            memory.increment("n")
            memory.append("list", memory.get("n"))
    else:
        asyncio.run(work_async())

async def work_async():
    for _ in range(20):
        await memory.increment("n")
        await memory.append("list", await memory.get("n"))

work()
children = []
for _ in range(3):
    pid = os.fork()
    if not pid:
        status = 1
        try:
            threads = [threading.Thread(target=work) for _ in range(2)]
            [thread.start() for thread in threads]
            [thread.join() for thread in threads]
            status = 0
        finally:
            os._exit(status)
    children.append(pid)
work()
sys.exit(any(os.waitpid(pid, 0)[1] for pid in children))
"""


def together(count: int, act: Callable[[int], object]) -> None:
    """Run `act` in so many threads that begin at the same moment."""
    start = threading.Barrier(count)

    def run(number: int) -> None:
        start.wait()
        act(number)

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(run, range(count)))


class Handles:
    def test_ten_threads_that_increment_lose_nothing(self, memory: Memory) -> None:
        together(10, lambda _: [memory.increment("n") for _ in range(20)])
        assert memory.get("n") == 200

    def test_ten_threads_that_append_lose_nothing(self, memory: Memory) -> None:
        def append(number: int) -> None:
            for turn in range(20):
                memory.append("list", [number, turn, "x" * 50])

        together(10, append)
        items = memory.get("list")
        assert len(items) == 200
        for number in range(10):
            assert [turn for who, turn, _ in items if who == number] == list(range(20))

    def test_ten_threads_that_update_lose_nothing(self, memory: Memory) -> None:
        together(
            10, lambda n: memory.update("o", lambda o: {**o, str(n): o.get(str(n), 0) + 1}, {})
        )
        assert memory.get("o") == {str(number): 1 for number in range(10)}

    def test_one_of_ten_threads_that_create_a_key_wins(self, memory: Memory) -> None:
        won: list[int] = []

        def create(number: int) -> None:
            with memory.batch() as batch:
                batch.append("tries", number)
            try:
                memory.set("k", number, if_version=0)
            except Exception as lost:
                assert lost.current_value in range(10)  # type: ignore[attr-defined]  # noqa: PT017
            else:
                won.append(number)

        together(10, create)
        assert won == [memory.get("k")]
        assert sorted(memory.get("tries")) == list(range(10))

    def test_a_reader_never_sees_half_of_a_batch(self, memory: Memory) -> None:
        memory.set_many({"a": 0, "b": 0, "list": []})
        done = threading.Event()

        def write() -> None:
            try:
                for number in range(1, 30):
                    with memory.batch() as batch:
                        batch.set("a", number)
                        batch.append("list", "x" * 500)
                        batch.set("b", number)
            finally:
                done.set()

        writer = threading.Thread(target=write)
        writer.start()
        while not done.is_set():
            found = memory.get_many(["b", "a", "list"])
            assert found["a"] == found["b"] == len(found["list"])
            page = [entry.value for entry in memory.page().entries]
            assert page[0] == page[1] == len(page[2])
        writer.join()

    def test_reads_of_a_batch_are_of_one_moment(self, memory: Memory) -> None:
        name = memory.namespace
        memory.set_many({"a": 0, "b": 0})
        done = threading.Event()

        def write() -> None:
            try:
                for number in range(1, 100):
                    memory.set_many({"a": number, "b": number})
            finally:
                done.set()

        writer = threading.Thread(target=write)
        writer.start()
        while not done.is_set():
            first, second = memory.run(Batch(name, (Get(name, "a"), Get(name, "b"))))
            assert first == second
        writer.join()

    def test_copies_share_the_memory_but_not_the_end(self, memory: Memory) -> None:
        memory.set("k", 1)
        for twin in (copy.copy(memory), copy.deepcopy(memory), copy.deepcopy([memory])[0]):
            assert twin.get("k") == 1
            assert twin.namespace == memory.namespace
            twin.close()
        assert memory.get("k") == 1

    def test_a_pickled_memory_is_the_same_memory(
        self, memory: Memory, capabilities: Capabilities
    ) -> None:
        require(capabilities, "processes")
        memory.set("k", 1)
        twin = pickle.loads(pickle.dumps(memory))  # noqa: S301
        assert twin.get("k") == 1
        assert (twin.namespace, twin.url) == (memory.namespace, memory.url)
        twin.close()

    @pytest.mark.parametrize("face", ["Memory", "AsyncMemory"])
    def test_a_fork_disturbs_nobody(
        self, memory: Memory, capabilities: Capabilities, face: str
    ) -> None:
        require(capabilities, "processes")
        arguments = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK]
        subprocess.run([*arguments, memory.url, memory.namespace, face], check=True, timeout=60)
        assert memory.get("n") == 8 * 20
        assert len(memory.get("list")) == 8 * 20

    def test_one_memory_serves_several_event_loops(self, memory: Memory) -> None:
        shared = memory.to_async()

        async def work() -> None:
            await asyncio.gather(*(shared.increment("n") for _ in range(10)))
            assert await shared.get("n") >= 10
            assert [key async for key in shared] == ["n"]

        asyncio.run(work())
        together(4, lambda _: asyncio.run(work()))
        asyncio.run(_close(shared))
        assert memory.get("n") == 50

    def test_both_faces_are_one_memory(self, memory: Memory) -> None:
        memory.set("k", 1)
        asynchronous = memory.to_async()
        asyncio.run(_set(asynchronous, "k", 2))
        blocking = asynchronous.to_sync()
        assert memory.get("k") == blocking.get("k") == 2
        blocking.close()

    def test_a_closed_memory_says_so_and_closes_twice(self, memory: Memory) -> None:
        memory.set("k", 1)
        twin = copy.copy(memory)
        with twin:
            assert twin.get("k") == 1
        twin.close()
        for attempt in (lambda: twin.get("k"), lambda: twin.set("k", 2), lambda: twin.list_keys()):
            with pytest.raises(Closed, match="was closed"):
                attempt()
        never_used = copy.copy(memory)
        never_used.close()
        with pytest.raises(Closed):
            never_used.get("k")
        assert memory.get("k") == 1
        assert copy.copy(twin).get("k") == 1

    def test_building_one_does_nothing(self, memory: Memory) -> None:
        for number in range(1000):
            memory.namespaced(f"n{number}")
        assert memory.usage().version == 0

    def test_its_text_shows_where_it_is_but_no_secret(self, memory: Memory) -> None:
        assert repr(memory.namespace) in repr(memory)
        assert "api_key" not in repr(memory)


async def _set(memory: AsyncMemory, key: str, value: object) -> None:
    await memory.set(key, value)
    await memory.close()


async def _close(memory: AsyncMemory) -> None:
    await memory.close()
