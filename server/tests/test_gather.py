"""Reads that arrive together share a round trip, and nobody notices but the clock."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from botwire import Memory
from botwire.errors import Unavailable, WrongType
from botwire.jsontext import encode
from botwire.operations import Batch, Exists, Get, Operation, Tail
from botwire.stores.base import Escalate, Mode
from botwire.stores.store import Ticket
from botwire.testing import PostgresServer, ServerProcess
from botwire_server.gather import GROUP, GroupReader
from botwire_server.postgres import PostgresStore
from botwire_server.requests import Request
from botwire_server.service import Service
from botwire_server.settings import Settings

pytestmark = pytest.mark.postgres


PLAIN = Request("GET", b"", b"", [], 1)


class Watched(PostgresStore):
    """Notes how many reads went together, and which went alone."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.groups: list[int] = []
        self.alone: list[tuple[str, Mode]] = []

    def read_together(self, tickets: Sequence[Ticket]) -> None:
        self.groups.append(len(tickets))
        super().read_together(tickets)

    async def read_together_soon(self, tickets: Sequence[Ticket]) -> bool:
        self.groups.append(len(tickets))
        read = await super().read_together_soon(tickets)
        if not read:  # `read_together` notes it
            self.groups.remove(len(tickets))
        return read

    def read(self, operation: Operation, mode: Mode) -> Any:
        self.alone.append((operation.name, mode))
        return super().read(operation, mode)


@pytest.fixture(scope="module")
def database(botwire_postgres: PostgresServer) -> str:
    return botwire_postgres.database()


@pytest.fixture
def store(database: str) -> Iterator[Watched]:
    store = Watched(database)
    yield store
    store.close()


@pytest.fixture
def memory(store: Watched, request: pytest.FixtureRequest) -> Memory:
    return Memory(request.node.nodeid, store=store)


class Reader(GroupReader):
    """Reads that can be awaited."""

    async def read(self, operation: Operation) -> Any:
        settled: asyncio.Future[Ticket] = asyncio.get_running_loop().create_future()

        def done(ticket: Ticket) -> None:
            if not settled.done():
                settled.set_result(ticket)

        self.submit(Ticket(operation), done)
        return (await settled).result()


def with_reader(store: PostgresStore, act: Callable[[Reader], Awaitable[Any]]) -> Any:
    """The result of `act` in an event loop."""

    async def run() -> Any:
        reader = Reader(store)
        try:
            return await act(reader)
        finally:
            await reader.close()

    return asyncio.run(run())


def together(store: PostgresStore, *operations: Operation) -> list[Any]:
    """The replies (or errors) of reads that arrive in one turn of an event loop."""

    async def act(reader: Reader) -> list[Any]:
        reads = map(reader.read, operations)
        return await asyncio.gather(*reads, return_exceptions=True)

    return with_reader(store, act)


def values(replies: Sequence[Any]) -> list[str | None]:
    return [None if reply is None else reply["value"] for reply in replies]


@contextmanager
def standing_still(database: str) -> Generator[None]:
    """No read comes to its end within this block."""
    with psycopg.connect(database) as connection:
        connection.execute("LOCK TABLE botwire.entries IN ACCESS EXCLUSIVE MODE")
        yield
        connection.rollback()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  # another thread makes it true
            await asyncio.sleep(0.001)


def test_reads_that_arrive_together_share_a_round_trip(store: Watched, memory: Memory) -> None:
    other = memory.namespaced(memory.namespace + " other")
    memory.set_many({f"k{number}": number for number in range(30)})
    other.set("k1", "other")
    reads = [Get(memory.namespace, f"k{number}") for number in range(30)]
    more = [Get(memory.namespace, "none"), Get(other.namespace, "k1"), reads[5]]
    found = values(together(store, *reads, *more))
    assert found == [*map(str, range(30)), None, '"other"', "5"]
    assert store.groups == [33]


def test_a_read_that_finds_nobody_under_way_leaves_alone(store: Watched, memory: Memory) -> None:
    memory.set("k", encode(1))

    async def act(reader: Reader) -> None:
        for _ in range(3):
            await reader.read(Get(memory.namespace, "k"))

    with_reader(store, act)
    assert store.groups == [1, 1, 1]


def test_others_gather_while_two_groups_are_under_way(
    store: Watched, memory: Memory, database: str
) -> None:
    memory.set("k", 1)
    read = Get(memory.namespace, "k")

    async def act(reader: Reader) -> list[Any]:
        with standing_still(database):
            first = asyncio.create_task(reader.read(read))
            await until(lambda: len(store.groups) == 1)
            second = asyncio.create_task(reader.read(read))
            await until(lambda: len(store.groups) == 2)
            others = [asyncio.create_task(reader.read(read)) for _ in range(GROUP + 20)]
            await asyncio.sleep(0)
        return await asyncio.gather(first, second, *others)

    assert values(with_reader(store, act)) == ["1"] * (GROUP + 22)
    assert store.groups[:2] == [1, 1]
    assert sorted(store.groups[2:]) == [20, GROUP]


def test_whoever_reads_again_when_all_groups_end_at_once_is_served(
    store: Watched, memory: Memory, database: str
) -> None:
    memory.set("k", 1)
    read = Get(memory.namespace, "k")

    async def twice(reader: Reader) -> Any:
        await reader.read(read)
        return await reader.read(read)

    async def act(reader: Reader) -> Any:
        with standing_still(database):
            first = asyncio.create_task(twice(reader))
            await until(lambda: len(store.groups) == 1)
            second = asyncio.create_task(reader.read(read))
            await until(lambda: len(store.groups) == 2)
        time.sleep(0.3)  # noqa: ASYNC251  # the loop learns of both in the same turn
        await second
        return await asyncio.wait_for(first, 10)

    assert with_reader(store, act)["value"] == "1"


