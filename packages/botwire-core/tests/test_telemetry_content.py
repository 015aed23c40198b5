"""What is recorded of values is cut to size and stays JSON."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from botwire import Memory
from botwire.jsontext import Json, encode, write
from botwire.operations import Batch, Delete, Get, GetMany, Scan, Set, SetMany
from botwire.telemetry import Call
from botwire.telemetry.content import Content, outcome, plain

EVERYTHING = Content(capture=True)


def call(operation: Any, **outcome: Any) -> Call:
    called = Call(operation, None)
    for name, value in outcome.items():
        setattr(called, name, value)
    return called


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@settings(deadline=None, max_examples=80)
@given(st.dictionaries(st.text("abc", min_size=1), json_values, max_size=8), st.integers(1, 60))
def test_records_are_json_that_every_exporter_can_send_and_never_much_over_the_limit(
    values: dict[str, Any], limit: int
) -> None:
    operation = SetMany("ns", {key: encode(value) for key, value in values.items()})
    records = Content(capture=True, limit=limit).records((k, encode(v)) for k, v in values.items())
    text = write(records)
    text.encode()
    for record in json.loads(text):
        assert set(record) == {"id", "content"}
    assert sum(len(record["content"]) for record in records) <= 2 * limit + 40 * len(records)
    assert EVERYTHING.input(call(operation))["keys"] == list(values)


def test_a_short_value_is_recorded_as_it_is() -> None:
    found = plain(EVERYTHING.input(call(Set("ns", "k", encode({"a": [1, None]})))))
    assert found == {"key": "k", "value": {"a": [1, None]}}


def test_a_long_value_is_cut_and_says_how_long_it_was() -> None:
    found = plain(EVERYTHING.input(call(Set("ns", "k", encode("x" * 2_000_000)))))
    assert len(found["value"]) < 8300
    assert found["value"].endswith("... (2,000,002 characters)")


def test_many_values_share_the_limit() -> None:
    values = {f"k{n}": encode("x" * 3000) for n in range(100)}
    records = Content(capture=True).records(values.items())
    assert [record["id"] for record in records] == ["k0", "k1", "k2"]


def test_many_keys_are_named_in_part() -> None:
    told = Content().arguments(GetMany("ns", tuple(f"k{n}" for n in range(1000))))
    assert told["keys"][:2] == ["k0", "k1"]
    assert told["keys"][-1] == "... 950 more"


def test_a_batch_names_its_parts() -> None:
    batch = Batch("ns", (Set("ns", "a", encode(1), ttl=9), Delete("ns", "b")))
    assert Content().input(call(batch)) == {
        "operations": [{"op": "set", "key": "a", "ttl": 9}, {"op": "delete", "key": "b"}]
    }


def test_redact_sees_the_whole_value_before_it_is_cut() -> None:
    seen: list[Any] = []

    def look(key: str, value: Any) -> Any:
        seen.append((key, value))
        return len(value)

    content = Content(capture=True, redact=look, limit=10)
    assert content.input(call(Set("ns", "k", encode("x" * 50))))["value"] == "50"
    assert seen == [("k", "x" * 50)]


def test_what_is_recorded_is_a_copy() -> None:
    value = {"tags": ["a"]}
    got = call(Get("ns", "k"), reply={"value": value, "version": 1}, result=value)
    found = plain(EVERYTHING.output(got))
    value["tags"].append("b")
    assert found == {"count": 1, "version": 1, "value": {"tags": ["a"]}}


def test_a_value_that_came_as_text_is_recorded_as_that_text() -> None:
    reply = {"value": Json('{"a":1.50}'), "version": 1}
    got = call(Get("ns", "k"), reply=reply, result={"a": 1.5})
    assert write(EVERYTHING.output(got)) == '{"count":1,"version":1,"value":{"a":1.50}}'
    shown = Content(capture=True, redact=lambda key, value: list(value))
    assert plain(shown.output(got))["value"] == ["a"]


def test_a_listing_without_values_records_none(botwire_memory: Memory) -> None:
    botwire_memory.set("a", "secret")
    page = botwire_memory.page(values=False)
    listed = call(Scan("test", values=False), reply={"entries": [{}]}, result=page)
    assert EVERYTHING.output(listed) == {"count": 1}


@pytest.mark.parametrize(
    ("reply", "facts"),
    [
        (None, {"count": 0}),
        ({"value": 1, "version": 3}, {"count": 1, "version": 3}),
        ({"items": [], "length": 0, "version": 0}, {"count": 0, "version": 0, "length": 0}),
        ({"exists": False}, {"count": 0}),
        ({"deleted": 7}, {"count": 7}),
        ({"entries": [1, 2], "cursor": None}, {"count": 2}),
        ({"results": [1]}, {"count": 1}),
        ({"versions": {"a": 1, "b": 2}}, {"count": 2}),
        ({"namespace": "n", "entries": 4, "version": 9}, {}),
    ],
)
def test_the_outcome_is_read_from_the_form_of_the_reply(reply: Any, facts: dict[str, int]) -> None:
    assert outcome(reply) == facts
