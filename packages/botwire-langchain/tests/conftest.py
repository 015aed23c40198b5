"""What the tests here rely on: both faces, a clock, and a count of round trips."""

import asyncio
import inspect
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from botwire import AsyncMemory, Memory
from botwire.jsontext import write
from botwire.stores.sqlite import SQLiteStore
from botwire.testing import FakeClock
from botwire_langchain.faces import shared_faces

sys.path.insert(0, str(Path(__file__).parent))  # for the kits beside this file

DIALOGUES = Path(__file__).parents[3].parent / "shared" / "data" / "dialogues.jsonl"


@pytest.fixture(autouse=True)
def _no_connection_stays_open() -> Iterator[None]:
    yield
    shared_faces.cache_clear()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def timed(clock: FakeClock) -> Iterator[Memory]:
    """A memory whose time passes when `clock` is told to."""
    store = SQLiteStore(None, clock=clock)
    yield Memory("timed", store=store)
    store.close()


@pytest.fixture
def round_trips(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of all operations that were run, in order."""
    seen: list[str] = []
    run, run_async = Memory._run, AsyncMemory._run

    def counted(self: Memory, operation: Any) -> Any:
        seen.append(operation.name)
        return run(self, operation)

    async def counted_async(self: AsyncMemory, operation: Any) -> Any:
        seen.append(operation.name)
        return await run_async(self, operation)

    monkeypatch.setattr(Memory, "_run", counted)
    monkeypatch.setattr(AsyncMemory, "_run", counted_async)
    return seen


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bytes that each operation would take on the wire."""
    seen: list[int] = []
    run, run_async = Memory._run, AsyncMemory._run

    def measured(self: Memory, operation: Any) -> Any:
        seen.append(len(write(operation.request()).encode()))
        return run(self, operation)

    async def measured_async(self: AsyncMemory, operation: Any) -> Any:
        seen.append(len(write(operation.request()).encode()))
        return await run_async(self, operation)

    monkeypatch.setattr(Memory, "_run", measured)
    monkeypatch.setattr(AsyncMemory, "_run", measured_async)
    return seen


class Awaited:
    """An object whose methods stand for the asynchronous ones of another: `put` runs its `aput`."""

    def __init__(self, target: Any, runner: asyncio.Runner) -> None:
        self.target = target
        self._runner = runner

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.target, f"a{name}")

        def call(*args: Any, **options: Any) -> Any:
            return self._runner.run(_finish(method(*args, **options)))

        return call


async def _finish(result: Any) -> Any:
    if isinstance(result, AsyncIterator):
        return [item async for item in result]
    return await result if inspect.isawaitable(result) else result


@pytest.fixture(params=["sync", "async"])
def face(request: pytest.FixtureRequest) -> Iterator[Callable[[Any], Any]]:
    """Turns an object into what is tried of it: its methods, or their asynchronous twins."""
    if request.param == "sync":
        yield lambda target: target
        return
    with asyncio.Runner() as runner:
        yield lambda target: Awaited(target, runner)


@pytest.fixture(scope="session")
def dialogues() -> list[dict[str, Any]]:
    """Real conversations; a few made-up turns where the data set is not at hand."""
    if not DIALOGUES.exists():
        turn = {"speaker": "user", "text": "I need a train to Anaheim on the 3rd."}
        answer = {"speaker": "system", "text": "It leaves at 6:30 am and costs $156."}
        return [{"id": str(number), "turns": [turn, answer] * 10} for number in range(50)]
    with DIALOGUES.open() as lines:
        return [json.loads(line) for line in lines]
