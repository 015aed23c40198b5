"""Time to live in LangGraph's store, and changes that must not be lost."""

import asyncio
import math
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from langgraph.store.base import (
    InvalidNamespaceError,
)

from botwire import Memory
from botwire.errors import InvalidRequest
from botwire.testing import FakeClock
from botwire_langchain import BotWireStore

Face = Callable[[Any], Any]


@pytest.fixture
def store(url: str, face: Face) -> Any:
    return face(BotWireStore(url=url))


def keys(items: Any) -> list[str]:
    return [item.key for item in items]


# -- time to live --------------------------------------------------------------------------------


def test_ttl_is_in_minutes_with_fractions_and_nothing_expired_is_ever_returned(
    timed: Memory, clock: FakeClock, face: Face
) -> None:
    store = face(BotWireStore(memory=timed, ttl={"default_ttl": 10, "refresh_on_read": False}))
    store.put(("a",), "half", {}, ttl=0.5)
    store.put(("a",), "default", {})
    store.put(("a",), "forever", {}, ttl=None)
    store.put(("b",), "infinite", {}, ttl=math.inf)
    clock.advance(29.9)
    assert sorted(keys(store.search(()))) == ["default", "forever", "half", "infinite"]
    clock.advance(0.2)
    assert store.get(("a",), "half") is None
    assert sorted(keys(store.search(()))) == ["default", "forever", "infinite"]
    clock.advance(600)
    assert sorted(keys(store.search(()))) == ["forever", "infinite"]
    with pytest.raises(InvalidRequest, match="ttl"):
        store.put(("a",), "k", {}, ttl=0)


def test_reading_renews_if_so_configured_and_only_what_was_read(
    timed: Memory, clock: FakeClock, face: Face
) -> None:
    store = face(BotWireStore(memory=timed, ttl={"default_ttl": 1}))
    for name in ("got", "found", "left", "peeked"):
        store.put(("a",), name, {"name": name})
    clock.advance(50)
    assert store.get(("a",), "got") is not None
    assert keys(store.search(("a",), filter={"name": "found"})) == ["found"]
    assert store.get(("a",), "peeked", refresh_ttl=False) is not None
    assert len(store.search(("a",), refresh_ttl=False)) == 4
    clock.advance(15)
    assert sorted(keys(store.search(("a",), refresh_ttl=False))) == ["found", "got"]
    clock.advance(46)
    assert store.search(("a",)) == []


def test_items_without_a_ttl_cost_no_renewal(store: Any, round_trips: list[str]) -> None:
    store.put(("a",), "k", {})
    store.get(("a",), "k")
    store.search(("a",))
    assert round_trips == ["batch"] * 3


def test_putting_without_a_ttl_ends_it(timed: Memory, clock: FakeClock, face: Face) -> None:
    store = face(BotWireStore(memory=timed))
    store.put(("a",), "k", {"n": 1}, ttl=1)
    store.put(("a",), "k", {"n": 2})
    clock.advance(120)
    assert store.get(("a",), "k").value == {"n": 2}
    assert BotWireStore.supports_ttl


# -- changing ------------------------------------------------------------------------------------


def test_compare_and_set_puts_only_on_what_was_expected(store: Any) -> None:
    assert store.compare_and_set(("a",), "k", None, {"n": 1})
    assert not store.compare_and_set(("a",), "k", None, {"n": 2})
    assert not store.compare_and_set(("a",), "k", {"n": 9}, {"n": 2})
    assert store.compare_and_set(("a",), "k", {"n": 1}, {"n": 2})
    assert store.get(("a",), "k").value == {"n": 2}
    assert store.compare_and_set(("a",), "k", {"n": 2}, None)
    assert store.get(("a",), "k") is None
    with pytest.raises(InvalidNamespaceError):
        store.compare_and_set(("a.b",), "k", None, {})


def test_updates_from_many_threads_lose_nothing(url: str) -> None:
    store = BotWireStore(url=url)

    def add(item: tuple[int, int], old: dict[str, Any] | None) -> dict[str, Any]:
        return {"all": [*(old or {"all": []})["all"], item]}

    def work(name: int) -> None:
        for number in range(20):
            store.update(("a",), "k", partial(add, (name, number)))

    threads = [threading.Thread(target=work, args=(name,)) for name in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    item = store.get(("a",), "k")
    assert item is not None
    assert sorted(item.value["all"]) == [(name, n) for name in range(5) for n in range(20)]


def test_an_asynchronous_function_may_decide_an_update(url: str) -> None:
    store = BotWireStore(url=url)

    async def slowly(old: dict[str, Any] | None) -> dict[str, Any] | None:
        await asyncio.sleep(0)
        return {"n": 1} if old is None else None

    async def run() -> list[Any]:
        return [await store.aupdate(("a",), "k", slowly) for _ in range(2)]

    assert asyncio.run(run()) == [{"n": 1}, None]
    assert store.get(("a",), "k") is None


def test_an_update_keeps_the_time_to_live(timed: Memory, clock: FakeClock, face: Face) -> None:
    store = face(BotWireStore(memory=timed))
    store.put(("a",), "k", {"n": 1}, ttl=1)
    clock.advance(40)
    store.update(("a",), "k", lambda old: {"n": old["n"] + 1})
    store.update(("a",), "other", lambda old: {"n": 0}, ttl=0.5)
    clock.advance(19)
    assert store.get(("a",), "k", refresh_ttl=False).value == {"n": 2}
    clock.advance(12)
    assert store.search(()) == []
