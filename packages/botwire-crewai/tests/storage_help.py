"""Records for tests of the storage, and ways to look at what is found."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from crewai.memory.types import MemoryRecord

from botwire_crewai import BotWireStorage
from botwire_crewai.failures import ToolFailure

# The oldest crewai that is supported does less here.
newer = pytest.mark.skipif(ToolFailure is None, reason="crewai before 1.15.10")

EAST, NORTH, UP = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]


def record(content: str = "x", embedding: Any = None, **more: Any) -> MemoryRecord:
    return MemoryRecord(content=content, embedding=embedding or EAST, **more)


def contents(found: Any) -> set[str]:
    """The contents of records, or of records with scores."""
    return {one.content if isinstance(one, MemoryRecord) else one[0].content for one in found}


def naive(*parts: int) -> datetime:
    """A time as CrewAI has them: UTC, and not saying so."""
    return datetime(*parts)  # noqa: DTZ001


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def requests_of(storage: BotWireStorage) -> list[Any]:
    """Every operation this storage runs, from now on."""
    asked: list[Any] = []
    memory = storage.mirror.memory
    run = memory._run

    def counting(operation: Any) -> Any:
        asked.append(operation)
        return run(operation)

    memory._run = counting  # type: ignore[method-assign]
    return asked
