"""Versions only rise within a namespace and are never reused; writes can depend on them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from botwire.errors import Conflict, InvalidRequest
from botwire.jsontext import encode
from botwire.memory import Memory
from botwire.operations import Append
from botwire.testing.contract.kit import Elapse, expired, unchanged

__all__ = ["Versions"]

CONDITIONAL: dict[str, Callable[[Memory, int], Any]] = {
    "set": lambda memory, version: memory.set("k", "new", if_version=version),
    "delete": lambda memory, version: memory.delete("k", if_version=version),
    "append": lambda memory, version: memory.append("k", 9, if_version=version),
    "merge": lambda memory, version: memory.merge("k", {"a": 9}, if_version=version),
    "batch": lambda memory, version: _batch(memory, version),
}


@dataclass(frozen=True, slots=True)
class Reported(Append):
    """An append whose result is the whole reply, for callers that build on its version."""

    def result(self, reply: Any) -> Any:
        return reply


class Versions:
    def test_every_change_takes_a_higher_version(self, memory: Memory) -> None:
        versions = [
            memory.set("a", 1),
            memory.set("b", 1),
            memory.set("a", 1),
            memory.merge("o", {"a": 1}),
            *memory.set_many({"x": 1, "y": 2}).values(),
        ]
        memory.append("list", 1)
        memory.increment("n")
        versions += [memory.page(key).entries[0].version for key in ("list", "n")]
        versions.append(memory.set("a", 2))
        assert versions == sorted(set(versions))
        assert memory.usage().version == versions[-1]

    def test_the_reply_to_an_append_tells_the_version_that_the_list_then_has(
        self, memory: Memory
    ) -> None:
        told = 0
        for number in range(4):  # small, into a chunk, after one
            items = (encode(f"{number}" * 900),) * 2
            reply = memory.run(Reported(memory.namespace, "list", items, if_version=told))
            told = reply["version"]
            found = memory.entry("list")
            assert found is not None
            assert (reply["length"], told) == (len(found.value), found.version)

    def test_a_version_is_not_reused_after_delete_expiry_or_clear(
        self, memory: Memory, elapse: Elapse
    ) -> None:
        seen = [memory.set("k", 1)]
        for end in (
            lambda: memory.delete("k"),
            lambda: memory.pop("k"),
            lambda: memory.clear(),
            lambda: memory.delete_many(["k"]),
            lambda: expired(memory, elapse, "k"),
        ):
            end()
            for stale in seen:
                with pytest.raises(Conflict):
                    memory.set("k", "stale", if_version=stale)
            seen.append(memory.set("k", 1))
        assert seen == sorted(set(seen))

    def test_deleting_changes_the_version_of_the_namespace(self, memory: Memory) -> None:
        memory.set("k", 1)
        before = memory.usage().version
        memory.delete("k")
        assert memory.usage().version > before

    @pytest.mark.parametrize("change", CONDITIONAL.values(), ids=CONDITIONAL)
    @pytest.mark.parametrize("stale", ["older", "newer", "none"])
    def test_a_lost_race_changes_nothing_and_tells_what_won(
        self, memory: Memory, change: Callable[[Memory, int], Any], stale: str
    ) -> None:
        older = memory.set("k", ["first"])
        current = memory.set("k", ["second", None])
        asked = {"older": older, "newer": current + 1, "none": 0}[stale]
        with unchanged(memory), pytest.raises(Conflict) as lost:
            change(memory, asked)
        assert lost.value.key == "k"
        assert lost.value.expected == asked
        assert lost.value.current_version == current
        assert lost.value.current_value == ["second", None]

    @pytest.mark.parametrize("change", CONDITIONAL.values(), ids=CONDITIONAL)
    def test_a_condition_on_a_missing_key_fails(
        self, memory: Memory, change: Callable[[Memory, int], Any]
    ) -> None:
        version = memory.set("k", 1)
        memory.delete("k")
        with unchanged(memory), pytest.raises(Conflict) as lost:
            change(memory, version)
        assert lost.value.current_version == 0
        assert lost.value.current_value is None

    @pytest.mark.parametrize("change", CONDITIONAL.values(), ids=CONDITIONAL)
    def test_a_condition_that_holds_lets_the_change_happen(
        self, memory: Memory, change: Callable[[Memory, int], Any]
    ) -> None:
        version = memory.append("k", 1) and memory.page("k").entries[0].version
        change(memory, version)
        assert memory.get("k") != [1]

    def test_version_0_means_that_the_key_must_not_exist(self, memory: Memory) -> None:
        memory.set("k", 1, if_version=0)
        with pytest.raises(Conflict):
            memory.set("k", 2, if_version=0)
        memory.delete("k")
        assert not memory.delete("k", if_version=0)
        memory.set("k", 3, if_version=0)
        assert memory.get("k") == 3
        memory.append("list", 1, if_version=0)
        memory.merge("object", {"a": 1}, if_version=0)
        with pytest.raises(Conflict):
            memory.append("list", 1, if_version=0)

    @pytest.mark.parametrize("version", [-1, 1.0, "1", True, 2**63, 10**5000], ids=range(6))
    def test_what_is_no_version_is_refused(self, memory: Memory, version: Any) -> None:
        with unchanged(memory):
            for change in CONDITIONAL.values():
                with pytest.raises(InvalidRequest):
                    change(memory, version)

    def test_update_is_the_compare_and_set_loop(self, memory: Memory) -> None:
        assert memory.update("n", lambda n: n + 1, default=0) == 1
        assert memory.update("n", lambda n: n + 1, default=0) == 2
        seen: list[Any] = []

        def interfere(value: Any) -> Any:
            seen.append(value)
            if len(seen) == 1:
                memory.set("n", 10)
            if len(seen) == 2:
                memory.delete("n")
            return [*value, "mine"] if isinstance(value, list) else "mine"

        assert memory.update("n", interfere, default=["default"]) == ["default", "mine"]
        assert seen == [2, 10, ["default"]]
        assert memory.get("n") == ["default", "mine"]

    def test_update_gives_each_attempt_a_fresh_default(self, memory: Memory) -> None:
        default: list[str] = []
        attempts = 0

        def add(items: list[str]) -> list[str]:
            nonlocal attempts
            attempts += 1
            if attempts == 1:
                memory.set("k", [])
            if attempts == 2:
                memory.delete("k")
            items.append("mine")
            return items

        assert memory.update("k", add, default=default) == ["mine"]
        assert memory.get("k") == ["mine"]
        assert default == []

    def test_an_update_that_raises_changes_nothing(self, memory: Memory) -> None:
        memory.set("k", 1)
        with unchanged(memory), pytest.raises(ZeroDivisionError):
            memory.update("k", lambda n: n / 0)

    def test_an_update_sees_a_stored_null_as_a_value(self, memory: Memory) -> None:
        memory.set("k", None)
        assert memory.update("k", lambda value: [value], default="default") == [None]


def _batch(memory: Memory, version: int) -> None:
    with memory.batch() as batch:
        batch.set("other", 1)
        batch.set("k", "new", if_version=version)
