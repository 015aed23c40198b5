"""Several processes on one memory, what a search costs, and failures."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from crewai.memory.types import MemoryRecord
from hypothesis import given, settings
from hypothesis import strategies as st
from storage_help import EAST, NORTH, UP, contents, eventually, record, requests_of

from botwire import Memory
from botwire.errors import Unreachable
from botwire.operations import Scan
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


STEPS = ["save", "delete", "touch", "update", "look", "brief", "reset"]
Step = tuple[str, int, int]


def steps_of(*kinds: str) -> st.SearchStrategy[list[Step]]:
    """What one of two does to one of six records."""
    each = st.tuples(st.sampled_from(kinds), st.integers(0, 1), st.integers(0, 5))
    return st.lists(each, max_size=25)


class Shared:
    """Two storages that change one memory, and what is to be in it."""

    def __init__(self, namespace: str) -> None:
        self.views = [BotWireStorage(namespace, url="memory://") for _ in range(2)]
        self.memory = self.views[0].mirror.memory
        self.memory.clear()
        self.model: dict[str, str] = {}

    def do(self, number: int, step: str, who: int, which: int) -> None:
        view, key = self.views[who], f"r{which}"
        match step:
            case "delete":
                assert view.delete(record_ids=[key]) == (self.model.pop(key, None) is not None)
            case "touch":
                view.touch_records([key])
            case "save" | "update":
                self.model[key] = str(number)
                one = MemoryRecord(id=key, content=str(number), embedding=EAST)
                view.save([one]) if step == "save" else view.update(one)
            case "brief":
                one = MemoryRecord(content="soon gone", embedding=EAST)
                view.save([one.model_copy(update={"metadata": {"ttl_seconds": 0.001}})])
                eventually(lambda: view.get_record(one.id) is None)
            case "reset":
                self.model.clear()
                view.reset()
            case "taken":  # past the storage, as `botwire delete` does it
                self.model.pop(key, None)
                self.memory.delete(f"records/{key}")
            case "cut short":
                self.model.pop(key, None)
                self.memory.expire(f"records/{key}", 0.001)
                eventually(lambda: view.get_record(key) is None)
            case _:
                self.is_seen_by(view)

    def is_seen_by(self, view: BotWireStorage) -> None:
        assert {r.id: r.content for r, _ in view.search(EAST)} == self.model
        assert {r.id: r.content for r in view.list_records()} == self.model


@settings(max_examples=50, deadline=None)
@given(steps_of(*STEPS, "taken", "cut short"))
def test_two_views_always_agree(steps: list[Step]) -> None:
    shared = Shared("agree")
    for number, step in enumerate(steps):
        shared.do(number, *step)
    for view in shared.views:
        shared.is_seen_by(view)


@settings(max_examples=50, deadline=None)
@given(st.lists(steps_of(*STEPS), max_size=3))
def test_a_search_takes_at_most_two_requests_whatever_two_others_did(
    rounds: list[list[Step]],
) -> None:
    shared = Shared("requests")
    reader = BotWireStorage("requests", url="memory://")
    asked = requests_of(reader)
    for steps in rounds:
        for number, step in enumerate(steps):
            shared.do(number, *step)
        asked.clear()
        found = {record.id: record.content for record, _ in reader.search(EAST)}
        assert found == shared.model
        assert len(asked) <= 2
        asked.clear()
        reader.search(EAST)
        assert len(asked) == 1  # and it knows exactly what there is


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
    other.delete()
    assert cost(search) == 2
    assert cost(search) == 1


def listings(asked: list[Any]) -> list[Any]:
    """The parts of these requests that ask for keys alone."""
    parts = [part for batch in asked for part in getattr(batch, "operations", ())]
    return [part for part in parts if isinstance(part, Scan) and not part.values]


def test_what_others_removed_and_added_takes_no_third_request_and_no_listing(
    storage: BotWireStorage, other: BotWireStorage
) -> None:
    a, b, c = record("a"), record("b"), record("c")
    storage.save([a, b, c])
    asked = requests_of(storage)
    assert contents(storage.search(EAST)) == {"a", "b", "c"}
    other.touch_records([a.id, b.id])
    other.delete(record_ids=[a.id, b.id])
    other.save([record("d"), record("e"), a.model_copy(update={"content": "a again"})])
    asked.clear()
    assert contents(storage.search(EAST)) == {"a again", "c", "d", "e"}
    assert len(asked) == 2
    assert not listings(asked)


def test_more_deletions_than_are_written_down_are_listed_in_the_second_request(
    storage: BotWireStorage, other: BotWireStorage
) -> None:
    storage.save([record(str(n), scope=f"/s{n % 3}") for n in range(900)])
    storage.count()
    other.delete(scope_prefix="/s1")
    other.delete(scope_prefix="/s2")
    other.save([record("new") for _ in range(700)])
    asked = requests_of(storage)
    assert storage.count() == 1000
    assert len(asked) == 2
    assert listings(asked)


def test_a_reset_is_followed_in_two_requests(
    storage: BotWireStorage, other: BotWireStorage
) -> None:
    storage.save([record("a"), record("b")])
    storage.count()
    other.reset()
    other.save([record("c")])
    asked = requests_of(storage)
    assert contents(storage.search(EAST)) == {"c"}
    assert len(asked) == 2


def test_deletions_past_the_storage_are_followed(
    storage: BotWireStorage, other: BotWireStorage
) -> None:
    storage.save([one := record("a"), record("b")])
    memory = other.mirror.memory
    assert storage.count() == other.count() == 2
    asked = requests_of(storage)
    memory.delete(f"records/{one.id}")
    assert storage.count() == 1
    assert len(asked) == 2
    other.save([one])
    assert storage.count() == 2
    memory.delete(f"records/{one.id}")
    other.save([record("c")])  # as many as before
    for view in (storage, other):
        assert contents(view.search(EAST)) == {"b", "c"}
        asked = requests_of(view)
        view.search(EAST)
        assert len(asked) == 1


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
