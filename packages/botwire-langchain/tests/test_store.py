"""LangGraph's store: what it keeps, how it searches, and what the reference stores get wrong."""

import asyncio
import math
import threading
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.embeddings import DeterministicFakeEmbedding
from langgraph.store.base import (
    GetOp,
    InvalidNamespaceError,
    ListNamespacesOp,
    MatchCondition,
    PutOp,
    SearchOp,
)
from langgraph.store.memory import InMemoryStore
from pydantic import Field

from botwire import Memory
from botwire.errors import InvalidRequest, InvalidValue
from botwire.testing import FakeClock
from botwire_langchain import BotWireStore

Face = Callable[[Any], Any]


@pytest.fixture
def store(url: str, face: Face) -> Any:
    return face(BotWireStore(url=url))


def keys(items: Any) -> list[str]:
    return [item.key for item in items]


# -- items ---------------------------------------------------------------------------------------

VALUES: list[dict[str, Any]] = [
    {},
    {"text": "é \x00 \ud83d", "n": 2**70, "f": 1.5, "none": None, "list": [1, [2]]},
    {"when": datetime(2026, 1, 2, tzinfo=UTC), "raw": b"\x00", "pair": (1, 2), "inf": math.inf},
    {"value": 1, "$value": 2},
]


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_a_value_comes_back_as_it_was(store: Any, value: dict[str, Any]) -> None:
    store.put(("a", "b"), "k", value)
    item = store.get(("a", "b"), "k")
    assert (item.namespace, item.key, item.value) == (("a", "b"), "k", value)
    assert store.get(("a",), "k") is None
    assert store.search(())[0].value == value


def test_what_is_no_data_is_refused(store: Any) -> None:
    with pytest.raises(InvalidValue, match="object"):
        store.put(("a",), "k", {"x": object()})
    assert store.search(()) == []


def test_the_caller_cannot_change_what_is_stored(store: Any) -> None:
    value = {"list": [1]}
    store.put(("a",), "k", value)
    value["list"].append(2)
    store.get(("a",), "k").value["list"].append(3)
    assert store.get(("a",), "k").value == {"list": [1]}


def test_times_are_kept_and_know_their_zone(timed: Memory, clock: FakeClock, face: Face) -> None:
    store = face(BotWireStore(memory=timed))
    store.put(("a",), "k", {"n": 1})
    first = store.get(("a",), "k")
    clock.advance(10)
    store.put(("a",), "k", {"n": 2})
    second = store.get(("a",), "k")
    assert first.created_at == second.created_at == datetime.fromtimestamp(clock.now - 10, UTC)
    assert second.updated_at == datetime.fromtimestamp(clock.now, UTC)


def test_deleting_is_silent_about_what_is_not_there(store: Any) -> None:
    store.put(("a",), "k", {"n": 1})
    store.delete(("a",), "k")
    store.delete(("a",), "k")
    assert store.get(("a",), "k") is None


NAMES = ["a", "ab", "a/b", "a//b", "/", "%2F", "~", "ü", "\ud800", "i", "e", " "]


def test_namespaces_and_keys_never_mix_whatever_their_names(store: Any) -> None:
    for first in NAMES:
        store.put((first,), "k", {"at": [first]})
        store.put((first, "sub"), "k/1//", {"at": [first, "sub"]})
        store.put(("all",), first, {"at": ["all", first]})
    for first in NAMES:
        assert store.get((first,), "k").value == {"at": [first]}
        assert store.get(("all",), first).value == {"at": ["all", first]}
        found = store.search((first,))
        assert [item.namespace for item in found] == [(first, "sub"), (first,)]
        assert keys(found) == ["k/1//", "k"]
    assert len(store.list_namespaces()) == 2 * len(NAMES) + 1


@pytest.mark.parametrize("namespace", [("a.b",), ("",), ("a", ""), (1,)])
def test_a_namespace_that_cannot_be_is_refused_by_a_batch_too(store: Any, namespace: Any) -> None:
    for operation in (
        GetOp(namespace, "k"),
        PutOp(namespace, "k", {}),
        SearchOp(namespace),
        ListNamespacesOp((MatchCondition("prefix", namespace),)),
    ):
        with pytest.raises(InvalidNamespaceError):
            store.batch([operation])
    with pytest.raises(InvalidNamespaceError):
        store.put(("langgraph",), "k", {})


