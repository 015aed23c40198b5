"""What all tests here rely on: crewai calls nobody, writes into a temporary folder, and plays a
scripted model."""

import atexit
import os
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


@pytest.fixture
def storage(url: str) -> Any:
    from botwire_crewai import BotWireStorage

    return BotWireStorage("crew", url=url)


@pytest.fixture
def other(url: str) -> Any:
    """Another process's view of the same records."""
    from botwire_crewai import BotWireStorage

    return BotWireStorage("crew", url=url)
