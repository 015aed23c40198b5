"""Writes to one thread share requests, and each caller gets what one of its own would give."""

import asyncio
import operator
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from checkpoint_kit import Chain, checkpoint, config, writes_of
from langgraph.graph import START, StateGraph

from botwire import Memory
from botwire.errors import TooLarge
from botwire.operations import Operation
from botwire.stores.base import Limits, Mode
from botwire.stores.sqlite import SQLiteStore
from botwire_langchain import BotWireSaver, StaleWriteOwner
from botwire_langchain.checkpoint.together import LARGE

PATIENCE = 20.0


class Gated(SQLiteStore):
    """A store at whose gate writes wait, once it is closed."""

    def __init__(self, path: Path, limits: Limits | None = None) -> None:
        super().__init__(path, limits)
        self.writes: list[Operation] = []
        self.arrived = threading.Condition()
        self.gate = threading.Event()
        self.gate.set()

    def run(self, operation: Operation) -> Any:
        if operation.mode is Mode.WRITE:
            with self.arrived:
                self.writes.append(operation)
                self.arrived.notify_all()
            assert self.gate.wait(PATIENCE)
        return super().run(operation)

    def closed(self) -> None:
        self.writes.clear()
        self.gate.clear()

    def until(self, count: int) -> None:
        """Return once so many writes stand at the gate."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.writes) >= count, PATIENCE)


class Blocking:
    """Starts methods of a saver in threads of their own."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(12)

    def start(self, saver: BotWireSaver, name: str, *args: Any) -> Future[Any]:
        return self._pool.submit(getattr(saver, name), *args)

    def close(self) -> None:
        self._pool.shutdown()


