"""What the PostgreSQL store adds to the contract: namespaces that do not wait, one time, no end."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from botwire import Memory
from botwire.jsontext import encode
from botwire.operations import (
    Append,
    Batch,
    Clear,
    Delete,
    Get,
    Increment,
    Operation,
    Scan,
    Set,
    SetMany,
    Tail,
)
from botwire.stores.store import Once, Ticket
from botwire.testing import PostgresServer, ServerProcess
from botwire_server.postgres import PostgresStore

pytestmark = pytest.mark.postgres
ONE = Increment("a", "n").by


@pytest.fixture(scope="module")
def database(botwire_postgres: PostgresServer) -> str:
    return botwire_postgres.database()


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection[Any]]:
    """Another user of the same database; what it began is undone at the end."""
    with psycopg.connect(database) as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def store(database: str, request: pytest.FixtureRequest) -> Iterator[PostgresStore]:
    store = PostgresStore(database)
    yield store
    store.close()


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return request.node.nodeid


def memory(store: PostgresStore, name: str) -> Memory:
    return Memory(name, store=store)


@contextmanager
def held(connection: psycopg.Connection[Any], name: str) -> Iterator[None]:
    """Somebody holds a namespace within a transaction."""
    connection.execute(
        "SELECT FROM botwire.namespaces WHERE namespace = %s FOR UPDATE", [name]
    ).fetchall()
    yield
    connection.rollback()


def quickly(act: Callable[[], Any], seconds: float = 5.0) -> Any:
    """The result, which must not take longer."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(act).result(seconds)


class TestNamespaces:
    def test_do_not_wait_for_each_other(
        self, store: PostgresStore, connection: psycopg.Connection[Any], name: str
    ) -> None:
        here, there = memory(store, name), memory(store, name + " other")
        here.set("k", 1)
        there.set("k", 1)
        with ThreadPoolExecutor(1) as threads:
            with held(connection, name):
                waiting = threads.submit(here.set, "k", 2)
                assert quickly(lambda: there.set("k", 2)) == 2
                assert here.get("k") == 1
                assert not waiting.done()
            assert waiting.result(5) == 2
        assert here.get("k") == 2

    def test_in_one_group_those_that_are_held_are_left_out(
        self, store: PostgresStore, connection: psycopg.Connection[Any], name: str
    ) -> None:
        names = [f"{name} {number}" for number in range(5)]
        for each in names:
            memory(store, each).set("n", 0)
        tickets = [Ticket(Increment(each, "n")) for each in (*names, *names)]
        with held(connection, names[2]):
            left = quickly(lambda: store.commit(tickets))
        assert {ticket.operation.namespace for ticket in left} == {names[2]}
        assert not any(ticket.done for ticket in left)
        assert all(ticket.done for ticket in tickets if ticket not in left)
        assert not store.commit(left)
        assert [memory(store, each).get("n") for each in names] == [2] * 5

    def test_do_not_wait_in_a_server_either(
        self, database: str, connection: psycopg.Connection[Any], name: str
    ) -> None:
        with ServerProcess(database) as server, ThreadPoolExecutor(16) as threads:
            memories = [server.memory(f"{name} {number}") for number in range(16)]
            [each.set("n", 0) for each in memories]
            with held(connection, memories[3].namespace):
                results = [
                    threads.submit(each.increment, "n") for each in memories for _ in range(5)
                ]
                free = [r for number, r in enumerate(results) if number // 5 != 3]
                assert sum(result.result(5) for result in free) == 15 * 15
                assert not any(result.done() for result in results if result not in free)
            assert [result.result(5) for result in results if result not in free]
            assert [each.get("n") for each in memories] == [5] * 16

    def test_that_were_only_asked_for_are_not_listed(self, store: PostgresStore, name: str) -> None:
        assert not memory(store, name).delete("k")
        assert name not in store.namespaces(name[:-1])
        memory(store, name).set("k", 1)
        assert store.namespaces(name[:-1])[0] == name

    def test_are_made_once_by_many_at_the_same_moment(self, database: str, name: str) -> None:
        stores = [PostgresStore(database) for _ in range(4)]
        start = threading.Barrier(4)

        def work(store: PostgresStore) -> None:
            start.wait()
            for number in range(20):
                memory(store, f"{name} {number}").increment("n")

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(work, stores))
        assert [memory(stores[0], f"{name} {number}").get("n") for number in range(20)] == [4] * 20
        [store.close() for store in stores]


