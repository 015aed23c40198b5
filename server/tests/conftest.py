"""Servers for all tests of a file, and a plain HTTP client as curl users have one."""

from collections.abc import Iterator

import httpx
import pytest

from botwire.testing import PostgresServer, ServerProcess
from botwire.testing.proxy import Proxy


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("server")
    with ServerProcess(f"sqlite:///{folder / 'server.db'}") as process:
        yield process


@pytest.fixture
def client(server: ServerProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url) as client:
        yield client


@pytest.fixture(scope="module")
def own() -> Iterator[PostgresServer]:
    """A PostgreSQL server that only the tests of one file use: they stop it, and worse."""
    try:
        server = PostgresServer()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    with server:
        yield server


@pytest.fixture
def proxy(own: PostgresServer) -> Iterator[Proxy]:
    with Proxy(own.socket) as proxy:
        yield proxy
