"""Values are JSON and come back exactly, whichever way they go in and out."""

import math
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest

from botwire.errors import Conflict, InvalidValue
from botwire.memory import Memory
from botwire.testing.contract.kit import exact, unchanged

__all__ = ["DEEPEST", "REFUSED", "VALUES", "Values", "nested"]


def nested(levels: int) -> list[Any]:
    """A list in a list in a list, so many in all."""
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


DEEPEST = 200  # levels a value may have

VALUES: dict[str, Any] = {
    "null": None,
    "true": True,
    "false": False,
    "zero": 0,
    "minus one": -1,
    "beyond 64 bits": 2**64 + 1,
    "beyond 4,300 digits": -(10**5000) - 7,
    "zero with a fraction": 0.0,
    "minus zero": -0.0,
    "whole with a fraction": 1.0,
    "tenth": 0.1,
    "smallest": 5e-324,
    "largest": 1.7976931348623157e308,
    "empty text": "",
    "text like a list": "[1]",
    "text like null": "null",
    "text like a number": "007",
    "quotes": "\"'\\/`",
    "control characters": "".join(map(chr, range(32))) + "\x7f\x85\u2028\u2029",
    "NUL": "a\0b",
    "byte order mark": "\ufeffx",
    "emoji": "🦆 👩‍👩‍👧‍👦 \U0010ffff",
    "composed and decomposed": ["\u00e9", "e\u0301"],
    "lone surrogates": "\ud800 \udfff x",
    "lone surrogate beside emoji": ["\udc00🦆\ud800", {"\ud801": 1}],
    "SQL": "'; DROP TABLE entries; --",
    "empty list": [],
    "empty object": {},
    "types that compare equal": [1, 1.0, True, 0, 0.0, False, -0.0],
    "nulls inside": [None, {"a": None}],
    "member order": {"z": 1, "a": 2, "m": {"y": 1, "x": 2}},
    "odd names": {"": 1, " ": 2, "a.b": 3, "$": 4, "__proto__": 5, "a\0": 6, "🦆": 7},
    "big integers inside": {"n": [10**5000, 1.5, "é", None]},
    "deepest list": nested(DEEPEST),
    "many items": list(range(3000)),
    "long text": "é" * 100_000,
}


class _Colour(Enum):
    RED = "red"


def _cycle() -> list[Any]:
    cycle: list[Any] = [1]
    cycle.append(cycle)
    return cycle


REFUSED: dict[str, tuple[Any, str]] = {
    "NaN": (math.nan, "$ is nan"),
    "infinity": ([1, math.inf], "$[1] is inf"),
    "minus infinity": ({"a": {"b": -math.inf}}, "$.a.b is -inf"),
    "bytes": ({"a": [b"x"]}, "$.a[0] is of type bytes"),
    "tuple": ({"a": (1, 2)}, "$.a is a tuple"),
    "set": ([{1}], "$[0] is of type set"),
    "number as key": ({"a": {1: 2}}, "$.a has the key 1"),
    "null as key": ({None: 2}, "$ has the key None"),
    "tuple as key": ({(1, 2): 2}, "$ has the key (1, 2)"),
    "boolean as key": ([{True: 2}], "$[0] has the key True"),
    "date": ([datetime(2026, 1, 1, tzinfo=UTC)], "$[0] is of type datetime"),
    "decimal": (Decimal("1.5"), "$ is of type Decimal"),
    "complex": ({"c": 1j}, "$.c is of type complex"),
    "enum": (_Colour.RED, "$ is of type _Colour"),
    "object": ([object()], "$[0] is of type object"),
    "cycle": (_cycle(), "$[1] contains itself"),
    "beside a huge integer": ([10**5000, math.nan], "$[1] is nan"),
    "too deep": (nested(DEEPEST + 1), "nested deeper than 200 levels"),
    "far too deep": (nested(100_000), "nested deeper than 200 levels"),
    "pair of surrogates": ("\ud83d\ude00", "$ "),  # JSON would turn the two into one character
    "pair of surrogates inside": ({"a": ["\ud83d\ude00"]}, "$.a[0] "),
    "pair of surrogates as key": ({"\ud83d\ude00": 1}, "$ has the key"),
}


class Values:
    @pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
    def test_a_value_comes_back_exactly(self, memory: Memory, value: Any) -> None:
        memory.set("k", value)
        assert exact(memory.get("k", "default")) == exact(value)

    @pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
    def test_every_way_in_and_every_way_out_are_exact(self, memory: Memory, value: Any) -> None:
        memory.set_many({"many": value})
        with memory.batch() as batch:
            batch.set("batch", value)
            batch.append("list", value)
            batch.merge("merged", {"a": 1})
            batch.get("batch")
        memory.update("update", lambda _: value)
        wanted = exact(value)
        assert exact(batch.results[3]) == wanted
        assert all(exact(v) == wanted for v in memory.get_many(["many", "update"]).values())
        assert [exact(v) for k, v in memory.items() if k in ("many", "batch", "update")] == (
            [wanted] * 3
        )
        assert exact(memory.page("many").entries[0].value) == wanted
        entry = memory.entry("batch")
        assert entry is not None
        assert exact(entry.value) == wanted
        assert exact(memory.tail("list", 1)[0]) == wanted
        assert exact(memory.get("list")) == exact([value])
        with pytest.raises(Conflict) as lost:
            memory.set("many", 0, if_version=0)
        assert exact(lost.value.current_value) == wanted
        assert exact(memory.pop("many", "default")) == wanted

    @pytest.mark.parametrize(("value", "where"), REFUSED.values(), ids=REFUSED)
    def test_what_is_not_json_is_refused_with_its_place(
        self, memory: Memory, value: Any, where: str
    ) -> None:
        memory.set("k", "before")
        attempts = [
            lambda: memory.set("k", value),
            lambda: memory.set_many({"a": 1, "k": value}),
            lambda: memory.append("list", 1, value),
            lambda: memory.merge("k", value),
            lambda: memory.update("k", lambda _: value),
            lambda: _batch(memory, value),
        ]
        with unchanged(memory):
            for attempt in attempts:
                with pytest.raises(InvalidValue) as refused:
                    attempt()
                assert where in refused.value.detail

    def test_a_stored_null_is_not_a_missing_key(self, memory: Memory) -> None:
        memory.set("null", None)
        assert memory.get("null", "default") is None
        assert memory.get("missing", "default") == "default"
        assert memory.get("missing") is None
        assert memory.exists("null")
        assert not memory.exists("missing")
        assert memory.get_many(["null", "missing"]) == {"null": None}
        assert memory.pop("null", "default") is None
        assert memory.pop("null", "default") == "default"

    def test_a_changed_copy_changes_nothing_that_is_stored(self, memory: Memory) -> None:
        value = {"tags": ["a"]}
        memory.set("k", value)
        value["tags"].append("b")
        memory.get("k")["tags"].append("c")
        assert memory.get("k") == {"tags": ["a"]}

    def test_the_size_of_a_value_is_its_json_in_utf8(self, memory: Memory) -> None:
        for value, size in [("é", 4), ([1, 2], 5), ({"a": None}, 10), ("\ud800", 8), (1.5, 3)]:
            memory.set("k", value)
            entry = memory.head("k")
            assert entry is not None
            assert entry.bytes == size


def _batch(memory: Memory, value: Any) -> None:
    with memory.batch() as batch:
        batch.set("other", 1)
        batch.set("k", value)
