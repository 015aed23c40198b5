"""Writing what is known without reading it first: one round trip, and never a wrong outcome."""

import asyncio
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg.waiting import wait_async

from botwire import Memory
from botwire.errors import BotWireError, IdempotencyMismatch
from botwire.jsontext import Json, decode, encode, write
from botwire.operations import (
    Append,
    Batch,
    Clear,
    Delete,
    Get,
    Increment,
    Merge,
    Operation,
    Persist,
    Scan,
    Set,
    SetMany,
    Touch,
    Usage,
)
from botwire.runners import open_store
from botwire.stores.base import Limits
from botwire.stores.store import Once, Store, Ticket
from botwire.testing import PostgresServer
from botwire.transfer.entries import Kept, Restore
from botwire_server.postgres import PostgresStore, clock, known, pool, sql
from botwire_server.postgres.wire import Wire

pytestmark = pytest.mark.postgres


@pytest.fixture
def database(botwire_postgres: PostgresServer) -> str:
    return botwire_postgres.database()


@pytest.fixture
def store(database: str) -> Iterator[PostgresStore]:
    """A server's store that has written what is there itself."""
    store = PostgresStore(database)
    fill(store)
    yield store
    store.close()


@pytest.fixture
def reference() -> Store:
    """A store of another kind that holds the same."""
    store = open_store("memory://")
    fill(store)
    return store


def fill(store: Store) -> None:
    memory = Memory("ns", store=store)
    memory.set("n", 1)
    memory.append("list", "a")
    memory.set("short", 1, ttl=3600)


@pytest.fixture
def second(database: str) -> Iterator[PostgresStore]:
    """The store of another server."""
    store = PostgresStore(database)
    yield store
    store.close()


