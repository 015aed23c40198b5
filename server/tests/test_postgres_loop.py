"""Groups on an event loop: it goes on meanwhile, and what goes wrong leaves nothing behind."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg.waiting import wait_async

from botwire import Memory
from botwire.errors import Unavailable
from botwire.jsontext import encode
from botwire.operations import Append, Get, Increment, Operation, Set
from botwire.stores.store import Ticket
from botwire.testing import PostgresServer
from botwire.testing.proxy import Proxy
from botwire_server.postgres import PostgresStore, pool
from botwire_server.requests import Request
from botwire_server.service import Service
from botwire_server.settings import Settings

pytestmark = pytest.mark.postgres


@pytest.fixture
def database(botwire_postgres: PostgresServer) -> str:
    return botwire_postgres.database()


@contextmanager
def opened(url: str, *, known: bool = False) -> Iterator[tuple[PostgresStore, Memory]]:
    """A store with one open connection, and a memory in it that holds `n`.

    `known`: the store has written that itself.
    """
    store = PostgresStore(url)
    memory = Memory("ns", store=store)
    with Memory("ns", store=store if known else PostgresStore(url)) as first:
        first.set("n", 1)
    memory.get("n")
    yield store, memory
    store.close()


either = pytest.mark.parametrize("known", [False, True], ids=["read first", "known"])


@pytest.fixture
def proxied(proxy: Proxy, own: PostgresServer) -> str:
    """The address of a database by way of the proxy."""
    name = own.database().partition("?")[0].rpartition("/")[2]
    return f"postgresql://postgres@127.0.0.1:{proxy.port}/{name}"


def increments(*names: str) -> list[Ticket]:
    return [Ticket(Increment(name, "n")) for name in names]


def commit(store: PostgresStore, tickets: list[Ticket]) -> Any:
    return asyncio.run(store.commit_soon(tickets))


def backends(database: str) -> list[int]:
    query = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> %s"
    with psycopg.connect(database) as other:
        return [pid for (pid,) in other.execute(query, [other.info.backend_pid])]


def idle_in_transaction(database: str) -> int:
    query = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
    with psycopg.connect(database) as other:
        row = other.execute(query).fetchone()
    assert row is not None
    return row[0]


@either
def test_writes_are_committed_together_and_make_their_namespaces(
    database: str, known: bool
) -> None:
    with opened(database, known=known) as (store, memory):
        tickets = increments("ns", "ns", "new", "newer")
        assert commit(store, tickets) == []
        assert [ticket.result()["value"] for ticket in tickets] == ["2", "3", "1", "1"]
        assert all(ticket.done for ticket in tickets)
        assert memory.get("n") == 3
        assert [memory.namespaced(name).get("n") for name in ("new", "newer")] == [1, 1]


@either
def test_the_loop_goes_on_while_the_database_stands_still(database: str, known: bool) -> None:
    async def act(store: PostgresStore) -> int:
        turns = 0
        with psycopg.connect(database) as other:
            other.execute("LOCK TABLE botwire.entries IN ACCESS EXCLUSIVE MODE")
            writing = asyncio.create_task(store.commit_soon(increments("ns")))
            for _ in range(50):
                await asyncio.sleep(0.001)
                turns += 1
            assert not writing.done()
        assert await asyncio.wait_for(writing, 10) == []
        return turns

    with opened(database, known=known) as (store, memory):
        assert asyncio.run(act(store)) == 50
        assert memory.get("n") == 2


@either
def test_what_others_hold_is_left_and_the_rest_is_done(database: str, known: bool) -> None:
    with opened(database, known=known) as (store, memory):
        memory.namespaced("held").set("n", 1)
        held, free = increments("held", "ns")
        with psycopg.connect(database) as other:
            other.execute("SELECT FROM botwire.namespaces WHERE namespace = 'held' FOR UPDATE")
            assert commit(store, [held, free]) == [held]
        assert held.held_up
        assert not held.done
        assert free.result()["value"] == "2"
        assert commit(store, [held]) == []  # this one waits where it must
        assert held.result()["value"] == "2"


@either
def test_an_operation_that_fails_fails_alone(database: str, known: bool) -> None:
    with opened(database, known=known) as (store, memory):
        memory.set("text", "x")
        wrong, right = Ticket(Increment("ns", "text")), Ticket(Increment("ns", "n"))
        assert commit(store, [wrong, right]) == []
        assert type(wrong.error).__name__ == "WrongType"
        assert right.result()["value"] == "2"


def test_without_an_open_connection_nothing_happens(database: str) -> None:
    store = PostgresStore(database)
    assert commit(store, increments("ns")) is None
    assert asyncio.run(store.read_together_soon([Ticket(Get("ns", "n"))])) is False


@either
def test_what_has_to_ask_for_more_is_undone_and_its_connection_goes_on(
    database: str, known: bool
) -> None:
    with opened(database, known=known) as (store, memory):
        memory.append("list", *["x" * 900] * 200)
        pids = backends(database)
        trim = Ticket(Append("ns", "list", (encode(1),), max_items=3))
        assert commit(store, [*increments("ns"), trim]) is None
        assert memory.get("n") == 1
        assert memory.length("list") == 200
        assert idle_in_transaction(database) == 0
        assert backends(database) == pids
        assert store.commit([trim]) == []
        assert memory.get("list") == ["x" * 900, "x" * 900, 1]


def test_what_was_only_queued_is_dropped_without_a_word_to_the_database(database: str) -> None:
    with opened(database) as (store, _):
        wire = store.pool.take()
        notices: list[object] = []
        wire.connection.add_notice_handler(notices.append)
        wire.put_plain("BEGIN")
        assert wire.undo()
        assert wire.ask("SELECT %s::text", "next", end=True) == [("next",)]
        assert notices == []
        store.pool.give_back(wire, whole=True)


@either
def test_a_bug_leaves_nothing_behind(database: str, known: bool) -> None:
    class Broken(Set):
        def apply(self, space: object) -> Any:
            raise ZeroDivisionError

    with opened(database, known=known) as (store, memory):
        tickets = [*increments("ns"), Ticket(Broken("ns", "k", encode(1)))]
        assert commit(store, tickets) is None
        assert memory.get("n") == 1
        assert idle_in_transaction(database) == 0


def test_a_connection_that_is_cut_before_the_commit_leaves_nothing_behind(
    proxy: Proxy, proxied: str
) -> None:
    with opened(proxied) as (store, memory):
        proxy.cut_at(b'{"ns"}', answered=True)
        assert commit(store, increments("ns")) is None
        assert proxy.happened.is_set()
        assert memory.get("n") == 1


@either
@pytest.mark.parametrize("answered", [True, False], ids=["committed", "not committed"])
def test_a_connection_that_is_cut_during_the_commit_leaves_open_what_happened(
    proxy: Proxy, proxied: str, answered: bool, known: bool
) -> None:
    with opened(proxied, known=known) as (store, memory):
        proxy.cut_at(b"COMMIT\0", answered=answered)
        tickets = increments("ns", "ns")
        assert commit(store, tickets) == ()
        for ticket in tickets:
            with pytest.raises(Unavailable, match="it is not known whether"):
                ticket.result()
        assert memory.get("n") == (3 if answered else 1)


@either
def test_an_error_after_the_commit_was_sent_never_repeats_it(
    database: str, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[Any] = []

    async def losing_the_last(results: Any, *more: Any) -> Any:
        waits.append(await wait_async(results, *more))
        if len(waits) == (1 if known else 2):  # the commit
            raise psycopg.OperationalError("connection socket closed")
        return waits[-1]

    with opened(database, known=known) as (store, memory):
        monkeypatch.setattr(pool, "wait_async", losing_the_last)
        tickets = increments("ns")
        assert commit(store, tickets) == ()
        with pytest.raises(Unavailable, match="it is not known whether"):
            tickets[0].result()
        assert memory.get("n") == 2


def test_a_read_whose_connection_is_cut_is_left_to_others(proxy: Proxy, proxied: str) -> None:
    with opened(proxied) as (store, memory):
        proxy.cut_at(b"unnest", answered=False)
        tickets = [Ticket(Get("ns", "n")), Ticket(Get("ns", "none"))]
        assert asyncio.run(store.read_together_soon(tickets)) is False
        assert proxy.happened.is_set()
        assert not any(ticket.done for ticket in tickets)
        assert memory.get("n") == 1


def test_a_database_that_stands_still_is_given_up(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "ANSWER", 0.3)
    with opened(database) as (store, memory):
        with psycopg.connect(database) as other:
            other.execute("LOCK TABLE botwire.entries IN ACCESS EXCLUSIVE MODE")
            assert commit(store, increments("ns")) is None
        assert memory.get("n") == 1


def test_a_database_that_stands_still_with_the_commit_leaves_open_what_happened(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "ANSWER", 0.3)
    with opened(database, known=True) as (store, _):
        lost, after = increments("ns", "ns")
        with psycopg.connect(database) as other:
            other.execute("LOCK TABLE botwire.entries IN ACCESS EXCLUSIVE MODE")
            assert commit(store, [lost]) == ()
        with pytest.raises(Unavailable, match="it is not known whether"):
            lost.result()
        assert store.commit([after]) == []
        assert after.result()["value"] == "3"  # what was lost ran on in the database


def test_a_server_leaves_to_threads_what_is_large_and_nothing_else(database: str) -> None:
    in_threads: list[str] = []

    class Watched(PostgresStore):
        def commit(self, tickets: Sequence[Ticket]) -> Sequence[Ticket]:
            in_threads.extend(ticket.operation.name for ticket in tickets)
            return super().commit(tickets)

        def read_together(self, tickets: Sequence[Ticket]) -> None:
            in_threads.extend(ticket.operation.name for ticket in tickets)
            super().read_together(tickets)

    async def act() -> list[Any]:
        store = Watched(database)
        store.namespaces()  # opens a connection
        service = Service(store, Settings(url="postgresql://", port=0))
        request = Request("POST", b"/v1/set", b"", [], 1)
        small = [Set("ns", f"k{n}", encode("x")) for n in range(5)] + [Increment("ns", "n")]
        large = Set("ns", "large", encode("x" * 70_000))
        try:
            await asyncio.gather(*[service.run(operation, request) for operation in small])
            found = await asyncio.gather(
                *[service.run(Get("ns", f"k{n}"), request) for n in range(5)]
            )
            await service.run(large, request)
        finally:
            await service.close()
        return found

    assert [each["value"] for each in asyncio.run(act())] == ['"x"'] * 5
    assert in_threads == ["set"]


def test_an_operation_read_with_others_sees_every_kind_of_row(database: str) -> None:
    operations: list[Operation] = [Get("ns", "n"), Get("ns", "none"), Get("other", "n")]
    with opened(database) as (store, memory):
        memory.namespaced("other").set("n", "other")
        tickets = [Ticket(operation) for operation in operations]
        assert asyncio.run(store.read_together_soon(tickets))
        found = [ticket.result() for ticket in tickets]
    assert [each and each["value"] for each in found] == ["1", None, '"other"']
