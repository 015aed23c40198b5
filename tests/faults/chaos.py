"""Servers on one database, and what is done to them while they work."""

import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg

from botwire.testing import PostgresServer, ServerProcess
from botwire.testing.balancer import Balancer
from botwire.testing.proxy import Proxy

__all__ = ["Chaos", "FileStage", "Stage"]


class FileStage:
    """One server on a SQLite file."""

    def __init__(self, stack: ExitStack, folder: Path, **options: Any) -> None:
        url = f"sqlite:///{folder / 'memory.db'}"
        self.servers = [stack.enter_context(ServerProcess(url, **options))]
        self.urls = [self.servers[0].url]

    def acts(self, chaos: "Chaos") -> list[Callable[[], None]]:
        """What can be done to it."""
        return [*[chaos.kill_a_server] * 3, chaos.stop_a_server, chaos.freeze_a_server]


class Stage:
    """Three servers on one PostgreSQL, each behind a proxy of its own, and one address for all."""

    def __init__(self, stack: ExitStack, servers: int, **options: Any) -> None:
        self.postgres = stack.enter_context(PostgresServer())
        self.database = self.postgres.database()
        name = self.database.partition("?")[0].rpartition("/")[2]
        self.proxies = [stack.enter_context(Proxy(self.postgres.socket)) for _ in range(servers)]
        self.servers: list[ServerProcess] = []
        for proxy in self.proxies:
            url = f"postgresql://postgres@127.0.0.1:{proxy.port}/{name}"
            self.servers.append(stack.enter_context(ServerProcess(url, **options)))
        self.balancer = stack.enter_context(Balancer([server.url for server in self.servers]))

        self.urls = [*(server.url for server in self.servers), self.balancer.url]

    def acts(self, chaos: "Chaos") -> list[Callable[[], None]]:
        """What can be done to it."""
        servers = [*[chaos.kill_a_server] * 4, chaos.stop_a_server, chaos.freeze_a_server]
        breaks = [*[chaos.cut_connections] * 3, *[chaos.cut_a_commit] * 4, chaos.end_backends]
        database = [chaos.restart_the_database, chaos.crash_the_database, chaos.hold_a_namespace]
        return [*servers, *breaks, *database]


class Chaos:
    """Does something to a stage every now and then, from a thread of its own.

    At first everything that can be done is done once, then whatever chance brings.
    """

    def __init__(self, stage: Any, *, seed: int = 0, pause: float = 1.0) -> None:
        self._stage = stage
        self._chance = random.Random(seed)
        self._pause = pause
        self._over = threading.Event()
        self.done: list[str] = []
        self.failed: list[BaseException] = []
        self._acts: list[Callable[[], None]] = stage.acts(self)
        self._firsts = list(dict.fromkeys(self._acts))
        self._chance.shuffle(self._firsts)

    @contextmanager
    def going_on(self) -> Iterator[None]:
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join(60)

    def _run(self) -> None:
        try:
            while not self._over.wait(self._chance.uniform(0.2, 1.0) * self._pause):
                act = self._firsts.pop() if self._firsts else self._chance.choice(self._acts)
                act()
                self.done.append(act.__name__.replace("_", " "))
        except BaseException as error:
            self.failed.append(error)

    def _server(self) -> ServerProcess:
        return self._chance.choice(self._stage.servers)

    def kill_a_server(self) -> None:
        server = self._server()
        server.kill()
        server.start()

    def stop_a_server(self) -> None:
        self._server().restart()

    def freeze_a_server(self) -> None:
        process = self._server().process
        process.send_signal(signal.SIGSTOP)
        time.sleep(self._chance.uniform(0.1, 1.0))
        process.send_signal(signal.SIGCONT)

    def restart_the_database(self) -> None:
        self._stage.postgres.stop()
        self._stage.postgres.start()

    def crash_the_database(self) -> None:
        self._stage.postgres.stop(signal.SIGQUIT)
        self._stage.postgres.start()

    def cut_connections(self) -> None:
        self._chance.choice(self._stage.proxies).cut()

    def cut_a_commit(self) -> None:
        proxy = self._chance.choice(self._stage.proxies)
        proxy.cut_at(b"COMMIT\0", answered=self._chance.random() < 0.5)

    def end_backends(self) -> None:
        with psycopg.connect(self._stage.database) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    def hold_a_namespace(self) -> None:
        """A transaction that somebody forgot to end."""
        with psycopg.connect(self._stage.database) as connection:
            connection.execute(
                "SELECT FROM botwire.namespaces WHERE namespace LIKE '% 1' FOR UPDATE"
            )
            time.sleep(self._chance.uniform(0.1, 1.0))