def test_what_one_meets_does_not_touch_the_others(store: Watched, memory: Memory) -> None:
    memory.set_many({"text": "x", "list": [1, 2]})
    name = memory.namespace
    found = together(store, Tail(name, "text", 1), Tail(name, "list", 1), Exists(name, "text"))
    assert isinstance(found[0], WrongType)
    assert found[1]["items"] == "[2]"
    assert found[2] == {"exists": True}
    assert store.groups == [3]


def test_a_bug_in_one_does_not_touch_the_others(store: Watched, memory: Memory) -> None:
    class Broken(Get):
        def apply(self, space: object) -> Any:
            raise ZeroDivisionError

    memory.set("k", 1)
    found = together(store, Broken(memory.namespace, "k"), Get(memory.namespace, "k"))
    assert isinstance(found[0], ZeroDivisionError)
    assert found[1]["value"] == "1"


def test_what_is_large_sliding_or_in_chunks_asks_for_more(store: Watched, memory: Memory) -> None:
    memory.set("large", "x" * 70_000)
    memory.set("sliding", 1, ttl=60, sliding=True)
    memory.append("list", *["x" * 900] * 200)
    memory.set("small", "x" * 60_000)
    keys = ("large", "sliding", "list", "small")
    found = together(store, *[Get(memory.namespace, key) for key in keys])
    modes = [each.mode if isinstance(each, Escalate) else None for each in found]
    assert modes == [Mode.POINT, Mode.WRITE, Mode.SNAPSHOT, None]


def test_the_newest_items_of_a_long_list_need_no_second_read(
    store: Watched, memory: Memory
) -> None:
    memory.append("list", *["x" * 900] * 200)
    memory.append("list", "newer", "newest")
    reads = [Tail(memory.namespace, "list", 2)] * 2
    found = together(store, *reads)
    assert [reply["items"] for reply in found] == ['["newer","newest"]'] * 2
    assert store.groups == [2]


def test_a_caller_that_goes_away_takes_nobody_along(
    store: Watched, memory: Memory, database: str
) -> None:
    memory.set("k", 1)

    async def act(reader: Reader) -> Any:
        read = Get(memory.namespace, "k")
        with standing_still(database):
            callers = [asyncio.create_task(reader.read(read)) for _ in range(3)]
            await until(lambda: store.groups == [3])
            callers[1].cancel()
            await asyncio.sleep(0)
        return await asyncio.gather(*callers, return_exceptions=True)

    found = with_reader(store, act)
    assert isinstance(found[1], asyncio.CancelledError)
    assert values([found[0], found[2]]) == ["1", "1"]


def test_each_is_told_when_the_database_cannot_be_reached() -> None:
    store = PostgresStore("postgresql://nobody@127.0.0.1:1/none")
    found = together(store, *[Get("a", f"k{number}") for number in range(5)])
    assert [type(each) for each in found] == [Unavailable] * 5


def test_closing_waits_for_what_is_under_way_and_the_loop_goes_on(
    store: Watched, memory: Memory, database: str
) -> None:
    memory.set("k", 1)

    async def act() -> Any:
        reader = Reader(store)
        with standing_still(database):
            read = asyncio.create_task(reader.read(Get(memory.namespace, "k")))
            await until(lambda: store.groups == [1])
            closing = asyncio.create_task(reader.close())
            for _ in range(10):
                await asyncio.sleep(0.001)
            assert not closing.done()
        await asyncio.wait_for(closing, 10)
        return await read

    assert asyncio.run(act())["value"] == "1"


class TestThroughAService:
    """What a group leaves is read on its own, and no read costs more round trips than it must."""

    @staticmethod
    def read(store: Watched, operation: Operation) -> Any:
        async def run() -> Any:
            service = Service(store, Settings(url="postgresql://", port=0))
            try:
                return await service.run(operation, PLAIN)
            finally:
                await service.close()

        return asyncio.run(run())

    def test_a_large_value_comes_whole(self, store: Watched, memory: Memory) -> None:
        memory.append("list", *["x" * 900] * 200)
        assert len(self.read(store, Get(memory.namespace, "list"))["value"]) > 180_000
        assert store.alone == [("get", Mode.SNAPSHOT)]

    def test_reading_a_sliding_entry_writes_at_once(self, store: Watched, memory: Memory) -> None:
        memory.set("k", 1, ttl=60, sliding=True)
        assert self.read(store, Get(memory.namespace, "k"))["value"] == "1"
        assert not store.alone

    def test_a_batch_reads_its_keys_at_one_moment(self, store: Watched, memory: Memory) -> None:
        memory.set_many({"a": 1, "b": 2})
        name = memory.namespace
        batch = Batch(name, (Get(name, "a"), Get(name, "b")))
        assert values(self.read(store, batch)["results"]) == ["1", "2"]
        assert store.alone == [("batch", Mode.SNAPSHOT)]
        assert not store.groups


def test_a_read_finds_every_write_that_was_answered_before(database: str) -> None:
    with ServerProcess(database) as server:

        async def work(number: int) -> None:
            async with server.memory(f"fresh {number % 4}").to_async() as memory:
                for turn in range(20):
                    await memory.set(f"k{number}", turn)
                    assert await memory.get(f"k{number}") == turn

        async def run() -> None:
            await asyncio.gather(*map(work, range(24)))

        asyncio.run(run())
