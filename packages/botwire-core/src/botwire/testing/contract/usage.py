"""What a namespace holds is known exactly; limits are kept exactly."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from botwire.errors import QuotaExceeded, TooLarge
from botwire.jsontext import encode
from botwire.memory import Memory
from botwire.stores.base import Limits
from botwire.testing.contract.kit import SHORT, Elapse, expired, unchanged

__all__ = ["Counting", "Limiting"]

Limited = Callable[[Limits], Memory]

CHANGES: dict[str, tuple[Callable[[Memory], Any], int]] = {  # and how many writes each is
    "set": (lambda m: m.set("k", "é"), 1),
    "set anew": (lambda m: m.set("text", "shorter"), 1),
    "the same again": (lambda m: m.set("text", "x" * 100), 1),
    "delete": (lambda m: m.delete("text"), 1),
    "delete a long list": (lambda m: m.delete("list"), 1),
    "delete nothing": (lambda m: m.delete("missing"), 0),
    "pop": (lambda m: m.pop("list"), 1),
    "pop nothing": (lambda m: m.pop("missing"), 0),
    "append": (lambda m: m.append("list", "é"), 1),
    "append much": (lambda m: m.append("list", *["y" * 99] * 99), 1),
    "append nothing": (lambda m: m.append("list"), 0),
    "append and trim": (lambda m: m.append("list", "é", max_items=7), 1),
    "append to nothing": (lambda m: m.append("new", "é", "", None), 1),
    "replace a long list": (lambda m: m.set("list", 1), 1),
    "increment": (lambda m: m.increment("n", 99), 1),
    "increment by nothing": (lambda m: m.increment("n", 0), 0),
    "merge": (lambda m: m.merge("o", {"é": [1.5], "a": None}), 1),
    "merge nothing": (lambda m: m.merge("o", {"x": None}), 0),
    "update": (lambda m: m.update("o", lambda o: [o]), 1),
    "set_many": (lambda m: m.set_many({"a": 1, "text": 2, "🦆": 3}), 3),
    "delete_many": (lambda m: m.delete_many(["n", "o", "missing"]), 2),
    "clear": (lambda m: m.clear(), 4),
    "clear a part": (lambda m: m.clear("l"), 1),
    "touch": (lambda m: m.touch("n", 60), 1),
    "touch nothing": (lambda m: m.touch("missing", 60), 0),
    "touch what has no ttl": (lambda m: m.touch("n"), 0),
    "persist what is eternal": (lambda m: m.persist("n"), 0),
    "expire": (lambda m: m.expire("", 60), 4),
    "reads": (lambda m: (m.get("n"), list(m.items()), m.tail("list", 5), m.usage()), 0),
}


class Counting:
    @pytest.mark.parametrize(("change", "writes"), CHANGES.values(), ids=CHANGES)
    def test_usage_is_exact_after_every_kind_of_change(
        self, memory: Memory, change: Callable[[Memory], Any], writes: int
    ) -> None:
        memory.set_many({"n": 1, "text": "x" * 100, "o": {"a": 1}})
        memory.append("list", *["z" * 50] * 200)
        before = memory.usage()
        assert (before.entries, before.bytes) == _counted(memory)
        change(memory)
        after = memory.usage()
        assert (after.entries, after.bytes) == _counted(memory)
        assert after.writes_today - before.writes_today == writes
        if after.bytes != before.bytes:
            assert after.version > before.version

    def test_an_empty_namespace_uses_nothing(self, memory: Memory) -> None:
        usage = memory.usage()
        assert usage.namespace == memory.namespace
        assert (usage.entries, usage.bytes, usage.version, usage.writes_today) == (0, 0, 0, 0)
        assert 0 < usage.resets_in <= 86400

    def test_what_expired_uses_nothing(self, memory: Memory, elapse: Elapse) -> None:
        memory.set("stays", 1)
        memory.append("list", *["x" * 99] * 99, ttl=SHORT)
        expired(memory, elapse, "a", "b", value="x" * 1000)
        usage = memory.usage()
        assert (usage.entries, usage.bytes) == (1, len("stays1"))
        memory.set("a", 2)
        usage = memory.usage()
        assert (usage.entries, usage.bytes) == (2, len("stays1a2"))

    def test_a_change_that_fails_is_free(self, memory: Memory) -> None:
        memory.set("k", "text")
        with unchanged(memory):
            for attempt in (
                lambda: memory.set("k", 1, if_version=99),
                lambda: memory.increment("k"),
                lambda: memory.append("k", 1),
            ):
                with pytest.raises(Exception, match="k"):
                    attempt()

    def test_namespaces_do_not_share_anything(self, memory: Memory) -> None:
        other = memory.namespaced(memory.namespace + "!")
        memory.set("k", 1)
        assert not other.exists("k")
        assert other.usage().entries == 0
        other.set("k", 2)
        assert memory.get("k") == 1
        other.clear()
        assert memory.get("k") == 1

    def test_times_are_those_of_the_store(self, memory: Memory, elapse: Elapse) -> None:
        memory.set("k", 1)
        made = memory.entry("k")
        elapse(0.02)
        memory.set("k", 2)
        changed = memory.entry("k")
        assert made is not None
        assert changed is not None
        assert made.created_at == made.updated_at == changed.created_at < changed.updated_at
        assert made.created_at.tzinfo is UTC
        assert changed.updated_at - made.created_at < timedelta(minutes=1)
        assert made.created_at > datetime(2020, 1, 1, tzinfo=UTC)


class Limiting:
    def test_a_value_above_the_limit_is_refused(self, limited: Limited) -> None:
        memory = limited(Limits(value_bytes=100))
        memory.set("k", "x" * 98)
        memory.append("list", *["x" * 10] * 7)
        memory.set("o", {"a": 1})
        with unchanged(memory):
            for attempt in (
                lambda: memory.set("k", "x" * 99),
                lambda: memory.set("k", "é" * 50),
                lambda: memory.set_many({"a": 1, "k": "x" * 99}),
                lambda: memory.append("list", "x" * 10),
                lambda: memory.merge("o", {"b": "x" * 100}),
                lambda: memory.increment("n", 10**100),
                lambda: memory.update("k", lambda text: text + "x"),
            ):
                with pytest.raises(TooLarge) as refused:
                    attempt()
                assert refused.value.limit == 100
        assert memory.usage().value_bytes == 100

    def test_writes_of_a_day_are_counted_exactly(self, limited: Limited, elapse: Elapse) -> None:
        memory = limited(Limits(writes_per_day=10))
        memory.set_many({"a": 1, "b": 2, "c": 3})
        memory.append("list", 1, 2, 3)
        for _ in range(5):
            memory.increment("n")
        with unchanged(memory):
            for attempt in (
                lambda: memory.set_many({"x": 1, "y": 2}),
                lambda: memory.clear(),
                lambda: memory.delete_many(["a", "b"]),
                lambda: memory.expire("", 60),
                lambda: _batch(memory),
            ):
                with pytest.raises(QuotaExceeded):
                    attempt()
        memory.set("last", 1)
        with unchanged(memory):
            for attempt in (
                lambda: memory.set("k", 1),
                lambda: memory.delete("a"),
                lambda: memory.pop("a"),
                lambda: memory.append("list", 1),
                lambda: memory.merge("o", {}),
                lambda: memory.touch("a", 60),
            ):
                with pytest.raises(QuotaExceeded) as refused:
                    attempt()
                assert (refused.value.policy, refused.value.limit) == ("writes", 10)
                assert refused.value.used == 10
                assert 0 < refused.value.reset_s <= 86400
            assert memory.get("a") == 1
            assert not memory.delete("missing")
            assert memory.increment("n", 0) == 5
            assert memory.append("list") == 3
        usage = memory.usage()
        assert (usage.writes_today, usage.writes_per_day) == (10, 10)

    def test_reading_a_sliding_key_is_no_write(self, limited: Limited) -> None:
        memory = limited(Limits(writes_per_day=1))
        memory.set("k", 1, ttl=60, sliding=True)
        assert [memory.get("k") for _ in range(3)] == [1, 1, 1]
        assert memory.usage().writes_today == 1

    def test_bytes_of_a_namespace_are_counted_exactly(self, limited: Limited) -> None:
        memory = limited(Limits(namespace_bytes=1000))
        memory.set("k", "x" * 497)  # with its key 500
        memory.append("list", "y" * 491)  # with its key 499
        with unchanged(memory):
            for attempt in (
                lambda: memory.set("k", "x" * 499),
                lambda: memory.set("é", 1),
                lambda: memory.append("list", ""),
                lambda: memory.set_many({"k": 1, "other": "x" * 600}),
            ):
                with pytest.raises(QuotaExceeded) as refused:
                    attempt()
                assert (refused.value.policy, refused.value.limit) == ("storage", 1000)
                assert refused.value.used <= 999
        memory.set("k", "x" * 498)
        assert memory.usage().bytes == memory.usage().namespace_bytes == 1000
        memory.set("k", "x")
        memory.set("other", "x" * 450)

    def test_what_expired_makes_room_once(self, limited: Limited, elapse: Elapse) -> None:
        memory = limited(Limits(namespace_bytes=1000))
        memory.set("stays", "x" * 493)  # with its key 500
        memory.set("k", "x" * 497, ttl=SHORT)  # with its key 500
        elapse(SHORT + 0.005)
        with pytest.raises(QuotaExceeded):
            memory.set("k", "x" * 498)
        with pytest.raises(QuotaExceeded):
            memory.append("k", "x" * 496)
        memory.set("other", "x" * 493)
        assert memory.usage().bytes == 1000
        with pytest.raises(QuotaExceeded):
            memory.set("k", 1)


def _counted(memory: Memory) -> tuple[int, int]:
    sizes = [len(k.encode()) + len(encode(v).encode()) for k, v in memory.items()]
    return len(sizes), sum(sizes)


def _batch(memory: Memory) -> None:
    with memory.batch() as batch:
        batch.set("x", 1)
        batch.set("y", 1)