@pytest.fixture
def other(second: PostgresStore) -> Memory:
    """The same memory by way of the other server."""
    return Memory("ns", store=second)


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Grows with each round trip that the event loop makes."""
    made: list[None] = []

    async def counted(*given: Any) -> Any:
        made.append(None)
        return await wait_async(*given)

    monkeypatch.setattr(pool, "wait_async", counted)
    return made


def soon(store: PostgresStore, *operations: Operation, once: Once | None = None) -> list[Any]:
    """Write on an event loop, in one group; the replies or errors."""
    tickets = [Ticket(operation, once) for operation in operations]
    assert asyncio.run(store.commit_soon(tickets)) == []
    return [ticket.error or ticket.reply for ticket in tickets]


def value(text: object) -> Json:
    return encode(text)


class TestWhatIsKnown:
    @pytest.mark.parametrize(
        "operation",
        [
            Set("ns", "n", value(2)),
            Set("ns", "n", value(2), if_version=1),
            Set("ns", "n", value(2), if_version=9),
            Set("ns", "new", value(2), if_version=0),
            Set("ns", "n", value(2), ttl=60, sliding=True),
            Increment("ns", "n"),
            Increment("ns", "short"),
            Append("ns", "list", (value("b"),)),
            Append("ns", "new", (value("b"),), max_items=3),
            Delete("ns", "n"),
            Delete("ns", "none"),
            Touch("ns", "short", 60),
            Persist("ns", "short"),
            SetMany("ns", {"n": value(1), "new": value(2)}),
            Batch("ns", (Set("ns", "new", value(1)), Increment("ns", "n"))),
        ],
        ids=repr,
    )
    def test_is_written_in_one_round_trip_as_it_would_be_otherwise(
        self, store: PostgresStore, reference: Store, trips: list[None], operation: Operation
    ) -> None:
        (reply,) = soon(store, operation)
        assert len(trips) == 1
        assert same(reply) == same(outcome(reference, operation))
        assert kept(store) == kept(reference)

    def test_is_known_from_one_write_to_the_next(
        self, store: PostgresStore, trips: list[None]
    ) -> None:
        for number in range(2, 12):
            replies = soon(store, Increment("ns", "n"), Append("ns", f"{number}", (value(1),)))
            assert replies[0]["value"] == str(number)
            soon(store, Set("ns", "n", value(number), if_version=replies[0]["version"]))
        assert len(trips) == 20

    def test_a_new_namespace_is_known_from_its_first_write_on(
        self, store: PostgresStore, trips: list[None]
    ) -> None:
        soon(store, Set("new", "k", value(1)), Increment("ns", "n"))
        first = len(trips)
        assert soon(store, Increment("new", "k"), Increment("ns", "n"))[0]["value"] == "2"
        assert (first, len(trips) - first) == (3, 1)

    def test_is_not_used_when_the_time_was_not_read_for_long(
        self, store: PostgresStore, trips: list[None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(clock, "FRESH", 0.0)
        soon(store, Increment("ns", "n"))
        assert len(trips) == 2

    def test_is_forgotten_when_a_connection_was_lost(
        self, store: PostgresStore, database: str, trips: list[None]
    ) -> None:
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        assert Memory("ns", store=store).get("n") == 1
        soon(store, Increment("ns", "n"))
        assert len(trips) == 2


CHANGES: dict[str, Callable[[Memory], object]] = {
    "another value of the same size": lambda memory: memory.set("n", 7),
    "set": lambda memory: memory.set("n", "another type"),
    "increment": lambda memory: memory.increment("n"),
    "delete": lambda memory: memory.delete("n"),
    "deleted and set": lambda memory: (memory.delete("n"), memory.set("n", 1)),
    "append": lambda memory: memory.append("list", "b"),
    "a new key": lambda memory: memory.set("new", 5),
    "ttl": lambda memory: memory.touch("n", 60),
    "sliding": lambda memory: memory.set("n", 1, ttl=60, sliding=True),
    "clear": lambda memory: memory.clear(),
}


class TestWhatSomebodyElseChanged:
    @pytest.mark.parametrize("change", list(CHANGES))
    @pytest.mark.parametrize(
        "operation",
        [
            Increment("ns", "n"),
            Set("ns", "n", value(2), if_version=1),
            Set("ns", "new", value(2), if_version=0),
            Append("ns", "list", (value("c"),)),
            Delete("ns", "none"),
            Touch("ns", "n", 90),
        ],
        ids=repr,
    )
    def test_is_seen_before_anything_is_written(
        self,
        store: PostgresStore,
        reference: Store,
        other: Memory,
        change: str,
        operation: Operation,
    ) -> None:
        for each in (Memory("ns", store=reference), other):
            CHANGES[change](each)
        (reply,) = soon(store, operation)
        assert same(reply) == same(outcome(reference, operation))
        assert kept(store) == kept(reference)

    def test_is_seen_when_entries_were_put_back(
        self, store: PostgresStore, second: PostgresStore
    ) -> None:
        second.write(Restore("ns", (Kept("n", value(5), 1, 1.0, 1.0),), force=True))
        assert soon(store, Increment("ns", "n"))[0]["value"] == "6"

    def test_is_seen_when_it_was_swept(
        self, store: PostgresStore, second: PostgresStore, database: str
    ) -> None:
        with psycopg.connect(database) as connection:
            connection.execute(
                "UPDATE botwire.entries SET expires_at = expires_at - 7200 WHERE key = 'short'"
            )
        second.sweep()
        soon(store, Set("ns", "more", value(1)))
        usage = Memory("ns", store=store).usage()
        assert usage.entries == 3
        assert usage.bytes == sum(len(key) for key in ("n", "list", "more")) + 1 + 5 + 1

    def test_fails_no_connection_and_is_doubted_for_a_while(
        self, store: PostgresStore, other: Memory, trips: list[None]
    ) -> None:
        needed: list[int] = []
        for _ in range(5):
            soon(store, Increment("ns", "n"))
        other.set("n", 0)
        for number in range(1, 6):
            before = len(trips)
            assert soon(store, Increment("ns", "n"))[0]["value"] == str(number)
            needed.append(len(trips) - before)
        assert needed == [4, 2, 2, 1, 1]  # tried, undone, read, written; read and written; known
        assert store.pool.losses == 0

    def test_is_waited_for_while_they_hold_it(
        self, store: PostgresStore, database: str, trips: list[None]
    ) -> None:
        ticket = Ticket(Increment("ns", "n"))
        with psycopg.connect(database) as connection:
            connection.execute("SELECT FROM botwire.namespaces WHERE namespace = 'ns' FOR UPDATE")
            assert asyncio.run(store.commit_soon([ticket])) == [ticket]
            assert not ticket.done
        before = len(trips)
        assert asyncio.run(store.commit_soon([ticket])) == []
        assert ticket.reply["value"] == "2"
        assert len(trips) - before == 2  # no guess: whoever held it has probably changed it

    def test_does_not_keep_a_statement_from_being_prepared_later(
        self, store: PostgresStore, other: Memory
    ) -> None:
        other.set("n", 5)
        soon(store, Increment("ns", "n"))  # what follows the check was not prepared
        for _ in range(5):
            soon(store, Increment("ns", "n"), Delete("ns", "list"), Append("ns", "l", (value(1),)))
        assert other.get("n") == 11


class TestIdempotencyKeys:
    def test_that_come_again_give_the_first_reply(self, store: PostgresStore) -> None:
        once = Once("key", "append")
        for _ in range(3):
            assert (
                same(soon(store, Append("ns", "list", (value("b"),)), once=once)[0])["length"] == 2
            )
        assert Memory("ns", store=store).get("list") == ["a", "b"]

    def test_that_come_again_give_it_also_where_repeating_would_fail(
        self, store: PostgresStore
    ) -> None:
        create, once = Set("ns", "new", value(1), if_version=0), Once("key", "create")
        (first,) = soon(store, create, once=once)
        (again,) = soon(store, create, once=once)
        assert same(again) == same(first)
        with pytest.raises(IdempotencyMismatch):
            raise soon(store, create, once=Once("key", "other"))[0]

    def test_that_were_used_elsewhere_without_a_change_are_found(
        self, store: PostgresStore, second: PostgresStore
    ) -> None:
        delete, once = Delete("ns", "none"), Once("key", "delete")
        first = second.write(delete, once)  # changes nothing, so no ledger shows it
        (again,) = soon(store, delete, once=once)
        assert same(again) == same(first)

    def test_are_remembered_with_the_write(self, store: PostgresStore, trips: list[None]) -> None:
        soon(store, Increment("ns", "n"), once=Once("key", "increment"))
        assert len(trips) == 1
        reply = store.write(Increment("ns", "n"), Once("key", "increment"))
        assert same(reply)["value"] == 2


class TestTime:
    def test_that_jumps_ahead_is_seen_before_anything_is_written(
        self, store: PostgresStore, database: str
    ) -> None:
        with psycopg.connect(database) as connection:
            connection.execute("UPDATE botwire.time SET ahead = ahead + 7200")
        (reply,) = soon(store, Increment("ns", "short", value(10)))
        assert reply["value"] == "10"  # what lived an hour has expired
        assert Memory("ns", store=store).ttl("short") == float("inf")

    def test_that_is_set_back_changes_nothing(self, store: PostgresStore, database: str) -> None:
        with psycopg.connect(database) as connection:
            connection.execute("UPDATE botwire.time SET ahead = ahead - 7200")
        ticket = Ticket(Increment("ns", "short"))
        assert asyncio.run(store.commit_soon([ticket])) is None
        assert store.commit([ticket]) == []
        assert ticket.reply["value"] == "2"
        assert 3590 < (Memory("ns", store=store).ttl("short") or 0) <= 3600
        assert same(soon(store, Increment("ns", "short"))[0])["value"] == 3

    def test_of_a_write_is_close_to_that_of_the_database(
        self, store: PostgresStore, database: str
    ) -> None:
        with psycopg.connect(database) as connection:
            connection.execute("UPDATE botwire.time SET ahead = ahead + 1000")
        soon(store, Increment("ns", "n"))
        soon(store, Increment("ns", "n"))
        with psycopg.connect(database) as connection:
            found = connection.execute(
                "SELECT extract(epoch FROM clock_timestamp()) + 1000 - updated_at"
                " FROM botwire.entries WHERE key = 'n'"
            ).fetchone()
        assert found is not None
        assert -0.5 < found[0] < 5


@pytest.fixture
def bold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers go on guessing, however often they were wrong."""
    monkeypatch.setattr(known, "CAUTIOUS", 1)


