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
from botwire.testing import Capabilities, FakeClock, MemoryContract, blocking


@dataclass(frozen=True)
class Way:
    """How memory is reached: an address (`{tmp}`: a fresh folder) and one of the two faces."""

    url: str
    face: Callable[..., Memory]
    capabilities: Capabilities


def _async(namespace: str, **options: object) -> Memory:
    return blocking(AsyncMemory(namespace, **options))


SYNC = Capabilities()
ASYNC = Capabilities(mapping=False)
WAYS = {
    "sqlite": Way("sqlite:///{tmp}/memory.db", Memory, SYNC),
    "sqlite async": Way("sqlite:///{tmp}/memory.db", _async, ASYNC),
    "memory": Way("memory://", Memory, Capabilities(processes=False)),
    "memory async": Way("memory://", _async, Capabilities(mapping=False, processes=False)),
}


class TestEveryWay(MemoryContract):
    """In real time: what expires is waited for."""

    @pytest.fixture(params=WAYS.values(), ids=WAYS.keys())
    def way(self, request: pytest.FixtureRequest) -> Way:
        return request.param

    @pytest.fixture
    def limited(self, way: Way, tmp_path: Path) -> Callable[[Limits], Memory]:
        def make(limits: Limits) -> Memory:
            store = open_store(way.url.format(tmp=tmp_path), limits=limits)
            return way.face("limited", store=store)

        return make

    @pytest.fixture
    def capabilities(self, way: Way) -> Capabilities:
        return way.capabilities

    @pytest.fixture
    def memory(self, way: Way, tmp_path: Path) -> Iterator[Memory]:
        with way.face(f"test {uuid4()}", url=way.url.format(tmp=tmp_path)) as memory:
            yield memory


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
