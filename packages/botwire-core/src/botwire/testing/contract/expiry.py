"""An expired entry does not exist, for any operation, from the instant it expires."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from botwire import operations
from botwire.errors import BotWireError, Conflict, InvalidRequest
from botwire.jsontext import encode
from botwire.memory import Memory
from botwire.operations import Entry
from botwire.testing.contract.kit import SHORT, Capabilities, Elapse, expired, require, unchanged

__all__ = ["Expiry"]

LIVED: list[Any] = [7, [1, 2, 3], {"a": 1}, None, [["x" * 700]] * 20]  # what the keys held

Act = Callable[[Memory, str], Any]


def _in_batch(add: Callable[[Any, str], None]) -> Act:
    def act(memory: Memory, key: str) -> Any:
        with memory.batch() as batch:
            add(batch, key)
        return batch.results

    return act


ACTS: dict[str, Act] = {
    "get": lambda m, k: m.get(k, "default"),
    "entry": lambda m, k: m.entry(k),
    "head": lambda m, k: m.head(k),
    "exists": lambda m, k: m.exists(k),
    "ttl": lambda m, k: m.ttl(k),
    "tail": lambda m, k: m.tail(k, 2),
    "get_many": lambda m, k: m.get_many([k]),
    "list_keys": lambda m, k: m.list_keys(k),
    "items": lambda m, k: list(m.items(k)),
    "entries": lambda m, k: list(m.entries(k)),
    "entries in reverse": lambda m, k: list(m.entries(k, reverse=True)),
    "page": lambda m, k: m.page(k),
    "page without values": lambda m, k: m.page(k, values=False),
    "page from before": lambda m, k: m.page(newer_than=0, limit=1),
    "usage": lambda m, k: (m.usage().entries, m.usage().bytes),
    "set": lambda m, k: m.set(k, 1) > 0,
    "set with a ttl": lambda m, k: m.set(k, 1, ttl=60) > 0,
    "set if missing": lambda m, k: m.set(k, 1, if_version=0) > 0,
    "set if at the version it had": lambda m, k: m.set(k, 1, if_version=1),
    "delete": lambda m, k: m.delete(k),
    "delete if missing": lambda m, k: m.delete(k, if_version=0),
    "delete if at the version it had": lambda m, k: m.delete(k, if_version=1),
    "pop": lambda m, k: m.pop(k, "default"),
    "update": lambda m, k: m.update(k, lambda value: [value], default="default"),
    "update with a ttl": lambda m, k: m.update(k, lambda value: [value], ttl=60),
    "increment": lambda m, k: m.increment(k, 2),
    "increment by 0": lambda m, k: m.increment(k, 0),
    "append": lambda m, k: m.append(k, "a", "b"),
    "append nothing": lambda m, k: m.append(k),
    "append and trim": lambda m, k: m.append(k, *range(9), max_items=4),
    "append more than a chunk": lambda m, k: m.append(k, *(["x" * 900] * 9)),
    "append if missing": lambda m, k: m.append(k, 1, if_version=0),
    "append if at the version it had": lambda m, k: m.append(k, 1, if_version=1),
    "merge": lambda m, k: m.merge(k, {"b": 2, "c": None}) > 0,
    "merge nothing": lambda m, k: m.merge(k, {}) > 0,
    "merge if missing": lambda m, k: m.merge(k, {"b": 2}, if_version=0) > 0,
    "merge if at the version it had": lambda m, k: m.merge(k, {"b": 2}, if_version=1),
    "touch": lambda m, k: m.touch(k),
    "touch with a ttl": lambda m, k: m.touch(k, 60),
    "persist": lambda m, k: m.persist(k),
    "expire": lambda m, k: m.expire(k, 60),
    "set_many": lambda m, k: len(m.set_many({k: 1, k + "!": 2})),
    "delete_many": lambda m, k: m.delete_many([k]),
    "clear": lambda m, k: m.clear(k),
    "set that keeps the ttl": lambda m, k: (
        m.run(operations.Set(m.namespace, k, encode(1), keep_ttl=True)) > 0
    ),
    "batch of reads": _in_batch(lambda b, k: (b.get(k), b.exists(k), b.tail(k, 1), b.entry(k))[0]),
    "batch of a delete": _in_batch(lambda b, k: b.delete(k)),
    "batch of an append and a read": _in_batch(lambda b, k: (b.append(k, 1), b.get(k))[0]),
    "batch of an increment": _in_batch(lambda b, k: b.increment(k)),
    "batch of expiry": _in_batch(
        lambda b, k: (b.touch(k, 9), b.persist(k), b.expire(k, 9), b.pop(k), b.clear(k))[0]
    ),
}

MAPPING_ACTS: dict[str, Act] = {
    "[]": lambda m, k: m[k],
    "[]=": lambda m, k: m.__setitem__(k, 1),
    "del": lambda m, k: m.__delitem__(k),
    "in": lambda m, k: k in m,
    "len": lambda m, k: len(m),
    "iteration": lambda m, k: list(m),
    "values": lambda m, k: list(m.values()),
}

RENEWING: dict[str, Act] = {
    "get": lambda m, k: m.get(k),
    "entry": lambda m, k: m.entry(k),
    "tail": lambda m, k: m.tail(k, 1),
    "get_many": lambda m, k: m.get_many([k]),
    "items": lambda m, k: list(m.items()),
    "page": lambda m, k: m.page(),
    "batch": _in_batch(lambda b, k: b.get(k)),
    "append": lambda m, k: m.append(k, 1, ttl=60, sliding=True),
    "touch": lambda m, k: m.touch(k),
}

NOT_RENEWING: dict[str, Act] = {
    "head": lambda m, k: m.head(k),
    "exists": lambda m, k: m.exists(k),
    "ttl": lambda m, k: m.ttl(k),
    "list_keys": lambda m, k: m.list_keys(),
    "page without values": lambda m, k: m.page(values=False),
    "usage": lambda m, k: m.usage(),
}

NO_TTL = [0, -1, -0.0, math.nan, math.inf, "5", True, 1e12, 10**5000, [1]]


def _outcome(act: Act, memory: Memory, key: str) -> Any:
    """What an operation gives and leaves, without what differs in any case: versions and times."""
    try:
        result = _plain(act(memory, key))
    except BotWireError as error:
        fields = {**error.fields, "current_value": getattr(error, "current_value", None)}
        result = type(error).__name__, error.detail, fields
    rest = memory.usage()
    facts = [(e.key, e.value, e.ttl, e.sliding, e.bytes) for e in memory.entries()]
    return result, facts, rest.entries, rest.bytes, memory.ttl(key) is None, memory.exists(key)


def _ahead(memory: Memory) -> float:
    """By how many seconds "k" outlives "fixed": exact, however long the measuring takes."""
    left = {entry.key: entry.expires_in or 0.0 for entry in memory.page(values=False).entries}
    return left["k"] - left["fixed"]


def _plain(result: Any) -> Any:
    if isinstance(result, Entry):
        return (result.key, result.value, result.ttl, result.sliding)
    if isinstance(result, (list, tuple)):
        return [_plain(part) for part in result]  # type: ignore[misc]
    return result


class Expiry:
    @pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
    def test_every_operation_takes_an_expired_key_for_a_missing_one(
        self, memory: Memory, elapse: Elapse, act: Act
    ) -> None:
        self._compare(memory, elapse, act)

    @pytest.mark.parametrize("act", MAPPING_ACTS.values(), ids=MAPPING_ACTS)
    def test_the_mapping_takes_an_expired_key_for_a_missing_one(
        self, memory: Memory, elapse: Elapse, capabilities: Capabilities, act: Act
    ) -> None:
        require(capabilities, "mapping")
        self._compare(memory, elapse, act)

    @staticmethod
    def _compare(memory: Memory, elapse: Elapse, act: Act) -> None:
        name = memory.namespace[:40]
        never = [memory.namespaced(f"{name}, never {number}") for number in range(len(LIVED))]
        over = [memory.namespaced(f"{name}, expired {number}") for number in range(len(LIVED))]
        for place, value in zip(over, LIVED, strict=True):
            if isinstance(value, list):
                place.append("k", *value, ttl=SHORT)  # type: ignore[misc]
            else:
                place.set("k", value, ttl=SHORT, sliding=value is None)
        elapse(SHORT + 0.005)
        for here, there in zip(never, over, strict=True):
            there_, here_ = _outcome(act, there, "k"), _outcome(act, here, "k")
            assert repr(there_).replace(there.namespace, "") == repr(here_).replace(
                here.namespace, ""
            )

    def test_an_entry_lives_until_its_ttl_and_no_longer(
        self, memory: Memory, elapse: Elapse
    ) -> None:
        memory.set("short", 1, ttl=0.3)
        memory.set("long", 1, ttl=60)
        left = memory.ttl("short")
        assert left is not None
        assert 0 < left <= 0.3
        elapse(0.31)
        assert memory.list_keys() == ["long"]
        assert memory.ttl("short") is None

    def test_a_ttl_may_be_a_fraction(self, memory: Memory, elapse: Elapse) -> None:
        memory.set("k", 1, ttl=0.05)
        entry = memory.head("k")
        assert entry is None or entry.ttl == 0.05
        elapse(0.06)
        assert not memory.exists("k")

    def test_ttl_tells_what_is_left(self, memory: Memory) -> None:
        memory.set("k", 1, ttl=60)
        memory.set("ever", 1)
        left = memory.ttl("k")
        assert left is not None
        assert 50 < left <= 60
        assert memory.ttl("ever") == math.inf
        assert memory.ttl("missing") is None
        entry = memory.entry("k")
        assert entry is not None
        assert (entry.ttl, entry.sliding) == (60, False)
        assert entry.expires_in is not None
        assert 50 < entry.expires_in <= 60
        forever = memory.entry("ever")
        assert forever is not None
        assert (forever.ttl, forever.expires_in, forever.sliding) == (None, None, False)

    def test_set_without_ttl_clears_it(self, memory: Memory) -> None:
        memory.set_many({"a": 1, "b": 1, "c": 1}, ttl=60, sliding=True)
        memory.set("a", 2)
        memory.set_many({"b": 2})
        with memory.batch() as batch:
            batch.set("c", 2)
        for entry in memory.entries():
            assert (entry.ttl, entry.sliding) == (None, False)

    def test_changing_a_part_keeps_the_expiry(self, memory: Memory) -> None:
        memory.set_many({"n": 1, "fixed": 1}, ttl=60)
        memory.append("list", 1, ttl=60, sliding=True)
        memory.merge("o", {"a": 1}, ttl=60)
        memory.set("u", 1, ttl=60, sliding=True)
        before = {entry.key: entry.ttl for entry in memory.entries(values=False)}
        memory.increment("n")
        memory.append("list", *range(2000))
        memory.append("list", 2, max_items=3)
        memory.merge("o", {"b": 1})
        memory.update("u", lambda n: n + 1)
        after = {entry.key: entry for entry in memory.entries(values=False)}
        assert {key: entry.ttl for key, entry in after.items()} == before
        assert [key for key, entry in after.items() if entry.sliding] == ["list", "u"]
        left = {entry.key: entry.expires_in for entry in memory.page(values=False).entries}
        assert left["n"] == pytest.approx(left["fixed"], abs=0.001)

    def test_changing_a_part_with_a_ttl_starts_it_anew(self, memory: Memory) -> None:
        memory.set_many({"n": 1, "list": [1], "o": {}, "u": 1}, ttl=60)
        memory.increment("n", ttl=1000)
        memory.append("list", 2, ttl=1000)
        memory.merge("o", {"b": 1}, ttl=1000)
        memory.update("u", lambda n: n + 1, ttl=1000)
        for entry in memory.entries(values=False):
            assert entry.ttl == 1000
            assert entry.expires_in is not None
            assert entry.expires_in > 60

    def test_a_ttl_without_a_change_starts_the_time_anew(self, memory: Memory) -> None:
        memory.set_many({"n": 1, "list": [1], "o": {"a": 1}}, ttl=60)
        memory.increment("n", 0, ttl=1000)
        memory.append("list", ttl=1000)
        memory.merge("o", {"a": 1}, ttl=1000)
        assert [entry.ttl for entry in memory.entries()] == [1000] * 3

    def test_touch_starts_the_time_anew(self, memory: Memory, elapse: Elapse) -> None:
        memory.set_many({"k": [1], "fixed": 1}, ttl=60)
        elapse(0.05)
        assert memory.touch("k")
        assert _ahead(memory) > 0.049
        assert memory.touch("k", 1000)
        after = memory.ttl("k")
        assert after is not None
        assert after > 900
        assert memory.get("k") == [1]
        assert not memory.touch("missing")
        assert not memory.touch("missing", 5)

    def test_touch_gives_a_ttl_and_leaves_eternal_entries_eternal(self, memory: Memory) -> None:
        memory.set("k", 1)
        assert memory.touch("k")
        assert memory.ttl("k") == math.inf
        assert memory.touch("k", 60)
        assert memory.ttl("k") != math.inf

    def test_persist_lets_an_entry_live_for_ever(self, memory: Memory, elapse: Elapse) -> None:
        memory.set("k", 1, ttl=60, sliding=True)
        assert memory.persist("k")
        entry = memory.entry("k")
        assert entry is not None
        assert (entry.ttl, entry.sliding, entry.value) == (None, False, 1)
        assert memory.persist("k")
        assert not memory.persist("missing")

    def test_expire_ends_a_whole_prefix(self, memory: Memory, elapse: Elapse) -> None:
        memory.set_many({"a:1": 1, "a:2": 2, "b": 3})
        assert memory.expire("a:", SHORT) == 2
        elapse(SHORT + 0.005)
        assert memory.list_keys() == ["b"]
        assert memory.expire("nothing", 5) == 0
        assert memory.expire("", 60) == 1

    def test_touching_changes_neither_value_nor_version(self, memory: Memory) -> None:
        version = memory.set("k", 1, ttl=60)
        memory.touch("k", 90)
        memory.expire("k", 80)
        memory.persist("k")
        entry = memory.entry("k")
        assert entry is not None
        assert (entry.version, entry.value) == (version, 1)

    @pytest.mark.parametrize("act", RENEWING.values(), ids=RENEWING)
    def test_reading_renews_a_sliding_ttl(self, memory: Memory, elapse: Elapse, act: Act) -> None:
        memory.append("k", *range(1000), ttl=60, sliding=True)
        memory.set("fixed", 1, ttl=60)
        before = _ahead(memory)
        elapse(0.05)
        act(memory, "k")
        assert _ahead(memory) - before > 0.049

    @pytest.mark.parametrize("act", NOT_RENEWING.values(), ids=NOT_RENEWING)
    def test_looking_does_not_renew(self, memory: Memory, elapse: Elapse, act: Act) -> None:
        memory.append("k", *range(1000), ttl=60, sliding=True)
        memory.set("fixed", 1, ttl=60)
        before = _ahead(memory)
        elapse(0.01)
        act(memory, "k")
        assert _ahead(memory) == pytest.approx(before, abs=0.001)

    def test_a_batch_that_fails_renews_nothing(self, memory: Memory, elapse: Elapse) -> None:
        memory.append("k", *range(1000), ttl=60, sliding=True)
        memory.set("fixed", 1, ttl=60)
        before = _ahead(memory)
        elapse(0.01)
        space = memory.namespace
        parts = operations.Get(space, "k"), operations.Expect(space, "k", 99)
        with pytest.raises(Conflict):
            memory.run(operations.Batch(space, parts))
        assert _ahead(memory) == pytest.approx(before, abs=0.001)

    def test_a_sliding_entry_dies_of_not_being_read(self, memory: Memory, elapse: Elapse) -> None:
        memory.set("k", 1, ttl=0.5, sliding=True)
        for _ in range(4):
            elapse(0.2)
            assert memory.get("k") == 1
        elapse(0.51)
        assert memory.get("k") is None

    def test_renewing_is_neither_a_write_nor_a_version(self, memory: Memory) -> None:
        memory.set("k", 1, ttl=60, sliding=True)
        with unchanged(memory):
            for _ in range(3):
                memory.get("k")

    @pytest.mark.parametrize("ttl", NO_TTL, ids=range(len(NO_TTL)))
    def test_what_is_no_ttl_is_refused(self, memory: Memory, ttl: Any) -> None:
        memory.set("k", 1)
        with unchanged(memory):
            for attempt in (
                lambda: memory.set("k", 2, ttl=ttl),
                lambda: memory.set_many({"k": 2}, ttl=ttl),
                lambda: memory.append("list", 2, ttl=ttl),
                lambda: memory.increment("k", 2, ttl=ttl),
                lambda: memory.merge("k", {}, ttl=ttl),
                lambda: memory.touch("k", ttl),
                lambda: memory.expire("k", ttl),
                lambda: memory.update("k", lambda n: n, ttl=ttl),
            ):
                with pytest.raises(InvalidRequest, match="ttl must be a number of seconds"):
                    attempt()

    def test_sliding_without_a_ttl_is_refused(self, memory: Memory) -> None:
        with unchanged(memory):
            for attempt in (
                lambda: memory.set("k", 1, sliding=True),
                lambda: memory.set_many({"k": 1}, sliding=True),
                lambda: memory.append("k", 1, sliding=True),
                lambda: memory.update("k", lambda _: 1, sliding=True),
            ):
                with pytest.raises(InvalidRequest, match="sliding needs a ttl"):
                    attempt()
            for sliding in ("", None, 0, "yes", 1.0):
                with pytest.raises(InvalidRequest, match="sliding must be True or False"):
                    memory.set("k", 1, sliding=sliding)  # type: ignore[arg-type]

    def test_a_key_that_expired_begins_anew(self, memory: Memory, elapse: Elapse) -> None:
        expired(memory, elapse, "k", value={"old": 1})
        memory.merge("k", {"new": 1})
        entry = memory.entry("k")
        assert entry is not None
        assert entry.value == {"new": 1}
        assert entry.ttl is None
        assert entry.created_at == entry.updated_at
