"""Whatever happens to the database: waits have an end, errors say what is, and it goes on after."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from botwire import Memory
from botwire.errors import Busy, InvalidRequest, StorageFull, Unavailable
from botwire.jsontext import decode, encode, write
from botwire.operations import Append
from botwire.runners import open_store
from botwire.stores.store import Once
from botwire.testing import PostgresServer, ServerProcess
from botwire.testing.proxy import Proxy
from botwire_server.postgres import PostgresStore, pool

pytestmark = pytest.mark.postgres


@pytest.fixture
def database(own: PostgresServer) -> str:
    return own.database()


@pytest.fixture
def store(database: str) -> Iterator[PostgresStore]:
    store = PostgresStore(database)
    yield store
    store.close()


@pytest.fixture
def memory(store: PostgresStore) -> Memory:
    memory = Memory("test", store=store)
    memory.set("k", 1)
    return memory


def through(proxy: Proxy, database: str) -> str:
    """The address of a database by way of the proxy."""
    name = database.partition("?")[0].rpartition("/")[2]
    return f"postgresql://postgres@127.0.0.1:{proxy.port}/{name}"


class TestARestartOfTheDatabase:
    @pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGQUIT], ids=["fast", "crash"])
    def test_is_noticed_by_nobody_who_waits_a_moment(
        self, own: PostgresServer, memory: Memory, store: PostgresStore, kind: signal.Signals
    ) -> None:
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(memory.get, ["k"] * 8))
        own.stop(kind)
        with pytest.raises(Unavailable, match=r"cannot be reached.*nothing was changed"):
            memory.set("k", 2)
        with pytest.raises(Unavailable, match="cannot be reached"):
            memory.get("k")
        own.start()
        assert memory.get("k") == 1
        assert memory.set("k", 2) == 2

    def test_is_bridged_by_the_client_of_a_server(self, own: PostgresServer, database: str) -> None:
        with ServerProcess(database) as server:
            memory = server.memory("test", timeout=30)
            memory.set("n", 0)
            with ThreadPoolExecutor(8) as threads:
                results = [threads.submit(memory.increment, "n") for _ in range(100)]
                own.stop()
                own.start()
                assert sorted(result.result() for result in results) == list(range(1, 101))


class TestACutConnection:
    @pytest.mark.parametrize("answered", [True, False])
    def test_before_the_commit_is_sent_is_repeated_unseen(
        self, proxy: Proxy, database: str, answered: bool
    ) -> None:
        store = PostgresStore(through(proxy, database))
        memory = Memory("the namespace", store=store)
        memory.set("n", 0)
        for number in range(1, 5):
            proxy.cut_at(b"the namespace", answered=answered)
            assert memory.increment("n") == number
            assert proxy.happened.is_set()
            proxy.cut_at(b"the namespace", answered=answered)
            assert memory.get("n") == number
            assert proxy.happened.is_set()
        store.close()

    def test_that_nobody_used_is_noticed_before_it_is_used(
        self, proxy: Proxy, database: str
    ) -> None:
        store = PostgresStore(through(proxy, database))
        memory = Memory("test", store=store)
        for number in range(1, 4):
            assert memory.increment("n") == number
            proxy.cut()
            assert memory.get("n") == number
            proxy.cut()
        store.close()

    @pytest.mark.parametrize("answered", [True, False], ids=["committed", "not committed"])
    def test_during_the_commit_leaves_open_what_happened_and_a_repeat_settles_it(
        self, proxy: Proxy, database: str, answered: bool
    ) -> None:
        store = PostgresStore(through(proxy, database))
        Memory("test", store=store).set("n", 0)
        once = Once("a key", "a fingerprint")
        append = Append("test", "list", (encode(1),))
        proxy.cut_at(b"COMMIT\0", answered=answered)
        with pytest.raises(Unavailable, match="it is not known whether the write was kept") as lost:
            store.write(append, once)
        assert proxy.happened.is_set()
        assert lost.value.retryable
        kept = 1 if answered else 0
        assert len(Memory("test", store=store).get("list", [])) == kept
        replies = [store.write(append, once) for _ in range(3)]
        assert [append.result(decode(write(reply))) for reply in replies] == [1, 1, 1]
        assert Memory("test", store=store).get("list") == [1]
        store.close()

    @pytest.mark.parametrize("answered", [True, False], ids=["committed", "not committed"])
    def test_during_a_servers_commit_is_bridged_by_the_client(
        self, proxy: Proxy, database: str, answered: bool
    ) -> None:
        with ServerProcess(through(proxy, database)) as server:
            memory = server.memory("test", timeout=30)
            assert memory.increment("n") == 1
            for number in range(2, 6):
                proxy.cut_at(b"COMMIT\0", answered=answered)
                assert memory.increment("n") == number
                assert proxy.happened.is_set()
            assert memory.get("n") == 5


class TestWaits:
    def test_for_a_lock_end(self, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(pool.SETTINGS, "lock_timeout", "200ms")
        store = PostgresStore(database)
        memory = Memory("test", store=store)
        memory.set("k", 1)
        with psycopg.connect(database) as other:
            other.execute("SELECT FROM botwire.namespaces FOR UPDATE")
            with pytest.raises(Busy, match=r"took too long.*lock timeout.*nothing was changed"):
                memory.set("k", 2)
            assert memory.get("k") == 1
        assert memory.set("k", 2) == 2
        store.close()

    def test_for_a_free_connection_end(
        self, database: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pool, "WAIT", 0.2)
        store = open_store(f"{database}&pool_size=2")
        memory = Memory("test", store=store)
        memory.set("k", 1)
        with psycopg.connect(database) as other, ThreadPoolExecutor(2) as threads:
            other.execute("LOCK TABLE botwire.entries IN ACCESS EXCLUSIVE MODE")
            waiting = [threads.submit(memory.get, "k") for _ in range(2)]
            _wait_until(lambda: _waiting_for_a_lock(other) == 2)
            with pytest.raises(
                Busy, match=r"all 2 connections to the database were in use for 0.2 s"
            ):
                memory.get("k")
            other.rollback()
            assert [each.result() for each in waiting] == [1, 1]
        assert memory.get("k") == 1
        store.close()

    def test_for_a_database_that_stands_still_end(
        self, own: PostgresServer, database: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pool, "ANSWER", 0.5)
        monkeypatch.setitem(pool.PARAMETERS, "connect_timeout", 2)
        store = PostgresStore(database)
        memory = Memory("test", store=store)
        memory.set("k", 1)
        processes = [own.pid, *_backends(database)]
        try:
            for pid in processes:
                os.kill(pid, signal.SIGSTOP)
            for attempt in (lambda: memory.set("k", 2), lambda: memory.get("k")):
                began = time.monotonic()
                with pytest.raises(Unavailable, match=r"cannot be reached.*timeout"):
                    attempt()
                assert time.monotonic() - began < 10
        finally:
            for pid in processes:
                os.kill(pid, signal.SIGCONT)
        assert memory.get("k") == 1
        assert memory.set("k", 3) == 2
        store.close()

    def test_for_one_backend_that_stands_still_go_on_with_another(
        self, database: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pool, "ANSWER", 0.5)
        store = PostgresStore(database)
        memory = Memory("test", store=store)
        memory.set("k", 1)
        processes = _backends(database)
        try:
            for pid in processes:
                os.kill(pid, signal.SIGSTOP)
            assert memory.set("k", 2) == 2
        finally:
            for pid in processes:
                os.kill(pid, signal.SIGCONT)
        store.close()


def _backends(database: str) -> list[int]:
    with psycopg.connect(database) as connection:
        found = connection.execute(
            "SELECT pid FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchall()
    return [pid for (pid,) in found]


def _waiting_for_a_lock(connection: psycopg.Connection[Any]) -> int:
    found = connection.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()
    assert found is not None
    return found[0]


def _wait_until(true: Any, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class TestAFullDisk:
    def test_is_reported_and_needs_no_restart(
        self, own: PostgresServer, database: str, memory: Memory, store: PostgresStore
    ) -> None:
        other = Memory("other", store=store)  # in another partition
        with _full_disk(own, database, memory.namespace):
            with pytest.raises(StorageFull, match=r"No space left.*nothing was changed"):
                memory.set("big", "x" * 100)
            assert other.set("k", 1) == 1
        assert memory.get("k") == 1
        assert memory.set("k", 2) == 2


@contextmanager
def _full_disk(own: PostgresServer, database: str, namespace: str) -> Iterator[None]:
    """The table that holds the entries of a namespace stands on a device that is full."""
    with psycopg.connect(database) as connection:
        found = connection.execute(
            "SELECT pg_relation_filepath(tableoid) FROM botwire.entries WHERE namespace = %s",
            [namespace],
        ).fetchone()
    assert found is not None
    table = own.data / found[0]
    aside = table.with_suffix(".aside")
    own.stop()
    table.rename(aside)
    table.symlink_to("/dev/full")
    own.start()
    try:
        yield
    finally:
        own.stop()
        table.unlink()
        aside.rename(table)
        own.start()


class TestAnAddress:
    @pytest.mark.parametrize(
        ("url", "message"),
        [
            ("postgresql://localhost/a?no_such_option=1", "no address of a PostgreSQL database"),
            ("postgresql://localhost/a?pool_size=0", "pool_size must be a whole number from 1 up"),
            ("postgresql://localhost/a?pool_size=many", "pool_size must be a whole number"),
        ],
    )
    def test_that_cannot_be_is_refused_at_once(self, url: str, message: str) -> None:
        with pytest.raises(InvalidRequest, match=message):
            open_store(url)

    def test_of_nobody_says_what_is_missing(self, own: PostgresServer) -> None:
        url = own.url("no_such_database")
        with pytest.raises(Unavailable, match='database "no_such_database" does not exist'):
            Memory("test", url=url).get("k")

    def test_shows_no_password(self) -> None:
        url = "postgresql://me:secret@127.0.0.1:1/a"
        with pytest.raises(Unavailable) as refused:
            open_store(url).namespaces()
        assert "secret" not in str(refused.value)
        assert "me:***@" in str(refused.value)

    @pytest.mark.parametrize(
        "password", ["se%zzcret", "se@cret@", "a/secret", "a#secret", "a?secret"]
    )
    def test_with_a_password_that_is_not_escaped_shows_nothing_of_it(self, password: str) -> None:
        with pytest.raises((InvalidRequest, Unavailable)) as refused:
            open_store(f"postgresql://me:{password}@127.0.0.1:1/a").namespaces()
        assert "cret" not in str(refused.value)