# -- batches -------------------------------------------------------------------------------------


def test_a_batch_of_reads_and_writes_is_one_round_trip(store: Any, round_trips: list[str]) -> None:
    store.put(("a",), "old", {"n": 1})
    round_trips.clear()
    results = store.batch(
        [
            PutOp(("a",), "new", {"n": 1}),
            PutOp(("a",), "new", {"n": 2}),
            GetOp(("a",), "new"),
            GetOp(("a",), "old"),
            PutOp(("a",), "old", None),
        ]
    )
    assert round_trips == ["batch"]
    assert [getattr(result, "value", None) for result in results] == [
        None,
        None,
        None,
        {"n": 1},
        None,
    ]
    assert store.get(("a",), "new").value == {"n": 2}
    assert store.get(("a",), "old") is None
    round_trips.clear()
    store.batch([SearchOp(("a",)), GetOp(("a",), "new"), ListNamespacesOp()])
    assert round_trips == ["batch"]
    assert store.batch([]) == []


def test_a_search_sees_the_store_before_the_writes_of_its_batch(store: Any) -> None:
    store.put(("a",), "old", {"n": 1})
    found, names, *_ = store.batch(
        [
            SearchOp(("a",)),
            ListNamespacesOp(),
            PutOp(("a",), "old", {"n": 2}),
            PutOp(("b",), "new", {"n": 3}),
        ]
    )
    assert [item.value for item in found] == [{"n": 1}]
    assert names == [("a",)]
    assert len(store.search(())) == 2


def test_all_writes_of_a_batch_happen_or_none(store: Any) -> None:
    with pytest.raises(InvalidRequest):
        store.batch([PutOp(("a",), "k", {"n": 1}), PutOp(("a",), "x" * 600, {"n": 2})])
    assert store.search(()) == []


# -- search --------------------------------------------------------------------------------------


@pytest.fixture
def numbers(store: Any) -> Any:
    for number in (1, 2, 5, 10, 100):
        store.put(("n",), f"n{number}", {"n": number, "d": {"x": number, "y": 0}, "t": str(number)})
    store.put(("n",), "text", {"n": "7", "b": True})
    store.put(("n",), "none", {"other": 1})
    return store


FILTERS: list[tuple[dict[str, Any], str]] = [
    ({"n": 5}, "n5"),
    ({"n": 5.0}, "n5"),
    ({"n": "7"}, "text"),
    ({"n": {"$eq": 5}}, "n5"),
    ({"n": {"$gt": 5}}, "n10 n100"),
    ({"n": {"$gte": 5}}, "n5 n10 n100"),
    ({"n": {"$lt": 10}}, "n1 n2 n5"),
    ({"n": {"$lte": 10, "$gt": 1.5}}, "n2 n5 n10"),
    ({"n": {"$ne": 5}}, "n1 n2 n10 n100 text none"),
    ({"t": {"$gt": "10"}}, "n2 n5 n100"),
    ({"n": {"$gt": None}}, ""),
    ({"n": None}, "none"),
    ({"b": True}, "text"),
    ({"b": 1}, ""),
    ({"b": {"$lte": 1}}, ""),
    ({"d": {"x": 5}}, "n5"),
    ({"d": {"x": {"$gt": 5}}}, "n10 n100"),
    ({"d.x": 5}, ""),
    ({"n": 5, "t": "1"}, ""),
]


@pytest.mark.parametrize(("conditions", "expected"), FILTERS, ids=range(len(FILTERS)))
def test_filters_compare_numbers_as_numbers_and_bear_missing_fields(
    numbers: Any, conditions: dict[str, Any], expected: str
) -> None:
    found = keys(numbers.search(("n",), filter=conditions))
    assert sorted(found) == sorted(expected.split())


def test_an_unknown_operator_is_an_error(numbers: Any) -> None:
    with pytest.raises(ValueError, match=r"\$in"):
        numbers.search(("n",), filter={"n": {"$in": [1]}})


def test_a_prefix_means_labels_and_no_star(store: Any) -> None:
    for namespace in (("a",), ("ab",), ("a", "c"), ("b", "a"), ("*",)):
        store.put(namespace, "k", {})
    assert [item.namespace for item in store.search(("a",))] == [("a", "c"), ("a",)]
    assert [item.namespace for item in store.search(("*",))] == [("*",)]
    assert len(store.search(())) == 5


