"""Deleting, updating, touching, dimensions and expiry; the default storage's defects as rules."""

import threading
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from crewai.memory.types import MemoryRecord
from storage_help import EAST, NORTH, contents, eventually, naive, record

from botwire import Memory
from botwire.errors import InvalidRequest
from botwire_crewai import BotWireStorage
from botwire_crewai.records import EmbeddingDimensionMismatchError

# -- deleting ------------------------------------------------------------------------------------


def test_older_than_spares_the_young_even_with_a_scope(storage: BotWireStorage) -> None:
    storage.save([record(scope="/a"), record(scope="/a")])
    assert storage.delete(scope_prefix="/a", older_than=naive(1970, 1, 1)) == 0
    assert storage.count() == 2


def test_older_than_takes_the_old(storage: BotWireStorage) -> None:
    storage.save([record("old", created_at=naive(2020, 1, 1)), record("new")])
    assert storage.delete(older_than=datetime(2021, 1, 1, tzinfo=UTC)) == 1
    assert contents(storage.list_records()) == {"new"}


def test_ids_and_categories_must_both_fit(storage: BotWireStorage) -> None:
    a = record("a", categories=["j"])
    storage.save([a, record("b", categories=["k"]), record("c", categories=["k"])])
    assert storage.delete(record_ids=[a.id], categories=["k"]) == 0
    assert storage.delete(record_ids=[a.id], categories=["j"]) == 1
    assert storage.count() == 2


def test_ids_must_be_in_the_scope(storage: BotWireStorage) -> None:
    mine, theirs = record(scope="/me"), record(scope="/them")
    storage.save([mine, theirs])
    assert storage.delete(scope_prefix="/me", record_ids=[mine.id, theirs.id]) == 1
    assert storage.get_record(theirs.id) is not None


def test_no_ids_means_none_and_not_all(storage: BotWireStorage) -> None:
    storage.save([record()])
    assert storage.delete(record_ids=[]) == 0
    assert storage.delete() == 1


def test_deleting_by_metadata(storage: BotWireStorage) -> None:
    storage.save([record(str(n), metadata={"n": n % 2}) for n in range(6)])
    assert storage.delete(metadata_filter={"n": 1}) == 3


def test_many_are_deleted_completely(storage: BotWireStorage) -> None:
    storage.save([record(str(n)) for n in range(1200)])
    assert storage.delete() == 1200
    memory = Memory("crew", url=storage.mirror.memory.url)
    assert memory.list_keys() == ["dimension", "gone/records"]
    assert len(memory["gone/records"]) == 500  # what is written down of deletions is bounded
    storage.reset()
    assert memory.list_keys() == []


def test_a_full_reset_can_be_refused(url: str) -> None:
    storage = BotWireStorage("crew", url=url, allow_full_reset=False)
    storage.save([record(scope="/a"), record(scope="/b")])
    with pytest.raises(InvalidRequest, match="allow_full_reset"):
        storage.reset()
    storage.reset("/a")
    assert storage.count() == 1


# -- updating and touching -----------------------------------------------------------------------


def test_an_update_keeps_source_and_private(storage: BotWireStorage) -> None:
    secret = record("secret", source="alice", private=True)
    storage.save([secret])
    storage.update(MemoryRecord(id=secret.id, content="rebuilt", embedding=NORTH))
    found = storage.get_record(secret.id)
    assert found is not None
    assert (found.content, found.source, found.private) == ("rebuilt", "alice", True)
    assert found.embedding == NORTH


def test_an_update_of_nothing_adds(storage: BotWireStorage) -> None:
    storage.update(record("new"))
    assert contents(storage.search(EAST)) == {"new"}


def test_an_update_without_vector_keeps_that_of_the_same_content(storage: BotWireStorage) -> None:
    one = record("same")
    storage.save([one])
    storage.update(one.model_copy(update={"importance": 0.9, "embedding": None}))
    found = storage.get_record(one.id)
    assert found is not None
    assert (found.importance, found.embedding) == (0.9, EAST)


def test_touching_writes_down_when_a_record_was_recalled(
    storage: BotWireStorage, other: BotWireStorage
) -> None:
    before = naive(2020, 1, 1)
    one, two = record("a", last_accessed=before), record("b", last_accessed=before)
    storage.save([one, two])
    storage.touch_records([one.id, "nobody"])
    for view in (storage, other):
        seen = {found.content: found.last_accessed for found in view.list_records()}
        assert seen["a"] > before
        assert seen["b"] == before
    touched = other.get_record(one.id)
    assert touched is not None
    assert touched.last_accessed > before


