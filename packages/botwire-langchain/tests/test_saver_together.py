"""Writes to one thread share requests, and each caller gets what one of its own would give."""

import asyncio
import os
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest
from checkpoint_kit import Chain, checkpoint, config, writes_of
from slow_stores import PATIENCE, Distant, Gated

from botwire import Memory
from botwire.errors import TooLarge
from botwire.stores.base import Limits
from botwire_langchain import BotWireSaver, StaleWriteOwner
from botwire_langchain.checkpoint.together import LARGE


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


@pytest.fixture
def distant(tmp_path: Path) -> Iterator[Distant]:
    store = Distant(tmp_path / "memory.db")
    yield store
    store.close()


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


def test_writes_that_come_while_a_checkpoint_is_under_way_share_the_request_after_it(
    saver: BotWireSaver, store: Gated, face: Any
) -> None:
    where = Chain(saver).put(a=1)
    store.closed()
    saving = face.start(saver, "put", where, checkpoint({}, {}), {}, {})
    store.until(1)
    started = [face.start(saver, "put_writes", where, *write(n)) for n in range(3)]
    waiting(saver, 3)
    assert not any(one.done() for one in started)
    store.gate.set()
    wait([saving, *started], PATIENCE)
    assert [one.result() for one in started] == [None] * 3
    assert [len(one.keys) for one in store.writes[1:]] == [3]
    assert tasks(saver, where) == [f"task-{n}" for n in range(3)]
    assert nothing_waits(saver)


def test_a_write_outlives_a_checkpoint_that_failed_before_it(
    saver: BotWireSaver, store: Gated, face: Any
) -> None:
    where = Chain(saver).put(a=1)
    store.closed()
    large = checkpoint({"x": "1.x"}, {"x": "y" * 700_000})
    saving = face.start(saver, "put", where, large, {}, {"x": "1.x"})
    store.until(1)
    started = face.start(saver, "put_writes", where, *write(0))
    waiting(saver, 1)
    store.gate.set()
    wait([saving, started], PATIENCE)
    assert isinstance(saving.exception(), TooLarge)
    assert started.result() is None
    assert tasks(saver, where) == ["task-0"]
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


async def restless(saver: BotWireSaver, where: Any, name: str, kept: set[str]) -> None:
    """Save writes and checkpoints side by side, and cancel some of the writes at any moment."""
    chance = random.Random(name)

    async def one(task: str) -> None:
        await asyncio.sleep(chance.random() * 0.02)
        await saver.aput_writes(where, [("x", 1)], task)
        kept.add(task)

    async def checkpoints() -> None:
        for step in range(1, 6):
            await asyncio.sleep(chance.random() * 0.01)
            await saver.aput(where, checkpoint({"a": str(step)}, {"a": step}, step), {}, {})

    saving = asyncio.ensure_future(checkpoints())
    started = [asyncio.ensure_future(one(f"{name}-{n}")) for n in range(40)]
    for victim in chance.choices(started, k=15):
        await asyncio.sleep(chance.random() * 0.002)
        victim.cancel()
    await asyncio.gather(*started, return_exceptions=True)
    await saving


@pytest.mark.parametrize("seed", range(3))
def test_whoever_is_cancelled_whenever_what_returned_is_kept(distant: Distant, seed: int) -> None:
    saver = BotWireSaver(memory=Memory("checkpoints", store=distant))
    where = Chain(saver).put(a=1)
    distant.seconds = 0.002
    kept: set[str] = set()
    with ThreadPoolExecutor(2) as pool:
        names = [f"{seed}-{number}" for number in range(2)]
        loops = [pool.submit(asyncio.run, restless(saver, where, name, kept)) for name in names]
        for n in range(40):
            saver.put_writes(where, [("x", 1)], f"blocking-{n}")
            kept.add(f"blocking-{n}")
    assert [loop.result() for loop in loops] == [None, None]
    assert len(kept) >= 40 + 2 * 25
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
@pytest.mark.filterwarnings("ignore:lance is not fork-safe")  # where other tests have imported it
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
