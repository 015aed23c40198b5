"""What all tests here rely on: empty memories, and both faces."""

import gc
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"  # read when haystack is imported
sys.path.insert(0, str(Path(__file__).parent))  # for haystack_scripts, the scripted models

from haystack_scripts import awaited

from botwire import AsyncMemory
from botwire.testing import ServerProcess
from haystack_integrations.chat_message_stores.botwire import BotWireChatMessageStore
from haystack_integrations.common.botwire import Backed
from haystack_integrations.memory_stores.botwire import BotWireMemoryStore

NAMESPACES = ("test", "haystack", "one", "other", "killed", "assistant")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server process for all tests; each leaves it empty."""
    with ServerProcess(f"sqlite:///{tmp_path_factory.mktemp('server')}/memory.db") as process:
        # Whoever closes the last memory of an address must do it on the loop its sockets belong to.
        last = AsyncMemory("test", url=process.url)
        awaited(last.exists("nothing"))
        yield process
        gc.collect()
        awaited(last.close())


@pytest.fixture(params=["embedded", "server"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where an empty memory is: in a file of the test's own, and on a live server."""
    if request.param == "embedded":
        yield f"sqlite:///{tmp_path}/memory.db"
        return
    process: ServerProcess = request.getfixturevalue("server")
    yield process.url
    for namespace in NAMESPACES:
        with process.memory(namespace) as memory:
            memory.clear()


@pytest.fixture
def made() -> Iterator[Callable[..., Any]]:
    """Keeps what is made with it until the test ends, and closes it then."""
    things: list[Any] = []

    def keep(thing: Any) -> Any:
        things.append(thing)
        return thing

    yield keep
    for thing in things:
        thing.close()


@pytest.fixture
def store(url: str, made: Callable[..., Any]) -> BotWireChatMessageStore:
    return made(BotWireChatMessageStore("test", url=url))


@pytest.fixture
def memories(url: str, made: Callable[..., Any]) -> BotWireMemoryStore:
    return made(BotWireMemoryStore("test", url=url))


@pytest.fixture(params=["sync", "async"])
def does(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """`does(thing, "method", ...)` calls `method` or awaits `method_async`."""

    def call(thing: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        if request.param == "sync":
            return getattr(thing, method)(*args, **kwargs)
        return awaited(getattr(thing, f"{method}_async")(*args, **kwargs))

    return call


@pytest.fixture
def operations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the operations that objects of this package run, in order."""
    seen: list[str] = []
    drive = Backed.drive

    def watched(self: Backed, flow: Any) -> Any:
        def through() -> Any:
            result, error = None, None
            while True:
                try:
                    operation = flow.throw(error) if error else flow.send(result)
                except StopIteration as done:
                    return done.value
                seen.append(operation.name)
                error = None
                try:
                    result = yield operation
                except Exception as met:
                    error = met

        return drive(self, through())

    monkeypatch.setattr(Backed, "drive", watched)
    return seen
