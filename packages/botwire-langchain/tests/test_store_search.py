"""How LangGraph's store searches, and where the reference stores are wrong."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.embeddings import DeterministicFakeEmbedding
from langgraph.store.base import (
    PutOp,
)
from langgraph.store.memory import InMemoryStore
from pydantic import Field

from botwire import Memory
from botwire.testing import FakeClock
from botwire_langchain import BotWireStore

Face = Callable[[Any], Any]


@pytest.fixture
def store(url: str, face: Face) -> Any:
    return face(BotWireStore(url=url))


def keys(items: Any) -> list[str]:
    return [item.key for item in items]


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
