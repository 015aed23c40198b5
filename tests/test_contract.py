"""The contract, over every store and every way of reaching it. A new store adds a row to `WAYS`."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from botwire import AsyncMemory, Memory
from botwire.runners import open_store
from botwire.stores.base import Limits
from botwire.testing import Capabilities, FakeClock, MemoryContract, ServerProcess, blocking
from botwire.testing.balancer import Balancer

Face = Callable[..., Memory]


SYNC = Capabilities()
ASYNC = Capabilities(mapping=False)


@dataclass(frozen=True)
class Way:
    """How memory is reached: the address of its store, by which face, and through a server or not.

    `{tmp}` in the address is a fresh folder, `{postgres}` a database; `server` names the fixture of
    the server (or several behind one address) that tests share.
    """

    url: str
    face: Face
    server: str = ""
    capabilities: Capabilities = SYNC

    @property
    def servers(self) -> int:
        return 3 if self.server == "three_servers" else int(self.server != "")


def _async(namespace: str, **options: object) -> Memory:
    return blocking(AsyncMemory(namespace, **options))


FILE = "sqlite:///{tmp}/memory.db"
WAYS = {
    "sqlite": Way(FILE, Memory),
    "sqlite async": Way(FILE, _async, capabilities=ASYNC),
    "memory": Way("memory://", Memory, capabilities=Capabilities(processes=False)),
    "memory async": Way("memory://", _async, capabilities=Capabilities(False, False)),
    "http": Way(FILE, Memory, "shared_server"),
    "http async": Way(FILE, _async, "shared_server", ASYNC),
    "memory http": Way("memory://", Memory, "memory_server"),
    "postgres": Way("{postgres}", Memory),
    "postgres async": Way("{postgres}", _async, capabilities=ASYNC),
    "postgres http": Way("{postgres}", Memory, "postgres_server"),
    "postgres three servers": Way("{postgres}", _async, "three_servers", ASYNC),
}
PARAMETERS = [
    pytest.param(way, id=name, marks=pytest.mark.postgres if "postgres" in name else ())
    for name, way in WAYS.items()
]


class TestEveryWay(MemoryContract):
    """In real time: what expires is waited for."""

    @pytest.fixture(params=PARAMETERS)
    def way(self, request: pytest.FixtureRequest) -> Way:
        name = request.node.callspec.id.partition("-")[0]
        request.node.user_properties.append(("way", name))
        return request.param

    @pytest.fixture
    def capabilities(self, way: Way) -> Capabilities:
        return way.capabilities

    @pytest.fixture
    def store_url(self, way: Way, tmp_path: Path, request: pytest.FixtureRequest) -> str:
        if way.url == "{postgres}":
            return request.getfixturevalue("postgres_database")
        return way.url.format(tmp=tmp_path)

    @pytest.fixture
    def memory(self, way: Way, store_url: str, request: pytest.FixtureRequest) -> Iterator[Memory]:
        url = request.getfixturevalue(way.server).url if way.server else store_url
        with way.face(f"test {uuid4()}", url=url) as memory:
            yield memory

    @pytest.fixture
    def limited(self, way: Way, store_url: str) -> Iterator[Callable[[Limits], Memory]]:
        with ExitStack() as stack:

            def make(limits: Limits) -> Memory:
                namespace = f"limited {uuid4()}"
                if not way.server:
                    store = open_store(store_url, limits=limits)
                    stack.callback(store.close)
                    return way.face(namespace, store=store)
                options = {name: getattr(limits, name) or 0 for name in Limits.__slots__}
                urls = [
                    stack.enter_context(ServerProcess(store_url, **options)).url
                    for _ in range(way.servers)
                ]
                return way.face(namespace, url=stack.enter_context(Balancer(urls)).url)

            yield make


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

    @pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
    def url(self, tmp_path: Path, request: pytest.FixtureRequest) -> str:
        if request.param == "postgres":
            return request.getfixturevalue("postgres_database")
        return FILE.format(tmp=tmp_path)

    @pytest.fixture
    def limited(self, url: str, clock: FakeClock) -> Iterator[Callable[[Limits], Memory]]:
        with ExitStack() as stack:

            def make(limits: Limits) -> Memory:
                store = open_store(url, limits=limits, clock=clock)
                stack.callback(store.close)
                return Memory(f"limited {uuid4()}", store=store)

            yield make

    @pytest.fixture
    def memory(self, url: str, clock: FakeClock) -> Iterator[Memory]:
        store = open_store(url, clock=clock)
        with Memory(f"test {uuid4()}", store=store) as memory:
            yield memory
        store.close()
