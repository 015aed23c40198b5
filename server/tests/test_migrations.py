"""The schema: made once, whoever comes first, and refused where it is not understood."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from botwire import Memory
from botwire.errors import Unavailable
from botwire.testing import PostgresServer, ServerProcess
from botwire_server.__main__ import main
from botwire_server.postgres import PostgresStore
from botwire_server.postgres.migrate import migrate, migrations

pytestmark = pytest.mark.postgres


@pytest.fixture
def database(botwire_postgres: PostgresServer) -> str:
    return botwire_postgres.database()


def test_migrations_are_numbered_without_gaps() -> None:
    numbers = [number for number, _, _ in migrations()]
    assert numbers == list(range(1, len(numbers) + 1))


def test_the_schema_is_made_once_by_servers_that_start_together(database: str) -> None:
    with ThreadPoolExecutor(3) as threads:
        servers = list(threads.map(lambda _: ServerProcess(database), range(3)))
        memories = [server.memory("test") for server in servers]
        assert sorted(threads.map(lambda memory: memory.increment("n"), memories)) == [1, 2, 3]
        list(threads.map(ServerProcess.stop, servers))
    with psycopg.connect(database) as connection:
        found = connection.execute("SELECT number FROM botwire.migrations").fetchall()
    assert sorted(found) == [(number,) for number, _, _ in migrations()]


def test_migrating_again_does_nothing(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        assert migrate(connection) == [name for _, name, _ in migrations()]
        assert migrate(connection) == []


def test_migrating_by_hand_says_what_it_did(
    database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["migrate", "--url", database]) == 0
    assert "0001_memory" in capsys.readouterr().err
    assert main(["migrate", "--url", database]) == 0
    assert "nothing to do" in capsys.readouterr().err
    assert main(["migrate", "--url", database.replace("/botwire_", "/missing_")]) == 1
    assert "does not exist" in capsys.readouterr().err


def test_a_migration_that_fails_leaves_nothing(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA botwire CREATE TABLE botwire.time (mine text)")
        with pytest.raises(psycopg.errors.DuplicateTable):
            migrate(connection)
        found = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'botwire'"
        ).fetchall()
    assert found == [("time",)]
    with pytest.raises(Unavailable, match='relation "time" already exists'):
        Memory("test", store=PostgresStore(database)).get("k")


@pytest.mark.parametrize(("number", "works"), [(99, True), (100, False)])
def test_a_newer_schema_serves_until_it_says_otherwise(
    database: str, number: int, works: bool
) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        migrate(connection)
        connection.execute("INSERT INTO botwire.migrations VALUES (%s, 'newer')", [number])
    store = PostgresStore(database)
    memory = Memory("test", store=store)
    if works:
        assert memory.set("k", 1) == 1
    else:
        with pytest.raises(Unavailable, match=r"schema 100; this version .* below 100"):
            memory.set("k", 1)
    store.close()


def test_a_database_that_cannot_hold_every_text_is_refused(
    botwire_postgres: PostgresServer,
) -> None:
    with psycopg.connect(botwire_postgres.url("postgres"), autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS latin")
        connection.execute("CREATE DATABASE latin ENCODING 'SQL_ASCII' TEMPLATE template0")
    store = PostgresStore(botwire_postgres.url("latin"))
    with pytest.raises(Unavailable, match="stores texts as SQL_ASCII, not UTF-8"):
        Memory("test", store=store).get("k")
    with psycopg.connect(botwire_postgres.url("postgres"), autocommit=True) as connection:
        connection.execute("DROP DATABASE latin")


def test_namespaces_are_spread_over_partitions(database: str) -> None:
    store = PostgresStore(database)
    for number in range(64):
        Memory(f"namespace {number}", store=store).set("k", 1)
    with psycopg.connect(database) as connection:
        found = connection.execute(
            "SELECT count(DISTINCT tableoid) FROM botwire.entries"
        ).fetchone()
    assert found is not None
    assert found[0] > 8
    store.close()
