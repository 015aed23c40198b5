"""Groups of writes on an event loop, where one of them takes long."""

import asyncio
import math
from collections.abc import Iterator, Sequence

import pytest

from botwire.operations import Increment, Operation
from botwire.stores.store import Ticket
from botwire.testing import PostgresServer
from botwire_server import writer
from botwire_server.metrics import Metrics
from botwire_server.postgres import PostgresStore
from botwire_server.writer import Writer

pytestmark = pytest.mark.postgres


class SlowDisk(PostgresStore):
    """A commit of the namespace `slow` takes until it is told to end."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.end = asyncio.Event()

    async def commit_soon(self, tickets: Sequence[Ticket]) -> Sequence[Ticket] | None:
        left = await super().commit_soon(tickets)
        if any(ticket.operation.namespace == "slow" for ticket in tickets):
            await self.end.wait()
        return left


@pytest.fixture
def store(botwire_postgres: PostgresServer) -> Iterator[SlowDisk]:
    store = SlowDisk(botwire_postgres.database())
    store.namespaces()  # a connection is open from here on
    yield store
    store.close()


async def keep_busy() -> None:
    while True:
        sum(range(20_000))
        await asyncio.sleep(0)


def submit(to: Writer, operation: Operation) -> asyncio.Future[Ticket]:
    written: asyncio.Future[Ticket] = asyncio.get_running_loop().create_future()
    to.submit(Ticket(operation), written.set_result)
    return written


@pytest.mark.parametrize("busy", [False, True])
def test_a_group_that_takes_long_holds_up_no_other_namespace(store: SlowDisk, busy: bool) -> None:
    async def scenario() -> None:
        line = Writer(store, Metrics(), lambda: None)
        other = asyncio.create_task(keep_busy()) if busy else None
        slow = submit(line, Increment("slow", "n"))
        await asyncio.sleep(0)
        passing = submit(line, Increment("quick", "n"))
        behind = submit(line, Increment("slow", "n"))
        assert (await asyncio.wait_for(passing, 30)).result()["value"] == "1"
        assert not slow.done()
        assert not behind.done()
        store.end.set()
        assert (await slow).result()["value"] == "1"
        assert (await behind).result()["value"] == "2"
        if other:
            other.cancel()
        await line.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(("enough", "soon"), [(math.inf, True), (0.0, False)])
def test_others_wait_twice_as_long_while_the_loop_has_enough_to_do(
    store: SlowDisk, monkeypatch: pytest.MonkeyPatch, enough: float, soon: bool
) -> None:
    monkeypatch.setattr(writer, "PATIENCE", 1.0)
    monkeypatch.setattr(writer, "ENOUGH", enough)  # nothing is enough, or anything is

    async def scenario() -> None:
        line = Writer(store, Metrics(), lambda: None)
        slow = submit(line, Increment("slow", "n"))
        await asyncio.sleep(0)
        passing = submit(line, Increment("quick", "n"))
        await asyncio.wait([passing], timeout=1.9)
        assert passing.done() is soon
        assert (await asyncio.wait_for(passing, 30)).result()["value"] == "1"
        assert not slow.done()
        store.end.set()
        await slow
        await line.close()

    asyncio.run(scenario())
