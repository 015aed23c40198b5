"""Help for tests: the contract every store proves itself with, and fixtures. Needs pytest.

pytest_plugins = ["botwire.testing"]      # in conftest.py: botwire_memory, botwire_server

class TestMyStore(MemoryContract):        # every rule BotWire promises, on a store of yours
    @pytest.fixture
    def memory(self, tmp_path):
        return Memory("test", store=MyStore(tmp_path))
"""

import pytest

pytest.register_assert_rewrite("botwire.testing.contract")

from botwire.testing.bridge import blocking  # noqa: E402  (assertions are rewritten at import)
from botwire.testing.contract import MemoryContract  # noqa: E402
from botwire.testing.contract.kit import Capabilities, FakeClock  # noqa: E402
from botwire.testing.fixtures import botwire_memory  # noqa: E402
from botwire.testing.postgres import PostgresServer, botwire_postgres  # noqa: E402
from botwire.testing.server import ServerProcess, botwire_server  # noqa: E402

__all__ = [
    "Capabilities",
    "FakeClock",
    "MemoryContract",
    "PostgresServer",
    "ServerProcess",
    "blocking",
    "botwire_memory",
    "botwire_postgres",
    "botwire_server",
]
