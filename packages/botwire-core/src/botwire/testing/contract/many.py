"""Many keys in one round trip, pages, and batches that happen all or not at all."""

from collections.abc import Callable
from typing import Any

import pytest

from botwire import operations
from botwire.errors import BotWireError, Conflict, InvalidKey, InvalidRequest, InvalidValue
from botwire.jsontext import encode
from botwire.memory import Memory
from botwire.operations import MISSING, Entry
from botwire.testing.contract.kit import Elapse, expired, unchanged

__all__ = ["Many"]


class ManyKeys:
    def test_get_many_gives_what_exists_in_the_order_asked(self, memory: Memory) -> None:
        memory.set_many({"a": 1, "b": None, "c": [3]})
        found = memory.get_many(["c", "x", "b", "c", "a"])
        assert list(found.items()) == [("c", [3]), ("b", None), ("a", 1)]
        assert memory.get_many([]) == {}
        assert memory.get_many(key for key in "ab") == {"a": 1, "b": None}

    def test_set_many_writes_all_and_tells_their_versions(self, memory: Memory) -> None:
        versions = memory.set_many({"b": 1, "a": 2}, ttl=60, sliding=True)
        assert versions == {entry.key: entry.version for entry in memory.entries()}
        assert [(e.key, e.value, e.ttl, e.sliding) for e in memory.entries()] == [
            ("a", 2, 60, True),
            ("b", 1, 60, True),
        ]
        assert memory.set_many({}) == {}

    def test_set_many_writes_all_or_none(self, memory: Memory) -> None:
        memory.set("a", 0)
        with unchanged(memory):
            with pytest.raises(InvalidKey):
                memory.set_many({"a": 1, "": 2})
            with pytest.raises(InvalidValue):
                memory.set_many({"a": 1, "b": {1}})

    def test_delete_many_tells_how_many_there_were(self, memory: Memory) -> None:
        memory.set_many({"a": 1, "b": [2] * 3000, "c": 3})
        assert memory.delete_many(["a", "x", "b", "a"]) == 2
        assert memory.list_keys() == ["c"]
        assert memory.delete_many([]) == 0

    def test_clear_deletes_a_subtree(self, memory: Memory) -> None:
        memory.set_many({"user:1:a": 1, "user:1:b": 1, "user:10": 1, "user": 1})
        assert memory.clear("user:1:") == 2
        assert memory.list_keys() == ["user", "user:10"]
        assert memory.clear("nothing") == 0
        assert memory.clear() == 2
        assert memory.usage().entries == 0