class Awaiting:
    """Starts the asynchronous twins as tasks of one event loop."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

    def start(self, saver: BotWireSaver, name: str, *args: Any) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(getattr(saver, f"a{name}")(*args), self.loop)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self.loop.shutdown_default_executor(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


@pytest.fixture(params=[Blocking, Awaiting])
def face(request: pytest.FixtureRequest) -> Iterator[Any]:
    face = request.param()
    yield face
    face.close()


@pytest.fixture
def awaiting() -> Iterator[Awaiting]:
    face = Awaiting()
    yield face
    face.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Gated]:
    store = Gated(tmp_path / "memory.db", Limits(value_bytes=600_000))
    yield store
    store.close()


@pytest.fixture
def saver(store: Gated) -> BotWireSaver:
    return BotWireSaver(memory=Memory("checkpoints", store=store))


def waiting(saver: BotWireSaver, count: int) -> None:
    """Return once so many writes wait for the one that is under way."""
    end = time.monotonic() + PATIENCE
    while sum(len(line.waiting) for line in saver._guard.together._lines.values()) != count:
        assert time.monotonic() < end
        time.sleep(0.001)


def nothing_waits(saver: BotWireSaver) -> bool:
    return saver._guard.together._lines == {}


def write(number: int, size: int = 1) -> tuple[Any, ...]:
    return [("x", str(number) * size)], f"task-{number}"


def tasks(saver: BotWireSaver, where: Any) -> list[str]:
    return [task for task, _, _ in writes_of(saver, where)]


# -- sharing -------------------------------------------------------------------------------------


def test_writes_that_come_while_one_is_under_way_share_the_next_request(
    saver: BotWireSaver, store: Gated, face: Any
) -> None:
    where = Chain(saver).put(a=1)
    store.closed()
    started = [face.start(saver, "put_writes", where, *write(0))]
    store.until(1)
    started += [face.start(saver, "put_writes", where, *write(n)) for n in range(1, 5)]
    waiting(saver, 4)
    assert not any(one.done() for one in started)
    store.gate.set()
    wait(started, PATIENCE)
    assert [one.result() for one in started] == [None] * 5
    assert [len(one.keys) for one in store.writes] == [1, 4]
    assert tasks(saver, where) == [f"task-{n}" for n in range(5)]
    assert nothing_waits(saver)


def test_a_checkpoint_does_not_wait_and_takes_along_what_waits(
    saver: BotWireSaver, store: Gated, face: Any
) -> None:
    chain = Chain(saver)
    where = chain.put(a=1)
    store.closed()
    first = face.start(saver, "put_writes", where, *write(0))
    store.until(1)
    second = face.start(saver, "put_writes", where, *write(1))
    waiting(saver, 1)
    saved = checkpoint({"a": "2"}, {"a": 2}, step=1)
    put = face.start(saver, "put", where, saved, {}, {"a": "2"})
    store.until(2)  # the first write is still under way
    assert not any(one.done() for one in (first, second, put))
    store.gate.set()
    following = put.result(PATIENCE)
    assert (first.result(PATIENCE), second.result(PATIENCE)) == (None, None)
    assert len(store.writes) == 2
    assert tasks(saver, where) == ["task-0", "task-1"]
    assert saver.get_tuple(following).checkpoint["channel_values"] == {"a": 2}
    assert nothing_waits(saver)


def test_other_threads_and_large_writes_wait_for_nobody(
    saver: BotWireSaver, store: Gated, face: Any
) -> None:
    one, two = Chain(saver, "one").put(a=1), Chain(saver, "two").put(a=1)
    store.closed()
    started = [face.start(saver, "put_writes", one, *write(0))]
    store.until(1)
    started.append(face.start(saver, "put_writes", two, *write(1)))
    store.until(2)
    started.append(face.start(saver, "put_writes", one, *write(2, LARGE)))
    store.until(3)
    store.gate.set()
    wait(started, PATIENCE)
    assert (tasks(saver, one), tasks(saver, two)) == (["task-0", "task-2"], ["task-1"])


def test_a_request_takes_no_more_along_than_fits(
    saver: BotWireSaver, store: Gated, face: Any
) -> None:
    where = Chain(saver).put(a=1)
    store.closed()
    started = [face.start(saver, "put_writes", where, *write(0))]
    store.until(1)
    for n in range(1, 9):
        other = config("t", checkpoint(dict[str, Any](), {}, step=n)["id"])
        started.append(face.start(saver, "put_writes", other, *write(n, LARGE // 2)))
    waiting(saver, 8)
    store.gate.set()
    wait(started, PATIENCE)
    assert [one.exception() for one in started] == [None] * 9
    assert len(store.writes) == 3


# -- failing -------------------------------------------------------------------------------------


def test_what_fails_together_is_tried_alone_so_that_each_gets_its_own_error(
    saver: BotWireSaver, store: Gated, face: Any
) -> None:
    where = Chain(saver).put(a=1)
    store.closed()
    first = face.start(saver, "put_writes", where, *write(0))
    store.until(1)
    second = face.start(saver, "put_writes", where, *write(1))
    waiting(saver, 1)
    saved = checkpoint({"a": "2"}, {"a": "x" * 700_000}, step=1)
    put = face.start(saver, "put", where, saved, {}, {"a": "2"})
    store.gate.set()
    with pytest.raises(TooLarge):
        put.result(PATIENCE)
    assert (first.result(PATIENCE), second.result(PATIENCE)) == (None, None)
    assert tasks(saver, where) == ["task-0", "task-1"]
    assert nothing_waits(saver)


def test_every_write_of_a_stale_owner_is_refused_also_when_they_are_sent_together(
    saver: BotWireSaver, store: Gated, face: Any
) -> None:
    stale = saver.claim_write_ownership("t")
    where = Chain(stale).put(a=1)
    saver.claim_write_ownership("t")
    store.closed()
    started = [face.start(stale, "put_writes", where, *write(0))]
    store.until(1)
    started += [face.start(stale, "put_writes", where, *write(n)) for n in (1, 2)]
    waiting(stale, 2)
    store.gate.set()
    for one in started:
        with pytest.raises(StaleWriteOwner):
            one.result(PATIENCE)
    assert tasks(saver, where) == []
    assert nothing_waits(stale)


@pytest.mark.parametrize("cancelled", [0, 1, 2])
def test_who_is_cancelled_takes_nobody_along(
    saver: BotWireSaver, store: Gated, awaiting: Awaiting, cancelled: int
) -> None:
    """Whether its request is under way, it is the next to send, or just one of those who wait."""
    where = Chain(saver).put(a=1)
    store.closed()
    started = [awaiting.start(saver, "put_writes", where, *write(0))]
    store.until(1)
    for n in (1, 2, 3):
        started.append(awaiting.start(saver, "put_writes", where, *write(n)))
        waiting(saver, n)
    started.pop(cancelled).cancel()
    store.gate.set()
    wait(started, PATIENCE)
    assert [one.exception() for one in started] == [None] * 3
    kept = {f"task-{n}" for n in range(4)} - {f"task-{cancelled}"}
    assert kept <= set(tasks(saver, where))
    assert nothing_waits(saver)


def test_a_loop_that_ends_in_the_middle_of_a_write_holds_up_nobody(
    saver: BotWireSaver, store: Gated
) -> None:
    where = Chain(saver).put(a=1)
    left: list[asyncio.Future[None]] = []

    async def abandoned() -> None:
        store.closed()
        for n in range(3):
            left.append(asyncio.ensure_future(saver.aput_writes(where, *write(n))))
        await asyncio.to_thread(store.until, 1)
        threading.Timer(0.05, store.gate.set).start()  # for asyncio.run waits for threads

    asyncio.run(abandoned())
    assert nothing_waits(saver)
    asyncio.run(saver.aput_writes(where, *write(7)))
    assert "task-7" in tasks(saver, where)


def test_a_blocking_call_on_the_loop_does_not_wait_for_a_task_of_that_loop(
    saver: BotWireSaver, store: Gated
) -> None:
    where = Chain(saver).put(a=1)

    async def both() -> None:
        store.closed()
        task = asyncio.ensure_future(saver.aput_writes(where, *write(0)))
        await asyncio.to_thread(store.until, 1)
        threading.Timer(0.01, store.gate.set).start()
        saver.put_writes(where, *write(1))
        await task

    asyncio.run(both())
    assert tasks(saver, where) == ["task-0", "task-1"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_fork_does_not_wait_for_what_was_under_way_before_it(
    saver: BotWireSaver, store: Gated
) -> None:
    where = Chain(saver).put(a=1)
    store.closed()
    face = Blocking()
    started = [face.start(saver, "put_writes", where, *write(0))]
    store.until(1)
    started.append(face.start(saver, "put_writes", where, *write(1)))
    waiting(saver, 1)
    child = os.fork()
    if child == 0:
        store.gate = threading.Event()
        store.gate.set()
        saver.put_writes(where, *write(2))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    store.gate.set()
    wait(started, PATIENCE)
    face.close()
    assert tasks(saver, where) == ["task-0", "task-1", "task-2"]


# -- in LangGraph --------------------------------------------------------------------------------


class Distant(SQLiteStore):
    """A store behind a network: every write takes its time, and they take it side by side."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.writes: list[Operation] = []

    def run(self, operation: Operation) -> Any:
        if operation.mode is Mode.WRITE:
            self.writes.append(operation)
            time.sleep(0.05)
        return super().run(operation)