@pytest.mark.usefixtures("bold")
@pytest.mark.parametrize("seed", range(6))
def test_three_servers_that_take_turns_do_what_one_does(database: str, seed: int) -> None:
    dice = random.Random(seed)
    now = [1000.0]
    limits = Limits(namespace_bytes=2000) if seed % 2 else Limits()
    servers = [PostgresStore(database, limits, clock=lambda: now[0]) for _ in range(3)]
    reference = open_store("memory://", limits=limits, clock=lambda: now[0])
    for server in servers:
        server.namespaces()  # opens a connection
    for _ in range(400):
        now[0] += dice.choice([0, 0, 0.1, 5])
        server = dice.choice([servers[0], *servers])  # one of them writes more than the others
        group = [Ticket(*_any_operation(dice)) for _ in range(dice.choice([1, 1, 2, 5]))]
        if dice.random() < 0.1 or asyncio.run(server.commit_soon(group)) is None:
            server.commit(group)
        for ticket in group:
            got = same(ticket.error or ticket.reply)
            assert got == same(outcome(reference, ticket.operation, ticket.once)), ticket.operation
    for name in ("a", "b"):
        assert kept(servers[0], name) == kept(reference, name)
    for each in (*servers, reference):
        each.close()


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """All statements that are queued from now on."""
    queries: list[str] = []
    put, put_plain = Wire.put, Wire.put_plain

    def watched(wire: Wire, query: LiteralString, *values: Any) -> int:
        queries.append(query)
        return put(wire, query, *values)

    def watched_plain(wire: Wire, query: LiteralString) -> None:
        queries.append(query)
        put_plain(wire, query)

    monkeypatch.setattr(Wire, "put", watched)
    monkeypatch.setattr(Wire, "put_plain", watched_plain)
    return queries


