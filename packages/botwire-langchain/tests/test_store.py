"""LangGraph's store: what it keeps, batches, and namespaces."""

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from langgraph.store.base import (
    GetOp,
    InvalidNamespaceError,
    ListNamespacesOp,
    MatchCondition,
    PutOp,
    SearchOp,
)

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
