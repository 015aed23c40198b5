"""What the tests across packages share."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from botwire.testing import PostgresServer, ServerProcess
from botwire.testing.balancer import Balancer

sys.path.append(str(Path(__file__).parent))  # for the kits beside the tests


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server for many tests, each in namespaces of its own."""
    with ServerProcess(f"sqlite:///{tmp_path_factory.mktemp('server')}/memory.db") as server:
        yield server


@pytest.fixture(scope="session")
def memory_server() -> Iterator[ServerProcess]:
    """A server that keeps nothing, for many tests, each in namespaces of its own."""
    with ServerProcess("memory://") as server:
        yield server


@pytest.fixture(scope="session")
def postgres_database(botwire_postgres: PostgresServer) -> str:
    """One database for many tests, each in namespaces of its own."""
    return botwire_postgres.database()


@pytest.fixture(scope="session")
def postgres_server(postgres_database: str) -> Iterator[ServerProcess]:
    """One server on PostgreSQL for many tests."""
    with ServerProcess(postgres_database) as server:
        yield server


@pytest.fixture(scope="session")
def three_servers(postgres_server: ServerProcess, postgres_database: str) -> Iterator[Balancer]:
    """Three servers on one PostgreSQL; each request goes to the next of them."""
    with (
        ServerProcess(postgres_database) as second,
        ServerProcess(postgres_database) as third,
        Balancer([postgres_server.url, second.url, third.url]) as balancer,
    ):
        yield balancer
