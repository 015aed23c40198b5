"""Groups of writes on an event loop, where one of them takes long."""

import asyncio
from collections.abc import Iterator, Sequence

import pytest

from botwire.operations import Increment, Operation
from botwire.stores.store import Ticket
from botwire.testing import PostgresServer
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


@pytest.mark.parametrize("busy", [False, True])
def test_a_group_that_takes_long_holds_up_no_other_namespace(store: SlowDisk, busy: bool) -> None:
    async def scenario() -> None:
        writer = Writer(store, Metrics(), lambda: None)

        def write(operation: Operation) -> asyncio.Future[Ticket]:
            written: asyncio.Future[Ticket] = asyncio.get_running_loop().create_future()
            writer.submit(Ticket(operation), written.set_result)
            return written

        other = asyncio.create_task(keep_busy()) if busy else None
        slow = write(Increment("slow", "n"))
        await asyncio.sleep(0)
        passing, behind = write(Increment("quick", "n")), write(Increment("slow", "n"))
        assert (await asyncio.wait_for(passing, 30)).result()["value"] == "1"
        assert not slow.done()
        assert not behind.done()
        store.end.set()
        assert (await slow).result()["value"] == "1"
        assert (await behind).result()["value"] == "2"
        if other:
            other.cancel()
        await writer.close()

    asyncio.run(scenario())