def test_servers_behind_a_balancer_hardly_guess(database: str, sent: list[str]) -> None:
    """Each wrong guess costs time and an error in the log of the database."""
    dice = random.Random(0)
    servers = [PostgresStore(database) for _ in range(3)]
    for server in servers:
        server.namespaces()  # opens a connection
    for _ in range(600):
        soon(dice.choice(servers), Increment(dice.choice("abcdefgh"), "n"))
    for server in servers:
        server.close()
    assert sent.count(sql.ROLLBACK) <= 15


@pytest.mark.usefixtures("bold")
def test_servers_that_write_the_same_at_the_same_time_lose_nothing(
    database: str, sent: list[str]
) -> None:
    Memory("a", store=PostgresStore(database)).close()
    with ThreadPoolExecutor(3) as threads:
        counted = list(threads.map(lambda seed: asyncio.run(_count(database, seed)), range(3)))
    for name in NAMES:
        values = [value for server in counted for value in server[name]]
        assert sorted(values) == list(range(1, len(values) + 1))
    guesses, wrong = sent.count(sql.CHECK_KNOWN), sent.count(sql.ROLLBACK)
    assert 10 < wrong < guesses - 10


NAMES = ["a", "b", "c", "d"]


async def _count(database: str, seed: int) -> dict[str, list[int]]:
    """Increment for a while, mostly the same several times in a row; the values of each."""
    store, dice = PostgresStore(database), random.Random(seed)
    store.namespaces()  # opens a connection
    seen: dict[str, list[int]] = {name: [] for name in NAMES}
    for _ in range(25):
        some = dice.sample(NAMES, dice.choice([1, 1, 2, 4]))
        for _ in range(dice.choice([1, 8])):
            tickets = [Ticket(Increment(name, "n")) for name in some * dice.choice([1, 3])]
            left: Any = tickets
            while left:
                left = await store.commit_soon(left)
            assert left is not None
            for ticket in tickets:
                seen[ticket.operation.namespace].append(int(ticket.result()["value"]))
    store.close()
    return seen


def _any_operation(dice: random.Random) -> tuple[Operation, Once | None]:
    name, key = dice.choice("ab"), f"k{dice.randrange(4)}"
    ttl = dice.choice([None, None, 3, 60])
    number = value(dice.randrange(10))
    operation = dice.choice(
        [
            Set(name, key, number, ttl=ttl, if_version=dice.choice([None, None, 0, 3])),
            Set(name, key, value([]), ttl=ttl),
            Set(name, key, number, ttl=60, sliding=True),
            Set(name, key, value("x" * dice.choice([10, 1500, 9000]))),
            Increment(name, key, number, ttl=ttl),
            Append(name, key, (value("y" * dice.choice([1, 3000])),), dice.choice([None, 3])),
            Merge(name, key, value({"a": 1})),
            Delete(name, key),
            Touch(name, key, ttl or 9),
            Persist(name, key),
            SetMany(name, {key: number, "k0": number}),
            Batch(name, (Increment(name, key), Delete(name, "k1"), Set(name, "k2", number))),
            Clear(name, "k3"),
            Get(name, key),
        ]
    )
    once = Once(f"{dice.randrange(50)}", repr(operation)) if dice.random() < 0.3 else None
    return operation, once


def outcome(store: Store, operation: Operation, once: Once | None = None) -> Any:
    try:
        return store.write(operation, once)
    except BotWireError as error:
        return error


def same(reply: Any) -> Any:
    """A reply or an error without what differs from one home to the other."""
    if isinstance(reply, BotWireError):
        return type(reply), str(reply)
    return decode(write(reply)) if reply is not None else None


def kept(store: Store, name: str = "ns") -> Any:
    """All entries of a namespace without their times, and what it has used."""
    entries = store.run(Scan(name))
    usage = store.run(Usage(name))
    return (
        [(e["key"], same(e["value"]), e["version"], e["ttl"]) for e in entries["entries"]],
        {name: usage[name] for name in ("entries", "bytes", "version", "writes_today")},
    )