def test_the_order_is_the_latest_change_first_and_pages_are_full(store: Any) -> None:
    for number in range(25):
        store.put(("a",), f"k{number:02}", {"n": number})
    store.put(("a",), "k03", {"n": 3})
    expected = ["k03", *(f"k{number:02}" for number in range(24, -1, -1) if number != 3)]
    assert keys(store.search(("a",), limit=100)) == expected
    pages = [keys(store.search(("a",), limit=10, offset=offset)) for offset in (0, 10, 20, 30)]
    assert [len(page) for page in pages] == [10, 10, 5, 0]
    assert [key for page in pages for key in page] == expected
    assert len(store.search(("a",))) == 10
    assert store.search(("a",), limit=0) == []
    odd = [
        keys(store.search(("a",), filter={"n": {"$gte": 15}}, limit=4, offset=o)) for o in (0, 4, 8)
    ]
    assert [len(page) for page in odd] == [4, 4, 2]
    for options in ({"limit": -1}, {"offset": -1}):
        with pytest.raises(ValueError, match="negative"):
            store.search(("a",), **options)


def test_more_items_than_a_page_holds_are_all_found(store: Any, round_trips: list[str]) -> None:
    names = [f"k{number:04}" for number in range(1203)]
    store.batch([PutOp(("a", name[-1]), name, {"n": int(name[1:])}) for name in names])
    round_trips.clear()
    assert keys(store.search(("a",), limit=5)) == names[:-6:-1]
    assert len(round_trips) <= 3
    assert keys(store.search(("a",), limit=2000)) == names[::-1]
    assert keys(store.search(("a",), filter={"n": {"$lt": 2}})) == ["k0001", "k0000"]
    assert len(store.list_namespaces()) == 10


# -- namespaces ----------------------------------------------------------------------------------


def test_namespaces_are_listed_by_every_kind_of_condition(store: Any) -> None:
    for namespace in ("a", "a b", "a b c", "a x c", "b c", "ab c"):
        store.put(tuple(namespace.split()), "k", {})

    def listed(**options: Any) -> str:
        return ", ".join(" ".join(name) for name in store.list_namespaces(**options))

    assert listed() == "a, a b, a b c, a x c, ab c, b c"
    assert listed(prefix=("a",)) == "a, a b, a b c, a x c"
    assert listed(suffix=("c",)) == "a b c, a x c, ab c, b c"
    assert listed(prefix=("a", "*", "c")) == "a b c, a x c"
    assert listed(prefix=("*", "b")) == "a b, a b c"
    assert listed(prefix=("a",), suffix=("*", "c")) == "a b c, a x c"
    assert listed(max_depth=1) == "a, ab, b"
    assert listed(prefix=("a",), max_depth=2) == "a, a b, a x"
    assert listed(limit=2, offset=1) == "a b, a b c"
    assert listed(limit=0) == ""
    store.delete(("b", "c"), "k")
    assert listed(prefix=("b",)) == ""
    with pytest.raises(ValueError, match="middle"):
        store.batch([ListNamespacesOp((MatchCondition("middle", ("a",)),))])  # type: ignore[arg-type]


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


# -- nearness ------------------------------------------------------------------------------------


def test_without_an_index_a_query_says_that_it_is_not_used(store: Any) -> None:
    store.put(("a",), "k", {"text": "hello"})
    with pytest.warns(UserWarning, match="query= is not used: this BotWireStore has no index="):
        found = store.search(("a",), query="hello")
    assert [(item.key, item.score) for item in found] == [("k", None)]


