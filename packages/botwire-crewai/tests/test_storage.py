"""What a storage keeps and finds; what the default one gets wrong is a rule that holds here."""

import base64
import struct
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from crewai.memory.storage.backend import StorageBackend
from crewai.memory.types import MemoryRecord
from hypothesis import given, settings
from hypothesis import strategies as st
from storage_help import EAST, NORTH, contents, naive, record, requests_of

from botwire.errors import InvalidValue
from botwire_crewai import BotWireStorage
from botwire_crewai.records import path, within

# -- records -------------------------------------------------------------------------------------


def test_it_is_a_storage_backend(storage: BotWireStorage) -> None:
    assert isinstance(storage, StorageBackend)


def test_a_record_comes_back_as_it_was(storage: BotWireStorage, other: BotWireStorage) -> None:
    saved = record(
        "Oslo is in Norway",
        [0.1, -2.5, 3e-9],
        scope="/geo/europe",
        categories=["city", "æ"],
        metadata={"n": 1, "deep": {"list": [1, None, "x"]}},
        importance=0.9,
        source="alice",
        private=True,
    )
    storage.save([saved])
    for found in (
        storage.get_record(saved.id),
        other.get_record(saved.id),
        other.list_records()[0],
        other.search([1.0, 0.0, 0.0])[0][0],
    ):
        assert found is not None
        assert found.model_dump() == saved.model_dump()
        assert found.embedding == pytest.approx(saved.embedding)


def test_a_vector_is_stored_as_base64_of_float32(storage: BotWireStorage) -> None:
    storage.save([one := record(embedding=[1.0, -2.0, 0.5])])
    stored = storage.mirror.memory[f"records/{one.id}"]
    assert struct.unpack("<3f", base64.b64decode(stored["vector"])) == (1.0, -2.0, 0.5)


def test_a_record_without_vector_is_kept(storage: BotWireStorage) -> None:
    bare = MemoryRecord(content="no vector")
    storage.save([bare, record("with")])
    assert storage.get_record(bare.id) == bare
    assert contents(storage.search(EAST)) == {"no vector", "with"}
    assert contents(storage.search(EAST, min_score=0.1)) == {"with"}


def test_saving_the_same_id_twice_replaces_the_record(storage: BotWireStorage) -> None:
    first = record("first")
    storage.save([first])
    storage.save([first.model_copy(update={"content": "second", "embedding": NORTH})])
    assert storage.count() == 1
    assert contents(storage.search(NORTH, min_score=0.9)) == {"second"}


def test_a_missing_record_is_none(storage: BotWireStorage) -> None:
    assert storage.get_record("nobody") is None


def test_times_are_naive_utc_even_when_given_with_a_zone(storage: BotWireStorage) -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=5)))
    one = record(created_at=noon)
    storage.save([one])
    (found,) = storage.list_records()
    assert found.created_at == naive(2026, 1, 1, 7)
    assert found.last_accessed.tzinfo is None


def test_metadata_that_is_not_json_is_refused_and_nothing_is_saved(
    storage: BotWireStorage,
) -> None:
    with pytest.raises(InvalidValue):
        storage.save([record("good"), record("bad", metadata={"x": float("nan")})])
    assert storage.count() == 0


def test_a_save_is_all_or_nothing_and_one_request(url: str) -> None:
    storage = BotWireStorage("crew", url=url)
    asked = requests_of(storage)
    storage.save([record(str(n)) for n in range(50)])
    assert len(asked) <= 2  # the first save of a process also asks for the dimension
    asked.clear()
    storage.save([record(str(n)) for n in range(50)])
    assert len(asked) == 1


# -- searching -----------------------------------------------------------------------------------


def test_the_nearest_come_first_with_their_cosine_as_score(storage: BotWireStorage) -> None:
    storage.save([record("north", NORTH), record("east", EAST), record("between", [3.0, 4.0, 0.0])])
    found = storage.search([0.0, 2.0, 0.0])
    assert [one.content for one, _ in found] == ["north", "between", "east"]
    assert [score for _, score in found] == pytest.approx([1.0, 0.8, 0.0])


