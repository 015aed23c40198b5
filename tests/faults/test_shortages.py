"""What runs short: locks, connections, disk, quota. Waits end, errors say what is, and it goes on.

Servers here wait a second where they otherwise wait ten.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from botwire import Memory
from botwire.errors import QuotaExceeded, StorageFull
from botwire.testing import PostgresServer, ServerProcess
from botwire.testing.balancer import Balancer

pytestmark = pytest.mark.postgres

IMPATIENT = """
import sys
if "botwire_server" in " ".join(sys.orig_argv):
    from botwire_server.postgres import pool
    pool.WAIT = pool.LOCK = 1.0
    pool.SETTINGS["lock_timeout"] = "1s"
"""


@pytest.fixture
def impatient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text(IMPATIENT)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)


@pytest.fixture
def database(botwire_postgres: PostgresServer) -> str:
    return botwire_postgres.database()


def sized(database: str, connections: int) -> str:
    return f"{database}{'&' if '?' in database else '?'}pool_size={connections}"


@pytest.fixture
def other(database: str) -> Iterator[psycopg.Connection[Any]]:
    """Somebody else in the same database, who began a transaction and went for lunch."""
    with psycopg.connect(database) as connection:
        yield connection
        connection.rollback()


class Answer:
    """What a server said, and how long it took."""

    def __init__(self, client: httpx.Client, method: str, url: str) -> None:
        began = time.monotonic()
        self.answer = client.request(method, url, json={"value": 2} if method == "PUT" else None)
        self.seconds = time.monotonic() - began
        self.status = self.answer.status_code

    def is_busy(self) -> bool:
        """An error that says what is, and when to come again."""
        problem = self.answer.json()
        assert self.answer.headers["content-type"] == "application/problem+json"
        assert int(self.answer.headers["retry-after"]) > 0
        assert problem["detail"]
        assert problem["hint"]
        return (self.status, problem["code"]) == (503, "BW-503-busy")


def asked(server: ServerProcess, method: str, *names: str) -> list[Answer]:
    """Ask for a key of each of these namespaces at the same moment."""
    client = httpx.Client(base_url=server.url, timeout=60, verify=False)
    with client, ThreadPoolExecutor(len(names)) as threads:
        return list(threads.map(lambda name: Answer(client, method, f"/memory/{name}/k"), names))


def works(server: ServerProcess, *names: str) -> None:
    """Everything is as ever, and it is the same process."""
    assert {answer.status for answer in asked(server, "PUT", *names)} <= {200, 201}
    assert {answer.status for answer in asked(server, "GET", *names)} == {200}
    assert "botwire_unexpected_errors_total 0.0" in httpx.get(f"{server.url}/metrics").text


@pytest.mark.usefixtures("impatient")
class TestATransactionThatWaits:
    def test_holds_up_its_own_namespace_for_a_while_and_no_other(
        self, database: str, other: psycopg.Connection[Any]
    ) -> None:
        with ServerProcess(database) as server, ThreadPoolExecutor(1) as threads:
            works(server, "held", "free")
            _hold(other, "held")
            process = server.process.pid
            waiting = threads.submit(asked, server, "PUT", *["held"] * 20)
            for _ in range(20):
                for answer in (*asked(server, "PUT", "free"), *asked(server, "GET", "held")):
                    assert (answer.status, answer.seconds < 0.5) == (200, True)
            for answer in waiting.result(30):
                assert answer.is_busy()
                assert "took too long" in answer.answer.json()["detail"]
                assert answer.seconds < 4
            other.rollback()
            works(server, "held", "free")
            assert server.process.pid == process

    def test_on_many_namespaces_holds_each_of_them_up_as_long_as_one(
        self, database: str, other: psycopg.Connection[Any]
    ) -> None:
        names = [f"held-{number}" for number in range(24)]
        with ServerProcess(database) as server, ThreadPoolExecutor(1) as threads:
            works(server, *names, "free")
            _hold(other, "held-%")
            waiting = threads.submit(asked, server, "PUT", *names)
            for _ in range(10):
                (answer,) = asked(server, "PUT", "free")
                assert (answer.status, answer.seconds < 0.5) == (200, True)
            answers = waiting.result(60)
            assert all(answer.is_busy() for answer in answers)
            assert max(answer.seconds for answer in answers) < 4
            other.rollback()
            works(server, *names, "free")

    def test_on_a_whole_table_is_busy_for_all_and_then_over(
        self, database: str, other: psycopg.Connection[Any]
    ) -> None:
        names = [f"name-{number}" for number in range(10)]
        with ServerProcess(database) as server:
            works(server, *names)
            other.execute("LOCK TABLE botwire.namespaces, botwire.entries IN ACCESS EXCLUSIVE MODE")
            for method in ("PUT", "GET"):
                for answer in asked(server, method, *names):
                    assert answer.is_busy()
                    assert answer.seconds < 6
            assert httpx.get(f"{server.url}/healthz").status_code == 200
            other.rollback()
            works(server, *names)


def _hold(connection: psycopg.Connection[Any], pattern: str) -> None:
    connection.execute(
        "SELECT FROM botwire.namespaces WHERE namespace LIKE %s FOR UPDATE", [pattern]
    )


@pytest.mark.usefixtures("impatient")
class TestConnections:
    def test_that_are_fewer_than_callers_serve_all_of_them(self, database: str) -> None:
        names = [f"name-{number}" for number in range(32)]
        with ServerProcess(sized(database, 1)) as server:
            for _ in range(5):
                works(server, *names)

    def test_that_are_all_in_use_are_busy_and_then_free_again(
        self, database: str, other: psycopg.Connection[Any]
    ) -> None:
        names = [f"name-{number}" for number in range(32)]
        with ServerProcess(sized(database, 1)) as server:
            works(server, *names)
            other.execute("LOCK TABLE botwire.chunks, botwire.entries IN ACCESS EXCLUSIVE MODE")
            with ThreadPoolExecutor(2) as threads:
                acts = [threads.submit(asked, server, how, *names) for how in ("GET", "PUT")]
                answers = [answer for act in acts for answer in act.result(60)]
            assert all(answer.is_busy() for answer in answers)
            assert max(answer.seconds for answer in answers) < 10
            said = Counter(answer.answer.json()["detail"][:9] for answer in answers)
            assert said["all 1 con"] > 0
            other.rollback()
            works(server, *names)

    def test_that_the_database_refuses_are_an_error_at_once_and_come_back(
        self, database: str
    ) -> None:
        with ServerProcess(database) as server:
            works(server, "name")
            with _closed_to_new_connections(database):
                for method in ("GET", "PUT"):
                    for answer in asked(server, method, *["name"] * 8):
                        problem = answer.answer.json()
                        assert (answer.status, problem["code"]) == (503, "BW-503-unavailable")
                        assert answer.seconds < 3
                        assert "not currently accepting connections" in problem["detail"]
                        assert answer.answer.headers["retry-after"]
            works(server, *["name"] * 8)


@contextmanager
def _closed_to_new_connections(database: str) -> Iterator[None]:
    """The database has ended every connection and takes no new one."""
    name = conninfo_to_dict(database)["dbname"]
    allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
    place = make_conninfo(database, dbname="postgres")
    with psycopg.connect(place, autocommit=True) as connection:
        connection.execute(allow.format(sql.Identifier(str(name)), sql.SQL("false")))
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
        )
        try:
            yield
        finally:
            connection.execute(allow.format(sql.Identifier(str(name)), sql.SQL("true")))


class TestAFullDisk:
    def test_is_507_on_every_server_and_loses_nothing(self, small_disk: Path) -> None:
        with ExitStack() as stack:
            ballast = small_disk / "ballast"
            ballast.touch()
            postgres = stack.enter_context(PostgresServer(wal_init_zero="on"))
            database = postgres.database()
            servers = [stack.enter_context(ServerProcess(database)) for _ in range(3)]
            memories = [server.memory("agent", timeout=3) for server in servers]
            memories[0].set("small", 1)
            with psycopg.connect(database, autocommit=True) as connection:
                connection.execute("CHECKPOINT")
            _leave_free(ballast, 1_500_000)
            kept: dict[str, Any] = {"small": 1}
            for number, memory in enumerate(memories):
                _fill(memory, f"{number}:", kept)
            assert len(kept) > 5
            for server, memory in zip(servers, memories, strict=True):
                (answer,) = asked(server, "GET", "agent")
                assert answer.status == 404
                assert dict(memory.items()) == kept
                assert httpx.get(f"{server.url}/healthz").status_code == 200
            ballast.unlink()
            for number, memory in enumerate(memories):
                memory.set(f"again {number}", "x" * 200_000)
                kept[f"again {number}"] = "x" * 200_000
            assert all(dict(memory.items()) == kept for memory in memories)
            assert [server.process.poll() for server in servers] == [None] * 3
            works(servers[0], "agent", "other")


@pytest.fixture
def small_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file system of 150 MB, on which a PostgreSQL server keeps its data."""
    mount, umount = shutil.which("mount"), shutil.which("umount")
    place = Path(tempfile.mkdtemp(prefix="botwire-disk-"))
    place.chmod(0o755)
    command = [str(mount), "-t", "tmpfs", "-o", "size=150m", "tmpfs", str(place)]
    if mount is None or subprocess.run(command, capture_output=True).returncode:
        place.rmdir()
        pytest.skip("mounting a small file system needs root")
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    yield place
    subprocess.run([str(umount), str(place)], check=True)
    place.rmdir()


