"""What the tests across packages share."""

from collections.abc import Iterator

import pytest

from botwire.testing import ServerProcess


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server for many tests, each in namespaces of its own."""
    with ServerProcess(f"sqlite:///{tmp_path_factory.mktemp('server')}/memory.db") as server:
        yield server
