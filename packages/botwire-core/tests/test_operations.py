"""Operations on the wire: each is read as it was sent, and nonsense is refused, never half read."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import MISSING, fields
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from botwire import Memory, operations
from botwire.errors import BotWireError, InvalidRequest, NotFound
from botwire.jsontext import Json, encode, write
from botwire.operations import OPERATIONS, Operation, parse
from botwire.testing.contract.values import DEEPEST, nested

names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
keys = names.filter(lambda name: len(name.encode()) <= 512)
values = st.sampled_from(
    [Json(text) for text in ("null", "1.50", '"[1]"', '{"b": 1, "a":[ ]}', '"\\ud800"', "1" * 5000)]
) | st.just(encode(nested(DEEPEST)))
ttls = st.none() | st.floats(0.001, 1e9) | st.integers(1, 10**9)
versions = st.none() | st.integers(0, 2**63 - 1)

KINDS: dict[str, dict[str, Any]] = {  # what the fields of each operation may be
    "get": {"key": keys},
    "read": {"key": keys},
    "head": {"key": keys},
    "exists": {"key": keys},
    "expect": {"key": keys, "if_version": st.integers(0, 2**62)},
    "length": {"key": keys},
    "tail": {"key": keys, "count": st.integers(0, 10**6)},
    "get_many": {"keys": st.lists(keys, max_size=4).map(tuple)},
    "delete_many": {"keys": st.lists(keys, max_size=4).map(tuple)},
    "scan": {
        "prefix": st.just("") | keys,
        "after": st.none() | keys,
        "limit": st.integers(1, 5000),
        "reverse": st.booleans(),
        "values": st.booleans(),
        "newer_than": st.integers(0, 2**62),
    },
    "linked": {
        "prefix": st.just("") | keys,
        "after": st.none() | keys,
        "limit": st.integers(1, 5000),
        "reverse": st.booleans(),
    },
    "usage": {},
    "set": {"key": keys, "value": values, "if_version": versions, "ttl": ttls},
    "delete": {"key": keys, "if_version": versions},
    "pop": {"key": keys},
    "touch": {"key": keys, "ttl": ttls},
    "persist": {"key": keys},
    "expire": {"prefix": st.just("") | keys, "ttl": st.floats(0.001, 1e9)},
    "increment": {"key": keys, "by": st.sampled_from([Json("1"), Json("-2.5e3")]), "ttl": ttls},
    "append": {
        "key": keys,
        "items": st.lists(values, max_size=3).map(tuple),
        "max_items": st.none() | st.integers(1, 10**6),
        "ttl": ttls,
        "if_version": versions,
    },
    "merge": {"key": keys, "patch": values, "ttl": ttls, "if_version": versions},
    "set_many": {"values": st.dictionaries(keys, values, max_size=3), "ttl": ttls},
    "clear": {"prefix": st.just("") | keys},
}


@st.composite
def single(draw: st.DrawFn, namespace: str | None = None) -> Operation:
    name = draw(st.sampled_from(sorted(KINDS)))
    given_fields = {field: draw(strategy) for field, strategy in KINDS[name].items()}
    return OPERATIONS[name](namespace or draw(keys), **given_fields)


@st.composite
def batches(draw: st.DrawFn) -> operations.Batch:
    namespace = draw(keys)
    return operations.Batch(namespace, tuple(draw(st.lists(single(namespace), max_size=4))))


def test_every_operation_is_tried() -> None:
    assert {*KINDS, "batch"} == set(OPERATIONS)


@settings(max_examples=200, deadline=None)
@given(single() | batches())
def test_an_operation_is_read_as_it_was_sent(operation: Operation) -> None:
    read = parse(operation.name, write(operation.request()))
    assert read == operation
    assert read.mode == operation.mode
    assert write(read.request()) == write(operation.request())


@settings(max_examples=50, deadline=None)
@given(single())
def test_what_stands_at_its_default_does_not_travel(operation: Operation) -> None:
    sent = operation.request()
    for field in fields(operation):
        if getattr(operation, field.name) is field.default:
            assert field.name not in sent
        elif field.default is MISSING:
            assert field.name in sent


GOOD = {
    "set": '{"namespace":"n","key":"k","value":1}',
    "batch": '{"namespace":"n","operations":[{"op":"get","key":"k"}]}',
}

BAD: dict[str, list[str]] = {
    "set": [
        *("", "null", "[]", '"x"', "{", "{}", '{"namespace":"n"}', '{"namespace":"n","key":"k"}'),
        '{"namespace":"n","key":"k","value":NaN}',
        '{"namespace":"n","key":"k","value":1,"unknown":1}',
        '{"namespace":"n","key":5,"value":1}',
        '{"namespace":"n","key":null,"value":1}',
        '{"namespace":"n","key":["k"],"value":1}',
        '{"namespace":{},"key":"k","value":1}',
        '{"namespace":"n","key":"","value":1}',
        '{"namespace":"n","key":"a\\u0000","value":1}',
        '{"namespace":"n","key":"\\ud800","value":1}',
        '{"namespace":"n","key":"k","value":1,"ttl":"5"}',
        '{"namespace":"n","key":"k","value":1,"ttl":true}',
        '{"namespace":"n","key":"k","value":1,"ttl":1e999}',
        '{"namespace":"n","key":"k","value":1,"ttl":[]}',
        '{"namespace":"n","key":"k","value":1,"ttl":1' + "0" * 5000 + "}",
        '{"namespace":"n","key":"k","value":1,"if_version":1' + "0" * 5000 + "}",
        '{"namespace":"n","key":"k","value":1,"if_version":1.0}',
        '{"namespace":"n","key":"k","value":1,"if_version":-1}',
        '{"namespace":"n","key":"k","value":1,"sliding":1}',
        '{"namespace":"n","key":"k","value":1,"sliding":""}',
        '{"namespace":"n","key":"k","value":1,"sliding":null}',
        '{"namespace":"n","key":"k","value":1,"sliding":[]}',
        '{"namespace":"n","key":"k","value":1,"sliding":true}',
        '{"namespace":"n","key":"k","value":1,"keep_ttl":"no"}',
        '{"namespace":"n","key":"k","value":1,"keep_ttl":true,"ttl":5}',
        '{"namespace":"n","key":"k","value":' + "[" * 201 + "]" * 201 + "}",
        '{"namespace":"n","key":"k","value":' + "[" * 100_000 + "}",
        '{"namespace":"n","key":"k","value":1,"name":"get"}',
        '{"namespace":"n","key":"k","value":1,"__class__":1}',
    ],
    "get_many": [
        '{"namespace":"n"}',
        '{"namespace":"n","keys":"abc"}',
        '{"namespace":"n","keys":{"a":1}}',
        '{"namespace":"n","keys":5}',
        '{"namespace":"n","keys":null}',
        '{"namespace":"n","keys":[1]}',
        '{"namespace":"n","keys":[["a"]]}',
    ],
    "set_many": [
        '{"namespace":"n","values":[]}',
        '{"namespace":"n","values":null}',
        '{"namespace":"n","values":{"":1}}',
        '{"namespace":"n","values":{"a":1},"ttl":0}',
        '{"namespace":"n","values":{"a":' + "[" * 201 + "]" * 201 + "}}",
    ],
    "append": [
        '{"namespace":"n","key":"k"}',
        '{"namespace":"n","key":"k","items":"ab"}',
        '{"namespace":"n","key":"k","items":{}}',
        '{"namespace":"n","key":"k","items":[' + "[" * 201 + "]" * 201 + "]}",
        '{"namespace":"n","key":"k","items":[1],"max_items":0}',
        '{"namespace":"n","key":"k","items":[1],"max_items":true}',
    ],
    "increment": [
        '{"namespace":"n","key":"k","by":"1"}',
        '{"namespace":"n","key":"k","by":[]}',
        '{"namespace":"n","key":"k","by":true}',
        '{"namespace":"n","key":"k","by":null}',
    ],
    "scan": [
        '{"namespace":"n","limit":0}',
        '{"namespace":"n","limit":1e3}',
        '{"namespace":"n","reverse":0}',
        '{"namespace":"n","values":"no"}',
        '{"namespace":"n","prefix":null}',
        '{"namespace":"n","after":5}',
    ],
    "tail": ['{"namespace":"n","key":"k"}', '{"namespace":"n","key":"k","count":-1}'],
    "expire": ['{"namespace":"n","prefix":""}', '{"namespace":"n","prefix":"","ttl":null}'],
    "usage": ["[]", "{}", '{"namespace":"n","key":"k"}'],
    "batch": [
        *("{}", '{"namespace":"n"}', '{"operations":[]}'),
        '{"namespace":"n","operations":{}}',
        '{"namespace":"n","operations":null}',
        '{"namespace":"n","operations":[1]}',
        '{"namespace":"n","operations":[[]]}',
        '{"namespace":"n","operations":[{}]}',
        '{"namespace":"n","operations":[{"key":"k"}]}',
        '{"namespace":"n","operations":[{"op":"nothing","key":"k"}]}',
        '{"namespace":"n","operations":[{"op":5,"key":"k"}]}',
        '{"namespace":"n","operations":[{"op":["get"],"key":"k"}]}',
        '{"namespace":"n","operations":[{"op":"get","key":"k","namespace":"other"}]}',
        '{"namespace":"n","operations":[{"op":"get","key":"k"},{"op":"set","key":"k"}]}',
        '{"namespace":"n","operations":[{"op":"batch","operations":[]}]}',
        '{"namespace":"","operations":[]}',
        '{"namespace":5,"operations":[{"op":"get","key":"k"}]}',
        '{"namespace":"n","operations":[],"more":1}',
    ],
}


@pytest.mark.parametrize(("name", "texts"), BAD.items(), ids=BAD)
def test_what_cannot_be_right_is_refused(name: str, texts: list[str]) -> None:
    for text in texts:
        try:
            parse(name, text)
        except (InvalidRequest, NotFound) as refused:
            assert str(refused)  # noqa: PT017
        else:
            pytest.fail(f"{name} took {text[:200]}")


def test_an_operation_that_does_not_exist_is_not_found() -> None:
    for name in ("", "nothing", "Get", "get ", "../get", "__class__"):
        with pytest.raises(NotFound, match="there is no operation"):
            parse(name, GOOD["set"])


pieces = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_nonsense_gets_further_than_the_door(data: st.DataObject) -> None:
    """Whatever stands in the fields: it is refused, or it works, and nothing else happens."""
    name = data.draw(st.sampled_from(sorted(OPERATIONS)))
    allowed = [field.name for field in fields(OPERATIONS[name])]
    sent = {"namespace": "fuzz"} | {
        field: data.draw(pieces | st.just("k"))
        for field in data.draw(st.sets(st.sampled_from(allowed)))
    }
    if name == "batch" and data.draw(st.booleans()):
        part = {"op": data.draw(st.sampled_from(sorted(OPERATIONS))), "key": data.draw(pieces)}
        sent = {"namespace": "fuzz", "operations": [part]}
    memory = Memory("fuzz", url="memory://")
    with suppress(BotWireError):
        memory.run(parse(name, write(sent)))


def _wrong(make: Callable[[], Any]) -> None:
    with pytest.raises(InvalidRequest):
        make()


def test_a_value_must_have_been_checked() -> None:
    _wrong(lambda: operations.Set("n", "k", "text"))  # type: ignore[arg-type]
    _wrong(lambda: operations.Append("n", "k", ("[1]",)))  # type: ignore[arg-type]
    _wrong(lambda: operations.SetMany("n", {"k": "1"}))  # type: ignore[dict-item]