class State(TypedDict):
    a: Annotated[list[int], operator.add]


def graph(saver: BotWireSaver, *nodes: Callable[[State], Any]) -> Any:
    """All nodes side by side, in one superstep."""
    builder = StateGraph(State)
    for number, node in enumerate(nodes):
        builder.add_node(f"node {number}", node)
        builder.add_edge(START, f"node {number}")
    return builder.compile(checkpointer=saver)


def together(count: int) -> list[Callable[[State], Any]]:
    """Nodes that end at one moment."""
    barrier = threading.Barrier(count)

    def node(state: State) -> State:
        barrier.wait(PATIENCE)
        return {"a": [1]}

    return [node] * count


@pytest.fixture
def distant(tmp_path: Path) -> Iterator[Distant]:
    store = Distant(tmp_path / "memory.db")
    yield store
    store.close()


@pytest.mark.parametrize("durability", ["async", "sync"])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_superstep_of_tasks_that_end_together_takes_at_most_two_requests(
    distant: Distant, count: int, durability: Any
) -> None:
    saver = BotWireSaver(memory=Memory("checkpoints", store=distant))
    agent = graph(saver, *together(count))
    found = agent.invoke({"a": []}, config("sync"), durability=durability)
    assert found == {"a": [1] * count}
    assert len(distant.writes) <= 2 * len(list(saver.list(config("sync"))))


def test_awaited_the_last_tasks_of_a_superstep_are_saved_together_with_its_checkpoint(
    distant: Distant,
) -> None:
    saver = BotWireSaver(memory=Memory("checkpoints", store=distant))
    moment = asyncio.Event()

    async def early(state: State) -> State:
        distant.writes.clear()
        asyncio.get_running_loop().call_later(0.1, moment.set)
        return {"a": [1]}

    async def late(state: State) -> State:
        await moment.wait()
        return {"a": [2]}

    async def run() -> None:
        agent = graph(saver, early, early, late, late)
        await agent.ainvoke({"a": []}, config(), durability="sync")

    asyncio.run(run())
    assert [len(one.keys) for one in distant.writes] == [2, 4]
    assert saver.get_tuple(config()).checkpoint["channel_values"]["a"] == [1, 1, 2, 2]
