"""Several processes on one memory, what a search costs, and failures."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from crewai.memory.types import MemoryRecord
from hypothesis import given, settings
from hypothesis import strategies as st
from storage_help import EAST, NORTH, UP, contents, record, requests_of

from botwire import Memory
from botwire.errors import Unreachable
from botwire_crewai import BotWireStorage

# -- several processes ---------------------------------------------------------------------------


def test_what_others_save_update_touch_and_delete_is_seen(
    storage: BotWireStorage, other: BotWireStorage
) -> None:
    a, b = record("a"), record("b", NORTH)
    storage.save([a, b])
    assert contents(other.search(EAST)) == {"a", "b"}
    other.save([record("c", UP)])
    storage.update(a.model_copy(update={"content": "a2"}))
    assert contents(storage.search(EAST)) == contents(other.search(EAST)) == {"a2", "b", "c"}
    other.delete(record_ids=[b.id])
    storage.save([record("d", UP)])  # one came and one went: as many as before
    assert contents(storage.search(EAST)) == contents(other.search(EAST)) == {"a2", "c", "d"}
    other.reset()
    assert storage.search(EAST) == []


def test_other_keys_of_the_namespace_are_left_alone(storage: BotWireStorage, url: str) -> None:
    memory = Memory("crew", url=url)
    memory.set("note", "mine")
    storage.save([record("a"), one := record("b")])
    assert storage.count() == 2
    memory.delete("note")
    storage.delete(record_ids=[one.id])
    memory.set("other", "mine")
    assert contents(storage.list_records()) == {"a"}
    storage.reset()
    assert memory.list_keys() == ["other"]


def test_a_large_memory_is_loaded_completely_and_follows_mass_deletion(
    storage: BotWireStorage, other: BotWireStorage
) -> None:
    storage.save([record(f"{n:05}", scope=f"/s{n % 3}") for n in range(3500)])
    assert other.count() == 3500
    assert storage.delete(scope_prefix="/s1") == 1167
    storage.save([record("new") for _ in range(1167)])
    assert other.count() == 3500
    assert other.count("/s1") == 0
    assert contents(other.list_records(limit=5000)) == contents(storage.list_records(limit=5000))


def test_writers_in_many_threads_lose_nothing(storage: BotWireStorage, url: str) -> None:
    def write(name: str) -> None:
        own = storage if name < "4" else BotWireStorage("crew", url=url)
        for n in range(10):
            own.save([record(f"{name}-{n}")])
            assert f"{name}-{n}" in contents(own.search(EAST, limit=200))

    threads = [threading.Thread(target=write, args=(str(n),)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert storage.count() == 80


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["save", "delete", "touch", "update", "look"]),
            st.integers(0, 1),
            st.integers(0, 5),
        ),
        max_size=25,
    )
)
def test_two_views_always_agree(steps: list[tuple[str, int, int]]) -> None:
    views = [BotWireStorage("agree", url="memory://") for _ in range(2)]
    views[0].reset()
    model: dict[str, str] = {}
    for number, (step, who, which) in enumerate(steps):
        view, key = views[who], f"r{which}"
        if step == "delete":
            assert view.delete(record_ids=[key]) == (model.pop(key, None) is not None)
        elif step == "touch":
            view.touch_records([key])
        elif step in ("save", "update"):
            model[key] = str(number)
            one = MemoryRecord(id=key, content=str(number), embedding=EAST)
            view.save([one]) if step == "save" else view.update(one)
        else:
            assert {r.id: r.content for r in view.list_records()} == model
    for view in views:
        assert {r.id: r.content for r, _ in view.search(EAST)} == model


# -- requests and failures -----------------------------------------------------------------------


def test_a_search_takes_one_request_and_two_when_others_wrote(
    storage: BotWireStorage, other: BotWireStorage
) -> None:
    storage.save([one := record("a"), record("b"), record("c")])
    asked = requests_of(storage)

    def cost(act: Callable[[], Any]) -> int:
        asked.clear()
        act()
        return len(asked)

    search = lambda: storage.search(EAST)  # noqa: E731
    assert cost(search) <= 2
    assert cost(search) == 1
    storage.save([record("mine")])
    storage.touch_records([one.id])
    storage.delete(record_ids=[one.id])
    assert cost(search) == 1  # what this process wrote it knows
    other.save([record("theirs")])
    assert cost(search) == 2
    other.delete(metadata_filter={"nothing": 1}, record_ids=[one.id])
    other.delete()
    assert cost(search) == 2
    assert cost(search) == 1


def test_searches_that_wait_share_one_request(storage: BotWireStorage) -> None:
    storage.save([record()])
    asked = requests_of(storage)
    run, slow = storage.mirror.memory._run, threading.Event()

    def slowly(operation: Any) -> Any:
        slow.wait(5)
        return run(operation)

    storage.mirror.memory._run = slowly  # type: ignore[method-assign]
    threads = [threading.Thread(target=storage.search, args=(EAST,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)  # all have come
    slow.set()
    for thread in threads:
        thread.join()
    assert len(asked) <= 2


def test_a_memory_that_cannot_be_reached_is_loud(nowhere: str, caplog: Any) -> None:
    storage = BotWireStorage("crew", url=nowhere, timeout=0.2)
    for act in (
        lambda: storage.search(EAST),
        lambda: storage.save([record()]),
        lambda: storage.get_record("x"),
        lambda: storage.touch_records(["x"]),
        lambda: storage.delete(),
    ):
        with pytest.raises(Unreachable):
            act()
    assert isinstance(storage.failure, Unreachable)
    assert "memory 'crew'" in caplog.text


def test_failure_is_forgotten_once_something_works(url: str, nowhere: str) -> None:
    storage = BotWireStorage("crew", url=nowhere, timeout=0.2)
    with pytest.raises(Unreachable):
        storage.count()
    storage.mirror.memory = Memory("crew", url=url)  # the server is back
    assert storage.count() == 0
    assert storage.failure is None


def test_it_works_on_after_it_was_closed(storage: BotWireStorage) -> None:
    storage.save([record()])
    storage.close()
    assert storage.count() == 1


async def test_the_asynchronous_methods_do_the_same(storage: BotWireStorage) -> None:
    await storage.asave([record("a"), record("b", NORTH)])
    found = await storage.asearch(EAST, limit=1)
    assert contents(found) == {"a"}
    assert await storage.adelete(scope_prefix="/") == 2