class TestGroups:
    def test_of_writes_share_a_transaction(
        self, store: PostgresStore, connection: psycopg.Connection[Any], name: str
    ) -> None:
        store.run(Get(name, "k"))
        connection.autocommit = True
        before = _commits(connection)
        tickets = [Ticket(Increment(f"{name} {number % 7}", "n")) for number in range(200)]
        store.commit(tickets)
        assert sum(ticket.result()["value"] == "1" for ticket in tickets) == 7
        store.close()  # the figures of a connection are complete when it ends
        deadline = time.monotonic() + 10
        while (after := _commits(connection)) == before and time.monotonic() < deadline:
            time.sleep(0.02)
        assert after - before < 20

    def test_with_a_write_that_fails_keep_the_others(self, store: PostgresStore, name: str) -> None:
        memory(store, name).set("text", "x")
        tickets = [
            Ticket(Increment(name, "n")),
            Ticket(Increment(name, "text")),
            Ticket(Increment(name, "n")),
        ]
        store.commit(tickets)
        assert memory(store, name).get("n") == 2
        assert tickets[1].error is not None

    def test_undo_a_batch_that_fails_after_its_changes_were_sent(
        self, store: PostgresStore, name: str
    ) -> None:
        here = memory(store, name)
        here.set_many({"a": 1, "b": 2, "text": "x"})
        batch = Batch(name, (*_changes(name), Increment(name, "text")))
        with pytest.raises(TypeError):
            here.run(batch)
        assert dict(here.items()) == {"a": 1, "b": 2, "text": "x"}
        here.run(Batch(name, _changes(name)))
        assert (here.get("a"), here.get("b"), len(here.get("list"))) == (10, 20, 9)
        assert here.usage().entries == 4


def _changes(name: str) -> tuple[Operation, ...]:
    """Changes with looks in between, for which they have to be sent."""
    item = encode("x" * 900)
    set_a, set_b = Set(name, "a", encode(10)), Set(name, "b", encode(20))
    inner = SetMany(name, {"c": ONE})
    rest = (Clear(name, "b"), set_b, inner, Scan(name), Delete(name, "c"), Tail(name, "list", 8))
    return (set_a, Append(name, "list", (item,) * 9), *rest)


def _commits(connection: psycopg.Connection[Any]) -> int:
    found = connection.execute(
        "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
    ).fetchone()
    assert found is not None
    return found[0]


class TestTime:
    def test_is_the_same_for_all_servers_and_goes_on_when_the_clock_is_set_back(
        self, database: str, connection: psycopg.Connection[Any], name: str
    ) -> None:
        first, second = PostgresStore(database), PostgresStore(database)
        memory(first, name).set("short", 1, ttl=0.02)
        memory(first, name).set("long", 1, ttl=60)
        time.sleep(0.03)
        assert memory(first, name).get("short") is None
        assert memory(second, name).get("short") is None
        before = memory(second, name).ttl("long")
        # An hour back: what the database's clock and this correction say together.
        connection.execute("UPDATE botwire.time SET ahead = ahead - 3600")
        connection.commit()
        assert memory(first, name).get("short") is None
        assert memory(second, name).get("short") is None
        after = memory(second, name).ttl("long")
        assert before is not None
        assert after is not None
        assert before - 5 < after <= before
        [store.close() for store in (first, second)]

    def test_goes_on_in_a_new_process_too(
        self, database: str, connection: psycopg.Connection[Any], name: str
    ) -> None:
        first = PostgresStore(database)
        memory(first, name).set("short", 1, ttl=0.02)
        time.sleep(0.03)
        connection.execute("UPDATE botwire.entries SET expires_at = expires_at - 1")
        connection.commit()
        first.sweep()
        connection.execute("UPDATE botwire.time SET ahead = ahead - 3600")
        connection.commit()
        first.close()
        second = PostgresStore(database)
        version = memory(second, name).set("new", 1, ttl=0.02)
        assert version == 2
        time.sleep(0.03)
        assert memory(second, name).get("new") is None
        second.close()


class TestSweeping:
    def test_frees_what_expired_and_passes_over_what_is_held(
        self, store: PostgresStore, connection: psycopg.Connection[Any], name: str
    ) -> None:
        here, there = memory(store, name), memory(store, name + " other")
        for each in (here, there):
            each.set_many({f"k{number}": number for number in range(50)}, ttl=60)
            each.append("list", *["x" * 900] * 9, ttl=60)
            each.set("stays", 1)
        connection.execute("UPDATE botwire.entries SET expires_at = expires_at - 60")
        connection.commit()
        with held(connection, name):
            quickly(store.sweep)
        assert _rows(connection, name) == (52, 3)
        assert _rows(connection, name + " other") == (1, 0)
        store.sweep()
        assert _rows(connection, name) == (1, 0)
        assert here.usage().entries == there.usage().entries == 1
        assert here.usage().bytes == there.usage().bytes

    def test_forgets_replies_that_are_old(
        self, store: PostgresStore, connection: psycopg.Connection[Any], name: str
    ) -> None:
        for number in range(3):
            store.write(Set(name, "k", ONE), Once(f"key {number}", "same"))
        connection.execute(
            "UPDATE botwire.replies SET expires_at = 0 WHERE idempotency_key = 'key 1'"
        )
        connection.commit()
        store.sweep()
        found = connection.execute(
            "SELECT idempotency_key FROM botwire.replies WHERE namespace = %s", [name]
        ).fetchall()
        assert sorted(found) == [("key 0",), ("key 2",)]


def _rows(connection: psycopg.Connection[Any], name: str) -> tuple[int, int]:
    found = connection.execute(
        "SELECT (SELECT count(*) FROM botwire.entries WHERE namespace = %s),"
        " (SELECT count(*) FROM botwire.chunks WHERE namespace = %s)",
        [name, name],
    ).fetchone()
    connection.rollback()
    assert found is not None
    return found
