"""The schema: made once, whoever comes first, and refused where it is not understood."""

import json
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from botwire import Memory
from botwire.errors import Unavailable
from botwire.testing import PostgresServer, ServerProcess
from botwire_server.__main__ import main
from botwire_server.postgres import PostgresStore
from botwire_server.postgres.migrate import migrate, migrate_database, migrations

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


Printed = pytest.CaptureFixture[str]


def test_migrating_by_hand_says_what_it_did(database: str, capsys: Printed) -> None:
    assert main(["migrate", "--url", database]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [name for _, name, _ in migrations()]
    assert printed.err == f"{database}: is now up to date, at schema {migrations()[-1][0]}\n"
    assert main(["migrate", "--url", database]) == 0
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "was up to date, at schema" in printed.err


def test_migrating_takes_the_database_from_the_environment_of_the_server(
    database: str, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOTWIRE_SERVE_URL", f"{database}&pool_size=3")
    monkeypatch.setenv("BOTWIRE_SERVE_HOST", "0.0.0.0")
    assert main(["migrate", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["applied"] == [name for _, name, _ in migrations()]
    assert Memory("test", url=database).set("k", 1) == 1


def test_two_who_migrate_at_once_apply_each_migration_once(database: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(migrate_database, [database] * 4))
    applied = [name for result in results for name in result.applied]
    assert applied == [name for _, name, _ in migrations()]
    assert {result.number for result in results} == {migrations()[-1][0]}


def test_migrating_by_hand_waits_for_whoever_does_it_already(database: str) -> None:
    waiting = (
        "SELECT pid FROM pg_stat_activity"
        " WHERE wait_event = 'advisory' AND datname = current_database()"
    )
    with ThreadPoolExecutor(1) as thread, psycopg.connect(database, autocommit=True) as looking:
        with psycopg.connect(database) as other:
            other.execute("SELECT pg_advisory_xact_lock(7014202621)")
            migrating = thread.submit(migrate_database, database)
            deadline = time.monotonic() + 20
            while not looking.execute(waiting).fetchone() and time.monotonic() < deadline:
                time.sleep(0.01)
            assert not migrating.done()
        assert migrating.result(20).applied


@pytest.mark.parametrize(
    ("url", "code", "message"),
    [
        ("missing", 7, "does not exist"),
        ("postgresql://127.0.0.1:1/x", 7, "cannot be reached"),
        ("postgresql://127.0.0.1/x?colour=red", 2, "no address of a PostgreSQL database"),
        ("mysql://127.0.0.1/x", 2, "no address of a memory"),
    ],
)
def test_what_cannot_be_migrated_is_said_with_an_exit_code(
    database: str, capsys: Printed, url: str, code: int, message: str
) -> None:
    if url == "missing":
        url = database.replace("/botwire_", "/missing_")
    assert main(["migrate", "--url", url]) == code
    error = capsys.readouterr().err
    assert message in error
    assert "[BW-" in error


def test_a_newer_schema_is_no_business_of_an_older_version(database: str, capsys: Printed) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        migrate(connection)
        connection.execute("INSERT INTO botwire.migrations VALUES (99, 'newer')")
        assert main(["migrate", "--url", database]) == 0
        assert "has schema 99, which this version" in capsys.readouterr().err
        connection.execute("INSERT INTO botwire.migrations VALUES (100, 'much newer')")
        assert main(["migrate", "--url", database]) == 7
    assert "the database has schema 100" in capsys.readouterr().err


def test_files_have_nothing_to_migrate_by_hand(tmp_path: Path, capsys: Printed) -> None:
    file = tmp_path / "memory.db"
    assert main(["migrate", "--url", f"sqlite:///{file}"]) == 0
    assert "does not exist yet" in capsys.readouterr().err
    assert not file.exists()
    with Memory("test", url=f"sqlite:///{file}") as memory:
        memory.set("k", 1)
    assert main(["migrate", "--url", f"sqlite:///{file}"]) == 0
    assert "whenever it is opened" in capsys.readouterr().err
    assert main(["migrate", "--url", "memory://"]) == 0
    assert "nothing to migrate" in capsys.readouterr().err
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA user_version = 7")
    assert main(["migrate", "--url", f"sqlite:///{file}"]) == 7
    assert "has format 7" in capsys.readouterr().err


def test_a_server_that_cannot_start_says_so_with_an_exit_code(
    capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOTWIRE_SERVE_HOST", "0.0.0.0")
    assert main(["--url", "memory://"]) == 2
    assert "without API keys" in capsys.readouterr().err


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
    assert found[0] == 8
    store.close()


def test_an_address_in_the_wrong_place_is_named_without_its_password(capsys: Printed) -> None:
    with pytest.raises(SystemExit):
        main(["postgresql://me:secret@127.0.0.1:9/x"])
    said = capsys.readouterr().err
    assert "there is no 'postgresql://me:***@127.0.0.1:9/x'; there are: serve, migrate" in said