def _leave_free(ballast: Path, size: int) -> None:
    free = shutil.disk_usage(ballast.parent).free
    ballast.write_bytes(b"x" * (free - size))


def _fill(memory: Memory, prefix: str, kept: dict[str, Any]) -> None:
    """Write until nothing more fits; what was acknowledged."""

    def write() -> None:
        for number in range(1000):
            value = os.urandom(20_000).hex()  # or PostgreSQL would compress it
            memory.set(f"{prefix}{number}", value)
            kept[f"{prefix}{number}"] = value

    with pytest.raises(StorageFull, match=r"No space left.*nothing was changed") as full:
        write()
    assert full.value.hint


class TestQuotas:
    def test_are_used_up_exactly_by_writers_on_three_servers_one_of_which_is_killed(
        self, database: str
    ) -> None:
        with ExitStack() as stack:
            servers = [
                stack.enter_context(ServerProcess(database, writes_per_day=300)) for _ in range(3)
            ]
            balancer = stack.enter_context(Balancer([server.url for server in servers]))
            memory = Memory("agent", url=balancer.url, timeout=30)
            threads = stack.enter_context(ThreadPoolExecutor(24))

            def spend(number: int) -> int:
                try:
                    return memory.increment("n" if number % 2 else "m")
                except QuotaExceeded:
                    return 0

            spent = [threads.submit(spend, number) for number in range(600)]
            while sum(result.done() for result in spent) < 100:
                time.sleep(0.005)
            servers[1].kill()
            servers[1].start()
            granted = [result.result() for result in spent]
            assert len([total for total in granted if total]) == 300
            for server in servers:
                here = server.memory("agent")
                assert here.get("n") + here.get("m") == here.usage().writes_today == 300

    def test_of_bytes_are_never_overshot_by_writers_on_three_servers(self, database: str) -> None:
        with ExitStack() as stack:
            servers = [
                stack.enter_context(ServerProcess(database, namespace_bytes=100_000))
                for _ in range(3)
            ]
            threads = stack.enter_context(ThreadPoolExecutor(24))
            memories = [server.memory("agent", timeout=30) for server in servers]

            def store(number: int) -> bool:
                try:
                    memories[number % 3].set(f"k{number:03}", "x" * 1994)  # 2,000 with the key
                except QuotaExceeded:
                    return False
                return True

            assert sum(threads.map(store, range(200))) == 50
            assert {memory.usage().bytes for memory in memories} == {100_000}