class Letters(DeterministicFakeEmbedding):
    """Texts are near when they have the same letters. Counts what it is asked."""

    size: int = 26
    calls: list[list[str]] = Field(default_factory=list)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.calls.append(texts)
        return [[float(text.lower().count(chr(97 + n))) for n in range(26)] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


@pytest.fixture
def letters() -> Letters:
    return Letters(calls=[])


@pytest.fixture
def indexed(url: str, face: Face, letters: Letters) -> Any:
    index = {"dims": 26, "embed": letters, "fields": ["text", "more[*]"]}
    return face(BotWireStore(url=url, index=index))  # type: ignore[arg-type]


def test_with_an_index_the_nearest_come_first(indexed: Any, letters: Letters) -> None:
    indexed.batch(
        [
            PutOp(("a",), "pizza", {"text": "pizza"}),
            PutOp(("a",), "far", {"text": "kkkk"}),
            PutOp(("a",), "one of many", {"text": "kkkk", "more": ["jjj", "pizzas"]}),
            PutOp(("a",), "not embedded", {"text": "pizza"}, index=False),
            PutOp(("a",), "other field", {"title": "pizza"}, index=["title"]),
            PutOp(("b",), "elsewhere", {"text": "pizza"}),
        ]
    )
    assert len(letters.calls) == 1
    found = indexed.search(("a",), query="pizza")
    assert keys(found) == ["other field", "pizza", "one of many", "far", "not embedded"]
    assert [round(item.score, 3) if item.score is not None else None for item in found] == [
        1.0,
        1.0,
        0.935,
        0.0,
        None,
    ]
    assert keys(indexed.search(("a",), query="pizza", limit=1, offset=2)) == ["one of many"]
    assert keys(indexed.search(("a",), query="pizza", filter={"text": "kkkk"}, limit=1)) == [
        "one of many"
    ]
    assert [item.score for item in indexed.search(("a",))] == [None] * 5


def test_embeddings_follow_their_items(indexed: Any, url: str) -> None:
    indexed.put(("a",), "k", {"text": "pizza"})
    indexed.put(("a",), "k", {"text": "kkkk"})
    assert [round(item.score) for item in indexed.search((), query="pizza")] == [0]
    indexed.update(("a",), "k", lambda old: {"text": "pizza"})
    assert [round(item.score) for item in indexed.search((), query="pizza")] == [1]
    indexed.put(("a",), "k", {"text": "pizza"}, index=False)
    assert [item.score for item in indexed.search((), query="pizza")] == [None]
    indexed.put(("a",), "k", {"text": "pizza"})
    indexed.delete(("a",), "k")
    assert Memory("store", url=url).list_keys() == []


def test_embeddings_live_as_long_as_their_items(
    timed: Memory, clock: FakeClock, face: Face, letters: Letters
) -> None:
    index: Any = {"dims": 26, "embed": letters, "fields": ["text"]}
    store = face(BotWireStore(memory=timed, index=index))
    store.put(("a",), "k", {"text": "pizza"}, ttl=1)
    for _ in range(3):
        clock.advance(50)
        assert [round(item.score) for item in store.search((), query="pizza")] == [1]
    clock.advance(61)
    assert timed.list_keys() == []


def test_an_embedding_of_the_wrong_size_is_refused(url: str, face: Face, letters: Letters) -> None:
    store = face(BotWireStore(url=url, index={"dims": 3, "embed": letters}))
    with pytest.raises(ValueError, match="26 dimensions; index= says 3"):
        store.put(("a",), "k", {"text": "x"})


# -- compared with the reference -----------------------------------------------------------------

names = st.tuples(st.sampled_from(["a", "ab", "b"]), st.sampled_from(["c", "d"]))
small = st.fixed_dictionaries({"n": st.integers(0, 3)}, optional={"t": st.sampled_from("xy")})
changes = st.lists(
    st.tuples(names, st.sampled_from(["k", "k2", "k/3"]), st.none() | small), max_size=25
)


@settings(max_examples=60, deadline=None)
@given(changes=changes, wanted=small)
def test_it_agrees_with_the_reference_store_where_the_references_agree(
    changes: list[Any], wanted: dict[str, Any]
) -> None:
    memory = Memory("reference", url="memory://")
    memory.clear()
    ours, reference = BotWireStore(memory=memory), InMemoryStore()
    for change in changes:
        for store in (ours, reference):
            store.batch([PutOp(*change)])
    for prefix in ((), ("a",), ("ab",), ("b", "c")):
        for conditions in (None, wanted, {"n": {"$gte": wanted["n"]}}):
            found = [
                {
                    (item.namespace, item.key, str(item.value))
                    for item in store.search(prefix, filter=conditions, limit=99)
                }
                for store in (ours, reference)
            ]
            assert found[0] == found[1]
    filled = {(item.namespace) for item in reference.search((), limit=99)}
    assert ours.list_namespaces() == sorted(filled)


def test_no_warning_without_a_query(store: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store.search(("a",))