class Paging:
    @pytest.mark.parametrize("reverse", [False, True])
    @pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
    def test_pages_are_complete_and_in_order(
        self, memory: Memory, limit: int, reverse: bool
    ) -> None:
        keys = ["k", "k1", "k2", "k\uffff", "k🦆", "l", "m"]
        memory.set_many({key: key for key in ["a", *keys, "🦆"]})
        for prefix in ("", "k", "k1", "x"):
            wanted = sorted(
                (k for k in ["a", *keys, "🦆"] if k.startswith(prefix)), reverse=reverse
            )
            found: list[str] = []
            cursor: str | None = None
            while True:
                page = memory.page(prefix, after=cursor, limit=limit, reverse=reverse)
                assert len(page.entries) <= limit
                assert all(entry.value == entry.key for entry in page.entries)
                found += [entry.key for entry in page.entries]
                cursor = page.cursor
                if cursor is None:
                    break
            assert found == wanted

    def test_a_page_continues_behind_any_key(self, memory: Memory) -> None:
        memory.set_many(dict.fromkeys(["b", "d", "f"], 1))

        def keys(**options: Any) -> list[str]:
            return [entry.key for entry in memory.page(**options).entries]

        assert keys(after="c") == ["d", "f"]
        assert keys(after="d") == ["f"]
        assert keys(after="") == ["b", "d", "f"]
        assert keys(after="z") == []
        assert keys(after="c", reverse=True) == ["b"]
        assert keys(after="d", reverse=True) == ["b"]
        assert keys(after="a", reverse=True) == []
        assert keys(prefix="d", after="a") == ["d"]
        assert keys(prefix="d", after="z", reverse=True) == ["d"]

    def test_a_page_holds_at_most_1000_entries(self, memory: Memory) -> None:
        memory.set_many({f"{number:04}": 0 for number in range(1001)})
        page = memory.page(limit=5000)
        assert len(page.entries) == 1000
        assert page.cursor is not None
        assert [e.key for e in memory.page(after=page.cursor).entries] == ["1000"]

    def test_a_page_holds_about_4_mb_and_at_least_one_entry(self, memory: Memory) -> None:
        memory.set_many({"a": "x" * 5_000_000, "b": "x" * 3_000_000, "c": "x" * 3_000_000})
        found = [len(memory.page(after=after).entries) for after in (None, "a", "b")]
        assert found == [1, 1, 1]
        assert [key for key, _ in memory.items()] == ["a", "b", "c"]
        assert len(memory.page(values=False).entries) == 3

    def test_a_page_without_values_has_everything_else(self, memory: Memory) -> None:
        memory.set("k", "é", ttl=60)
        (bare,) = memory.page(values=False).entries
        (full,) = memory.page().entries
        assert (bare.value, full.value) == (None, "é")
        assert (bare.key, bare.version, bare.bytes, bare.ttl) == ("k", full.version, 4, 60)
        assert bare.updated_at == full.updated_at

    def test_a_page_of_what_is_newer_than_a_version(self, memory: Memory) -> None:
        memory.set_many({"a": 1, "b": 1, "c": 1})
        seen = memory.usage().version
        assert memory.page(newer_than=seen).entries == []
        memory.set("b", 2)
        memory.set("d", 1)
        memory.delete("a")
        assert [entry.key for entry in memory.page(newer_than=seen).entries] == ["b", "d"]
        assert [entry.key for entry in memory.page(newer_than=seen, limit=1).entries] == ["b"]

    def test_what_is_no_page_is_refused(self, memory: Memory) -> None:
        bad: list[dict[str, Any]] = [
            *({"limit": limit} for limit in (0, -1, 1.5, "1", True)),
            *({"newer_than": version} for version in (-1, 1.5, "1")),
            *({"reverse": "yes"}, {"values": 1}, {"after": 5}, {"prefix": 5}, {"prefix": "a\0"}),
        ]
        for options in bad:
            with pytest.raises(InvalidRequest):
                memory.page(**options)


class Linking:
    def test_a_page_comes_with_the_entries_its_values_name(self, memory: Memory) -> None:
        parts = {"part 1": [1.5, "é"], "part 2": {"links": ["part 3"]}, "part 3": 3, "part 4": 4}
        memory.set_many(parts)
        memory.append("list", *["x" * 300] * 40)
        memory.set("doc 1", {"links": ["part 2", "gone", "part 1", "part 2", "list"], "n": 10**400})
        memory.set("doc 2", {"links": ["part 1", 5, None, ["part 4"]]})
        memory.set_many({"doc 3": ["part 4"], "doc 4": {"links": "part 4"}, "doc 5": "links"})
        expired = memory.set_many({"part 5": 5}, ttl=60)
        page, linked = memory.run(operations.Linked(memory.namespace, "doc "))
        assert [(e.key, e.value) for e in page.entries] == list(memory.items("doc "))
        assert list(linked) == ["part 2", "part 1", "list"]
        assert {key: e.value for key, e in linked.items()} == memory.get_many(list(linked))
        assert all(entry == memory.entry(key) for key, entry in linked.items())
        memory.set("doc 2", {"links": list(expired)})
        (newest,), links = _page(memory, "doc ", after="doc 3", limit=1, reverse=True)
        assert (newest.key, list(links), links["part 5"].ttl) == ("doc 2", ["part 5"], 60)

    def test_what_is_linked_and_expired_is_not_there(self, memory: Memory, elapse: Elapse) -> None:
        memory.set("doc", {"links": ["part", "other"]})
        memory.set("other", 1)
        expired(memory, elapse, "part")
        assert list(_page(memory, "doc")[1]) == ["other"]

    def test_pages_with_links_are_complete_and_in_order(self, memory: Memory) -> None:
        memory.set_many({f"doc {n}": {"links": [f"part {n}"]} for n in range(7)})
        memory.set_many({f"part {n}": n for n in range(7)})
        found: list[tuple[str, list[str]]] = []
        cursor: str | None = None
        while True:
            page, linked = memory.run(
                operations.Linked(memory.namespace, "doc ", after=cursor, limit=3)
            )
            found += [(entry.key, entry.value["links"]) for entry in page.entries]
            assert list(linked) == [key for e in page.entries for key in e.value["links"]]
            cursor = page.cursor
            if cursor is None:
                break
        assert found == [(f"doc {n}", [f"part {n}"]) for n in range(7)]

    def test_links_in_a_batch_see_what_was_written_before_them(self, memory: Memory) -> None:
        name = memory.namespace
        _, _, (page, linked) = memory.run(
            operations.Batch(
                name,
                (
                    operations.Set(name, "doc", encode({"links": ["part"]})),
                    operations.Append(name, "part", (encode("x" * 900),) * 9),
                    operations.Linked(name, "doc"),
                ),
            )
        )
        assert [entry.key for entry in page.entries] == ["doc"]
        assert linked["part"].value == ["x" * 900] * 9

    def test_what_is_no_page_with_links_is_refused(self, memory: Memory) -> None:
        bad: list[dict[str, Any]] = [{"limit": 0}, {"reverse": 1}, {"after": 5}, {"prefix": "a\0"}]
        for options in bad:
            with pytest.raises(InvalidRequest):
                operations.Linked(memory.namespace, **options)


