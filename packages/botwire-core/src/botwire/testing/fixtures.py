"""Fixtures for whoever tests an adapter or an agent: `pytest_plugins = ["botwire.testing"]`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from botwire.memory import Memory

__all__ = ["botwire_memory"]


@pytest.fixture
def botwire_memory(tmp_path: Path) -> Iterator[Memory]:
    """A fresh, empty memory in a file of its own."""
    with Memory("test", url=f"sqlite:///{tmp_path / 'memory.db'}") as memory:
        yield memory
