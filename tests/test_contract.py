"""The contract, over every store and every way of reaching it. A new store adds a row to `WAYS`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from botwire import AsyncMemory, Memory
from botwire.runners import open_store
from botwire.stores.base import Limits
from botwire.stores.sqlite import SQLiteStore
from botwire.testing import Capabilities, FakeClock, MemoryContract, ServerProcess, blocking

Face = Callable[..., Memory]


SYNC = Capabilities()
ASYNC = Capabilities(mapping=False)


@dataclass(frozen=True)
class Way:
    """How memory is reached: the address of its store, by which face, and through a server or not.

    `{tmp}` in the address is a fresh folder.
    """

    url: str
    face: Face
    server: bool = False
    capabilities: Capabilities = SYNC


def _async(namespace: str, **options: object) -> Memory:
    return blocking(AsyncMemory(namespace, **options))


WAYS = {
    "sqlite": Way("sqlite:///{tmp}/memory.db", Memory),
    "sqlite async": Way("sqlite:///{tmp}/memory.db", _async, capabilities=ASYNC),
    "memory": Way("memory://", Memory, capabilities=Capabilities(processes=False)),
    "memory async": Way("memory://", _async, capabilities=Capabilities(False, False)),
    "http": Way("sqlite:///{tmp}/memory.db", Memory, server=True),
    "http async": Way("sqlite:///{tmp}/memory.db", _async, server=True, capabilities=ASYNC),
}


class TestEveryWay(MemoryContract):
    """In real time: what expires is waited for."""

    @pytest.fixture(params=WAYS.values(), ids=WAYS.keys())
    def way(self, request: pytest.FixtureRequest) -> Way:
        return request.param

    @pytest.fixture
    def capabilities(self, way: Way) -> Capabilities:
        return way.capabilities

    @pytest.fixture
    def memory(self, way: Way, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Memory]:
        if way.server:
            url = request.getfixturevalue("shared_server").url
        else:
            url = way.url.format(tmp=tmp_path)
        with way.face(f"test {uuid4()}", url=url) as memory:
            yield memory

    @pytest.fixture
    def limited(self, way: Way, tmp_path: Path) -> Iterator[Callable[[Limits], Memory]]:
        servers: list[ServerProcess] = []

        def make(limits: Limits) -> Memory:
            store = way.url.format(tmp=tmp_path)
            if not way.server:
                return way.face("limited", store=open_store(store, limits=limits))
            options = {name: getattr(limits, name) or 0 for name in Limits.__slots__}
            servers.append(ServerProcess(store, **options))
            return way.face("limited", url=servers[-1].url)

        yield make
        for server in servers:
            server.stop()


class TestFakeTime(MemoryContract):
    """On stores that take a clock and limits."""

    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()

    @pytest.fixture
    def elapse(self, clock: FakeClock) -> Callable[[float], None]:
        return clock.advance

    @pytest.fixture
    def capabilities(self) -> Capabilities:
        return Capabilities(processes=False)

    @pytest.fixture
    def limited(self, clock: FakeClock) -> Callable[[Limits], Memory]:
        return lambda limits: Memory("limited", store=SQLiteStore(None, limits, clock))

    @pytest.fixture
    def memory(self, clock: FakeClock, tmp_path: Path) -> Iterator[Memory]:
        store = SQLiteStore(tmp_path / "memory.db", clock=clock)
        with Memory("test", store=store) as memory:
            yield memory
        store.close()