def _page(memory: Memory, prefix: str, **options: Any) -> tuple[list[Entry], dict[str, Entry]]:
    page, linked = memory.run(operations.Linked(memory.namespace, prefix, **options))
    return page.entries, linked


FAILING: dict[str, Callable[[Any], None]] = {
    "condition": lambda batch: batch.set("z", 1, if_version=99),
    "condition on what the batch wrote": lambda batch: batch.set("new", 1, if_version=0),
    "type": lambda batch: batch.increment("list"),
    "append to a number": lambda batch: batch.append("n", 1),
}


class Batching:
    def test_a_batch_gives_its_results_in_order(self, memory: Memory) -> None:
        memory.set("old", "value")
        with memory.batch() as batch:
            batch.set("a", 1)
            batch.get("a")
            batch.increment("a", 2)
            batch.append("list", "x", "y")
            batch.tail("list", 1)
            batch.merge("o", {"a": 1})
            batch.exists("o")
            batch.get("missing")
            batch.entry("a")
            batch.pop("old")
            batch.delete("old")
            batch.touch("a", 60)
            batch.persist("a")
            batch.expire("l", 60)
            batch.clear("o")
        results = batch.results
        entry = results.pop(8)
        assert (entry.key, entry.value) == ("a", 3)
        assert isinstance(results.pop(5), int)
        assert isinstance(results.pop(0), int)
        assert results == [1, 3, 2, ["y"], True, None, "value", False, True, True, 1, 1]
        assert dict(memory.items()) == {"a": 3, "list": ["x", "y"]}

    @pytest.mark.parametrize("fail", FAILING.values(), ids=FAILING)
    def test_a_batch_that_fails_late_changes_nothing(
        self, memory: Memory, fail: Callable[[Any], None]
    ) -> None:
        memory.append("list", *(["x" * 300] * 40))
        memory.set_many({"n": 1, "o": {"a": 1}, "k": 1})
        batch = memory.batch()
        batch.set("new", "x")
        batch.append("list", *(["y" * 300] * 40), max_items=50)
        batch.increment("n")
        batch.merge("o", {"b": 1})
        batch.delete("k")
        batch.pop("o")
        batch.expire("", 60)
        batch.append("fresh", *(["y" * 300] * 40))
        batch.clear("l")
        batch.append("list", "z")
        fail(batch)
        with unchanged(memory), pytest.raises(BotWireError), batch:
            pass
        assert memory.ttl("n") == float("inf")
        memory.append("list", "end")
        assert memory.get("list") == [*(["x" * 300] * 40), "end"]

    def test_a_batch_may_depend_on_a_key_it_does_not_change(self, memory: Memory) -> None:
        version = memory.set("owner", "me")
        with memory.batch() as batch:
            batch.expect("owner", version)
            batch.expect("rival", 0)
            batch.set("work", 1)
        assert batch.results[:2] == [version, 0]
        memory.set("owner", "somebody else")
        batch = memory.batch()
        batch.set("work", 2)
        batch.expect("owner", version)
        with pytest.raises(Conflict) as lost, batch:
            pass
        assert lost.value.current_value == "somebody else"
        assert memory.get("work") == 1

    def test_a_block_that_raises_sends_nothing(self, memory: Memory) -> None:
        batch = memory.batch()
        batch.set("k", 1)
        with unchanged(memory), pytest.raises(ZeroDivisionError), batch:
            raise ZeroDivisionError

    def test_an_empty_batch_does_nothing(self, memory: Memory) -> None:
        with unchanged(memory), memory.batch() as batch:
            pass
        assert batch.results == []

    def test_operations_of_a_batch_see_those_before_them(self, memory: Memory) -> None:
        name = memory.namespace
        items = [f"{number}".rjust(60) for number in range(100)]
        texts = tuple(map(encode, items))
        results = memory.run(
            operations.Batch(
                name,
                (
                    operations.Append(name, "list", texts),
                    operations.Scan(name, "l"),
                    operations.Append(name, "list", texts, max_items=150),
                    operations.Tail(name, "list", 101),
                    operations.Get(name, "list"),
                    operations.Usage(name),
                    operations.Clear(name),
                    operations.Get(name, "list"),
                    operations.Scan(name),
                    operations.Append(name, "list", texts[:1]),
                    operations.SetMany(name, {"a": encode(1), "b": encode(2)}),
                    operations.GetMany(name, ("b", "list", "x")),
                    operations.DeleteMany(name, ("a", "x")),
                    operations.Scan(name, reverse=True),
                    operations.Usage(name),
                ),
            )
        )
        assert [entry.value for entry in results[1].entries] == [items]
        assert results[2] == 150
        assert results[3] == (items + items)[-101:]
        assert results[4] == (items + items)[-150:]
        assert results[5].bytes == len(encode(results[4])) + len("list")
        assert results[6] == 1
        assert results[7] is MISSING
        assert results[8].entries == []
        assert results[9] == 1
        assert results[11] == {"b": 2, "list": items[:1]}
        assert results[12] == 1
        assert [entry.key for entry in results[13].entries] == ["list", "b"]
        assert (results[14].entries, results[14].bytes) == (2, len(items[0]) + 4 + 4 + 2)
        assert memory.get("list") == items[:1]

    def test_a_batch_of_reads_agrees_with_itself(self, memory: Memory) -> None:
        memory.append("list", *range(3000))
        name = memory.namespace
        get, tail, scan = memory.run(
            operations.Batch(
                name,
                (
                    operations.Get(name, "list"),
                    operations.Tail(name, "list", 2),
                    operations.Scan(name),
                ),
            )
        )
        assert get[-2:] == tail == scan.entries[0].value[-2:]

    def test_a_batch_works_on_one_namespace(self, memory: Memory) -> None:
        other = memory.namespace[:100] + "!"
        with unchanged(memory), pytest.raises(InvalidRequest, match="one namespace"):
            memory.run(operations.Batch(memory.namespace, (operations.Get(other, "k"),)))

    def test_a_lost_race_in_a_batch_tells_what_won(self, memory: Memory) -> None:
        version = memory.set("k", "theirs")
        batch = memory.batch()
        batch.set("x", 1)
        batch.set("k", "mine", if_version=0)
        with pytest.raises(Conflict) as lost, batch:
            pass
        assert (lost.value.key, lost.value.current_version) == ("k", version)
        assert lost.value.current_value == "theirs"
        assert not memory.exists("x")

    def test_a_large_batch_happens_as_one(self, memory: Memory) -> None:
        with memory.batch() as batch:
            for number in range(1500):
                batch.set(f"k{number:04}", number)
                batch.increment("sum", number)
        assert batch.results[-1] == sum(range(1500))
        assert len(memory.list_keys("k")) == 1500


class Many(ManyKeys, Paging, Linking, Batching):
    pass