def test_touching_marks_only_what_is_still_there(
    storage: BotWireStorage, other: BotWireStorage
) -> None:
    gone, changed, same = record("gone"), record("changed"), record("same")
    storage.save([gone, changed, same])
    other.delete(record_ids=[gone.id])
    other.update(changed.model_copy(update={"importance": 0.9}))
    storage.touch_records([gone.id, changed.id, same.id])
    marks = storage.mirror.memory.list_keys("seen/")
    assert marks == sorted([f"seen/{changed.id}", f"seen/{same.id}"])


def test_touching_can_be_left_out(url: str) -> None:
    storage = BotWireStorage("crew", url=url, touch=False)
    storage.save([one := record()])
    storage.touch_records([one.id])
    assert storage.get_record(one.id) == one


def test_touching_writes_no_vector_again(storage: BotWireStorage) -> None:
    storage.save([one := record(embedding=[1.0] * 3000)])
    version = storage.mirror.memory.entry(f"records/{one.id}").version
    storage.touch_records([one.id])
    assert storage.mirror.memory.entry(f"records/{one.id}").version == version


# -- dimensions ----------------------------------------------------------------------------------


def test_vectors_of_another_dimension_are_refused(
    storage: BotWireStorage, other: BotWireStorage
) -> None:
    storage.save([record()])
    for view in (storage, other):
        with pytest.raises(EmbeddingDimensionMismatchError) as saved:
            view.save([record(embedding=[1.0, 2.0])])
        assert (saved.value.stored_dim, saved.value.new_dim) == (3, 2)
        with pytest.raises(EmbeddingDimensionMismatchError):
            view.search([1.0, 2.0])
        with pytest.raises(EmbeddingDimensionMismatchError):
            view.update(record(embedding=[1.0, 2.0]))
    with pytest.raises(EmbeddingDimensionMismatchError):
        storage.save([record(), record(embedding=[1.0])])
    assert storage.count() == 1


def test_two_that_begin_at_once_with_different_embedders_do_not_mix(url: str) -> None:
    results: list[Any] = []

    def begin(size: int) -> None:
        try:
            BotWireStorage("crew", url=url).save([record(str(size), [1.0] * size)])
            results.append(size)
        except EmbeddingDimensionMismatchError as error:
            results.append(error)

    threads = [threading.Thread(target=begin, args=(size,)) for size in (2, 3, 4, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [size for size in results if isinstance(size, int)]
    assert contents(BotWireStorage("crew", url=url).list_records()) == {str(winner)}


def test_after_a_reset_another_embedder_may_begin(
    storage: BotWireStorage, other: BotWireStorage
) -> None:
    storage.save([record()])
    assert other.search(EAST) != []
    storage.reset()
    storage.save([record("new", [1.0, 0.0])])
    assert other.search([2.0, 0.0])[0][1] == pytest.approx(1.0)
    other.save([record("more", [0.0, 1.0])])
    assert contents(storage.search([0.0, 1.0], min_score=0.9)) == {"more"}


def test_writing_goes_on_after_somebody_elses_reset(
    storage: BotWireStorage, other: BotWireStorage
) -> None:
    storage.save([one := record("old")])
    assert other.count() == 1
    storage.reset()
    other.save([record("new")])
    storage.reset()
    other.update(one)
    storage.reset()
    other.touch_records([one.id])
    assert other.delete(record_ids=[one.id]) == 0
    other.save([record("newest")])
    assert contents(storage.search(EAST)) == contents(other.search(EAST)) == {"newest"}


# -- expiry --------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["storage", "record"])
def test_records_expire(url: str, by: str) -> None:
    storage = BotWireStorage("crew", url=url, ttl=0.3 if by == "storage" else None)
    other = BotWireStorage("crew", url=url)
    metadata = {"ttl_seconds": 0.3} if by == "record" else {}
    storage.save([record("brief", metadata=metadata), record("z", metadata={"ttl_seconds": 99})])
    storage.touch_records([one.id for one in storage.list_records()])
    assert storage.count() == other.count() == 2
    eventually(lambda: storage.count() == 1)
    assert contents(other.search(EAST)) == {"z"}
    assert other.get_scope_info("/").record_count == 1


def test_a_longer_life_given_by_others_is_noticed(storage: BotWireStorage) -> None:
    storage.save([one := record("x", metadata={"ttl_seconds": 0.3})])
    storage.mirror.memory.persist(f"records/{one.id}")
    time.sleep(0.4)
    assert contents(storage.search(EAST)) == {"x"}


def test_a_shorter_life_given_by_others_is_noticed(storage: BotWireStorage) -> None:
    storage.save([record("x"), record("y")])
    assert storage.count() == 2
    storage.mirror.memory.expire("records/", 0.1)
    eventually(lambda: storage.count() == 0)
