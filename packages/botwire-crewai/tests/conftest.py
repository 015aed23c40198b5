"""What all tests here rely on: crewai calls nobody, writes into a temporary folder, and plays a
scripted model."""

import atexit
import os
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

FILES = tempfile.TemporaryDirectory(prefix="crewai-")
atexit.register(FILES.cleanup)

# Before crewai is imported: it decides at import whether it calls home.
os.environ |= {
    "CREWAI_DISABLE_TELEMETRY": "true",
    "CREWAI_TRACING_ENABLED": "false",
    "CREWAI_TESTING": "true",
    "CREWAI_DISABLE_VERSION_CHECK": "true",
    "CREWAI_STORAGE_DIR": FILES.name,
}
os.environ.pop("OPENAI_API_KEY", None)
sys.path.insert(0, str(Path(__file__).parent))  # a checkpoint names the scripted model by its path


# What crewai 1.15 does to itself; everything else stays an error.
CREWAIS_OWN = (
    "ignore::DeprecationWarning:crewai",
    "ignore:Pydantic serializer warnings:UserWarning",  # a model object in a memory, at checkpoints
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            for warning in CREWAIS_OWN:
                item.add_marker(pytest.mark.filterwarnings(warning))


@pytest.fixture(autouse=True)
def _nobody_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test calls out to {address!r}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture
def url(tmp_path: Path) -> str:
    """An embedded memory of this test's own."""
    return f"sqlite:///{tmp_path}/memory.db"


@pytest.fixture
def storage(url: str) -> Any:
    from botwire_crewai import BotWireStorage

    return BotWireStorage("crew", url=url)


@pytest.fixture
def other(url: str) -> Any:
    """Another process's view of the same records."""
    from botwire_crewai import BotWireStorage

    return BotWireStorage("crew", url=url)


@pytest.fixture(scope="session")
def nowhere() -> str:
    """The address of a server that is not there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"