def test_opposite_vectors_score_zero(storage: BotWireStorage) -> None:
    storage.save([record(embedding=[-1.0, 0.0, 0.0])])
    assert storage.search(EAST)[0][1] == 0.0


def test_the_score_of_the_default_storage_is_there_by_option(url: str) -> None:
    storage = BotWireStorage("crew", url=url, score="lance")
    storage.save([record("east", EAST), record("north", NORTH), record("far", [0.0, 0.0, 3.0])])
    scores = {one.content: score for one, score in storage.search(EAST)}
    assert scores == pytest.approx({"east": 1.0, "north": 1 / 3, "far": 1 / 11}, abs=1e-4)


def test_limit_and_min_score_are_kept(storage: BotWireStorage) -> None:
    storage.save([record(str(n), [1.0, n / 10, 0.0]) for n in range(10)])
    assert [one.content for one, _ in storage.search(EAST, limit=3)] == ["0", "1", "2"]
    assert storage.search(EAST, limit=0) == []
    assert all(score >= 0.9 for _, score in storage.search(EAST, min_score=0.9))


def test_an_empty_memory_finds_nothing(storage: BotWireStorage) -> None:
    assert storage.search(EAST) == []
    assert storage.list_records() == []
    assert storage.list_scopes() == []
    assert storage.list_categories() == {}
    assert storage.count() == 0
    assert storage.delete() == 0
    storage.reset()


def test_a_metadata_filter_finds_the_one_match_among_many(storage: BotWireStorage) -> None:
    storage.save([record(str(n), [1.0, n / 100, 0.0], metadata={"k": n}) for n in range(50)])
    assert contents(storage.search(EAST, metadata_filter={"k": 49}, limit=5)) == {"49"}


def test_all_filters_of_a_search_hold_together(storage: BotWireStorage) -> None:
    storage.save(
        [
            record("all", scope="/a", categories=["x"], metadata={"k": 1}),
            record("no scope", scope="/b", categories=["x"], metadata={"k": 1}),
            record("no category", scope="/a", categories=["y"], metadata={"k": 1}),
            record("no metadata", scope="/a", categories=["x"], metadata={"k": 2}),
        ]
    )
    found = storage.search(EAST, scope_prefix="/a", categories=["x", "z"], metadata_filter={"k": 1})
    assert contents(found) == {"all"}


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_search_gives_what_comparing_each_record_gives(data: st.DataObject) -> None:
    vectors = st.lists(st.integers(-3, 3), min_size=2, max_size=2).filter(any)
    scopes = st.sampled_from(["/", "/a", "/ab", "/a/b"])
    drawn = data.draw(st.lists(st.tuples(vectors, scopes), max_size=30))
    records = [
        MemoryRecord(id=f"r{n}", content=str(n), embedding=list(map(float, vector)), scope=scope)
        for n, (vector, scope) in enumerate(drawn)
    ]
    storage = BotWireStorage("property", url="memory://")
    storage.reset()
    storage.save(records)
    query, scope = list(map(float, data.draw(vectors))), data.draw(scopes)
    limit, least = data.draw(st.integers(0, 12)), data.draw(st.sampled_from([0.0, 0.5]))
    expected = sorted(
        (
            score
            for one in records
            if within(one.scope, scope)
            and (score := cosine(one.embedding or [], query)) >= least - 1e-6
        ),
        reverse=True,
    )[:limit]
    found = storage.search(query, scope_prefix=scope, limit=limit, min_score=least - 1e-6)
    assert [score for _, score in found] == pytest.approx(expected, abs=1e-5)


def cosine(a: list[float], b: list[float]) -> float:
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return max(0.0, dot / (sum(x * x for x in a) * sum(x * x for x in b)) ** 0.5)


# -- scopes --------------------------------------------------------------------------------------


