"""increment, append, tail and merge: changes made where the value is."""

import math
import random
from typing import Any

import pytest

from botwire.errors import Conflict, InvalidRequest, InvalidValue, WrongType
from botwire.jsontext import encode
from botwire.memory import Memory
from botwire.testing.contract.kit import exact, unchanged

__all__ = ["MERGE_PATCHES", "Updates"]

MERGE_PATCHES: list[tuple[Any, Any, Any]] = [  # RFC 7396, appendix A: target, patch, result
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


class Incrementing:
    def test_increment_adds_and_returns_the_sum(self, memory: Memory) -> None:
        sums = [memory.increment("n"), memory.increment("n", 41), memory.increment("n", -2)]
        assert sums == [1, 42, 40]
        assert memory.increment("n", 0.5) == 40.5
        assert memory.increment("big", 10**4000) == 10**4000
        assert memory.increment("big", 1) == 10**4000 + 1
        assert memory.get("n") == 40.5

    @pytest.mark.parametrize("value", [None, True, "1", [], {}, [1] * 3000])
    def test_incrementing_what_is_no_number_is_refused(self, memory: Memory, value: Any) -> None:
        memory.set("k", value)
        with unchanged(memory), pytest.raises(WrongType):
            memory.increment("k")

    @pytest.mark.parametrize("by", [None, True, "1", [1], math.nan, math.inf, 1j])
    def test_incrementing_by_what_is_no_number_is_refused(self, memory: Memory, by: Any) -> None:
        with unchanged(memory), pytest.raises((InvalidRequest, InvalidValue)):
            memory.increment("k", by)

    @pytest.mark.parametrize(
        ("start", "by"),
        [(1e308, 1e308), (10**4000, 0.5), (0.5, 10**4000), (10**5000, 1), (1, 10**5000)],
        ids=range(5),
    )
    def test_a_sum_that_is_too_large_is_refused(
        self, memory: Memory, start: float, by: float
    ) -> None:
        memory.set("k", start)
        with unchanged(memory), pytest.raises(InvalidRequest):
            memory.increment("k", by)

    def test_adding_nothing_changes_nothing(self, memory: Memory) -> None:
        memory.set_many({"n": 5, "x": 0.5})
        with unchanged(memory):
            assert memory.increment("n", 0) == 5
            assert memory.increment("x", 0) == 0.5
        assert memory.increment("missing", 0) == 0
        assert memory.exists("missing")


class Appending:
    def test_append_adds_to_the_end_and_returns_the_length(self, memory: Memory) -> None:
        assert memory.append("list", "a") == 1
        assert memory.append("list", "b", ["c"], None) == 4
        assert memory.get("list") == ["a", "b", ["c"], None]
        memory.set("set", [1, 2])
        assert memory.append("set", 3) == 3
        assert memory.get("set") == [1, 2, 3]

    def test_appending_nothing_makes_an_empty_list_or_changes_nothing(self, memory: Memory) -> None:
        assert memory.append("list") == 0
        assert memory.get("list") == []
        memory.append("list", 1, 2, 3)
        with unchanged(memory):
            assert memory.append("list") == 3
            assert memory.append("list", max_items=3) == 3
        assert memory.append("list", max_items=2) == 2
        assert memory.get("list") == [2, 3]

    @pytest.mark.parametrize("value", [None, True, 1, "[]", {}, {"a": []}])
    def test_appending_to_what_is_no_list_is_refused(self, memory: Memory, value: Any) -> None:
        memory.set("k", value)
        with unchanged(memory):
            for attempt in (
                lambda: memory.append("k", 1),
                lambda: memory.append("k"),
                lambda: memory.tail("k", 1),
            ):
                with pytest.raises(WrongType):
                    attempt()

    @pytest.mark.parametrize("number", [0, -1, 1.5, "1", True, 10**5000], ids=range(6))
    def test_what_is_no_count_is_refused(self, memory: Memory, number: Any) -> None:
        memory.append("k", 1)
        with unchanged(memory):
            with pytest.raises(InvalidRequest):
                memory.append("k", 1, max_items=number)
            if number != 0:
                with pytest.raises(InvalidRequest):
                    memory.tail("k", number)

    def test_tail_gives_the_newest_items_oldest_first(self, memory: Memory) -> None:
        memory.append("list", *range(10))
        assert memory.tail("list", 3) == [7, 8, 9]
        assert memory.tail("list", 0) == []
        assert memory.tail("list", 10) == memory.tail("list", 99) == list(range(10))
        assert memory.tail("missing", 3) == []

    @pytest.mark.parametrize("seed", range(6))
    def test_a_list_of_any_history_is_what_a_list_would_be(self, memory: Memory, seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311  (the same history in each run)
        model: list[Any] = []
        for _ in range(60):
            items = [_item(chance) for _ in range(chance.choice([0, 1, 1, 2, 7, 90]))]
            keep = chance.choice([None, None, None, 1, 5, 40, 200, 100_000])
            if chance.random() < 0.04:
                model = [_item(chance) for _ in range(chance.choice([0, 3, 300]))]
                memory.set("list", model)
            model = (model + items)[-keep:] if keep else model + items
            assert memory.append("list", *items, max_items=keep) == len(model)
            if chance.random() < 0.3:
                count = chance.choice([1, 2, 17, 400])
                assert memory.tail("list", count) == model[-count:]
        assert exact(memory.get("list")) == exact(model)
        self._sized(memory, model)

    def test_a_list_of_thousands_is_kept_whole(self, memory: Memory) -> None:
        model: list[Any] = []
        for part in range(40):
            items = [f"{part}:{number}" for number in range(125)]
            model += items
            assert memory.append("list", *items) == len(model)
        assert memory.get("list") == model
        assert memory.tail("list", 1) == model[-1:]
        assert memory.tail("list", 2777) == model[-2777:]
        self._sized(memory, model)
        assert memory.append("list", "end", max_items=1234) == 1234
        model = [*model, "end"][-1234:]
        assert memory.get("list") == model
        self._sized(memory, model)

    def test_a_list_that_was_deleted_or_replaced_leaves_nothing(self, memory: Memory) -> None:
        items = ["x" * 100] * 500
        for replace in (
            lambda: memory.delete("list"),
            lambda: memory.pop("list"),
            lambda: memory.clear(),
            lambda: memory.set("list", []),
            lambda: memory.update("list", lambda _: []),
            lambda: memory.merge("list", []),
            lambda: memory.set_many({"list": []}),
        ):
            memory.append("list", *items)
            replace()
            assert memory.append("list", "y") == 1
            assert memory.get("list") == ["y"]
            self._sized(memory, ["y"])
            memory.clear()

    @staticmethod
    def _sized(memory: Memory, model: list[Any]) -> None:
        entry = memory.head("list")
        assert entry is not None
        assert entry.bytes == len(encode(model).encode())
        used = memory.usage()
        assert (used.entries, used.bytes) == (1, entry.bytes + len("list"))


class Merging:
    @pytest.mark.parametrize(("target", "patch", "result"), MERGE_PATCHES)
    def test_merge_follows_rfc_7396(
        self, memory: Memory, target: Any, patch: Any, result: Any
    ) -> None:
        memory.set("k", target)
        memory.merge("k", patch)
        assert exact(memory.get("k", "missing")) == exact(result)

    def test_merging_into_a_missing_key_makes_it(self, memory: Memory) -> None:
        memory.merge("k", {"a": 1, "b": None, "c": {"d": None}})
        assert memory.get("k") == {"a": 1, "c": {}}

    def test_members_the_patch_does_not_name_stay_as_they_were(self, memory: Memory) -> None:
        value = {"z": 1.0, "n": 10**5000, "a": {"x": -0.0, "y": [1.0, True]}, "s": "\ud800"}
        memory.set("k", value)
        memory.merge("k", {"a": {"new": 1}, "z": None})
        del value["z"]
        value["a"]["new"] = 1  # type: ignore[index]
        assert exact(memory.get("k")) == exact(value)

    @pytest.mark.parametrize(
        ("old", "new"), [(1, True), (1, 1.0), (0.0, -0.0), (False, 0), ([1], [True])]
    )
    def test_a_value_that_only_compares_equal_is_another_value(
        self, memory: Memory, old: Any, new: Any
    ) -> None:
        memory.set("k", {"a": old, "deep": {"a": old}})
        memory.merge("k", {"a": new, "deep": {"a": new}})
        assert exact(memory.get("k")) == exact({"a": new, "deep": {"a": new}})

    def test_a_merge_that_changes_nothing_is_no_change(self, memory: Memory) -> None:
        version = memory.set("k", {"a": 1, "b": {"c": [1.5, "é"], "d": None}})
        with unchanged(memory):
            assert memory.merge("k", {}) == version
            assert memory.merge("k", {"a": 1, "x": None}) == version
            assert memory.merge("k", {"b": {"c": [1.5, "é"], "x": None}}) == version

    def test_a_merge_takes_conditions(self, memory: Memory) -> None:
        version = memory.set("k", {"a": 1})
        assert memory.merge("k", {"a": 2}, if_version=version) > version
        with pytest.raises(Conflict):
            memory.merge("k", {"a": 3}, if_version=version)


def _item(chance: random.Random) -> Any:
    return chance.choice(
        [
            None,
            chance.randrange(10**9),
            "é" * chance.choice([0, 10, 300]),
            "x" * chance.choice([1, 100, 3000]),
            {"role": "user", "content": ",[]\"'" * chance.randrange(9)},
            [],
        ]
    )


class Updates(Incrementing, Appending, Merging):
    pass