@pytest.fixture
def sales(storage: BotWireStorage) -> BotWireStorage:
    scopes = ["/", "/crew", "/crew/sales", "/crew/sales/eu", "/crew/sales-eu", "/crew/salesforce"]
    storage.save([record(scope, scope=scope, categories=[scope]) for scope in scopes])
    return storage


def test_a_scope_means_whole_segments(sales: BotWireStorage) -> None:
    inside = {"/crew/sales", "/crew/sales/eu"}
    assert contents(sales.search(EAST, scope_prefix="/crew/sales")) == inside
    assert contents(sales.list_records("/crew/sales")) == inside
    assert sales.count("/crew/sales") == 2
    assert set(sales.list_categories("/crew/sales")) == inside
    assert sales.get_scope_info("/crew/sales").record_count == 2


@pytest.mark.parametrize("way", ["/crew/sales/", "crew/sales", "//crew//sales"])
def test_a_scope_may_be_written_loosely(sales: BotWireStorage, way: str) -> None:
    assert sales.count(way) == 2


@pytest.mark.parametrize("root", [None, "", "/"])
def test_the_root_holds_everything(sales: BotWireStorage, root: Any) -> None:
    assert sales.count(root) == 6
    assert len(sales.search(EAST, scope_prefix=root)) == 6


def test_signs_that_mean_something_in_sql_mean_nothing(storage: BotWireStorage) -> None:
    odd = ["/a_b", "/a%b", "/a'b", "/axb"]
    storage.save([record(scope, scope=scope) for scope in odd])
    for scope in odd:
        assert contents(storage.search(EAST, scope_prefix=scope)) == {scope}


def test_deleting_a_scope_leaves_its_siblings_and_the_root(sales: BotWireStorage) -> None:
    assert sales.delete(scope_prefix="/crew/sales") == 2
    left = {"/", "/crew", "/crew/sales-eu", "/crew/salesforce"}
    assert contents(sales.list_records()) == left


def test_resetting_a_scope_leaves_its_siblings(sales: BotWireStorage) -> None:
    sales.reset("/crew/sales")
    assert sales.count() == 4
    sales.reset()
    assert sales.count() == 0


def test_immediate_children_are_listed(sales: BotWireStorage) -> None:
    assert sales.list_scopes("/") == ["/crew"]
    assert sales.list_scopes("/crew") == ["/crew/sales", "/crew/sales-eu", "/crew/salesforce"]
    assert sales.list_scopes("/crew/sales/") == ["/crew/sales/eu"]
    assert sales.list_scopes("/nowhere") == []


def test_what_a_scope_holds(storage: BotWireStorage) -> None:
    old, new = naive(2025, 1, 1), naive(2026, 1, 1)
    storage.save(
        [
            record(scope="/a", categories=["x", "y"], created_at=new),
            record(scope="/a/b", categories=["y"], created_at=old),
            record(scope="/ab", categories=["z"]),
        ]
    )
    info = storage.get_scope_info("/a")
    assert (info.path, info.record_count, info.categories) == ("/a", 2, ["x", "y"])
    assert (info.oldest_record, info.newest_record) == (old, new)
    assert info.child_scopes == ["/a/b"]
    assert storage.list_categories("/a") == {"x": 1, "y": 2}
    assert storage.list_categories() == {"x": 1, "y": 2, "z": 1}


def test_records_are_listed_newest_first_and_in_pages(storage: BotWireStorage) -> None:
    day = naive(2026, 1, 1)
    storage.save([record(str(n), created_at=day + timedelta(days=n)) for n in (2, 0, 3, 1)])
    assert [one.content for one in storage.list_records()] == ["3", "2", "1", "0"]
    assert [one.content for one in storage.list_records(limit=2, offset=1)] == ["2", "1"]


@given(st.text(alphabet="/ab", max_size=8), st.text(alphabet="/ab", max_size=8))
def test_within_agrees_with_comparing_segments(scope: str, parent: str) -> None:
    a, b = [s for s in scope.split("/") if s], [s for s in parent.split("/") if s]
    assert within(path(scope), path(parent)) == (a[: len(b)] == b)
