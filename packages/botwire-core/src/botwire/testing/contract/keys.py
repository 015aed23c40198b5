"""Keys and namespaces are any text; listing is complete, in code-point order, by plain prefix."""

from typing import Any

import pytest

from botwire.errors import InvalidKey, InvalidRequest
from botwire.memory import Memory
from botwire.testing.contract.kit import Capabilities, require, unchanged

__all__ = ["BAD_NAMES", "KEYS", "Keys", "Mapping"]

KEYS = [
    *("a", "A", "Z", "z", "0", "00", "user:123:preferences", "keys", "null", "v1", "__proto__"),
    *("/", "//", "a/b", "a//b", ".", "..", "../..", "./a", "a/../b", "a/", "entries", "memory"),
    *("%", "%2F", "%00", "100%", "_", "*", "?", "?a=b", "#", "#a", "&", "+", "a+b", "=", "~", "@"),
    *("a b", " ", " a", "a ", "\t", "\n", "a\nb", "\r\n", "\x01", "\x7f", "\x85", "\u2028"),
    *("é", "e\u0301", "É", "ß", "日本語", "مرحبا", "\u202e", "🦆", "👩‍👩‍👧", "\ufffd", "\uffff"),
    *("\ufeff", "\U00010000", "\U0010ffff", "'", '"', "\\", "`", "a'--", "{}", "[]"),
    *("x" * 512, "é" * 256, "🦆" * 128),
]

BAD_NAMES: dict[str, Any] = {
    "empty": "",
    "NUL": "a\0b",
    "513 bytes": "x" * 513,
    "513 bytes of two": "é" * 256 + "x",
    "lone surrogate": "a\ud800",
    "pair of surrogates": "\ud83d\ude00",
    "number": 5,
    "bytes": b"a",
    "none": None,
    "list": ["a"],
}


class Keys:
    def test_any_text_is_a_key(self, memory: Memory) -> None:
        for key in KEYS:
            memory.set(key, [key])
            assert memory.get(key) == [key]
            assert memory.exists(key)
            assert memory.list_keys() == memory.list_keys(key) == [key]
            assert memory.get_many([key]) == {key: [key]}
            entry = memory.entry(key)
            assert entry is not None
            assert entry.key == key
            assert memory.append(key, 1) == 2
            assert memory.delete(key)
            assert not memory.exists(key)

    def test_keys_that_look_alike_are_different_keys(self, memory: Memory) -> None:
        memory.set_many({key: key for key in KEYS})
        assert memory.list_keys() == sorted(KEYS)
        assert dict(memory.items()) == {key: key for key in KEYS}

    def test_any_text_is_a_namespace(self, memory: Memory) -> None:
        memory.set("k", "outside")
        for namespace in KEYS:
            named = memory.namespaced(namespace)
            named.set("k", "inside")
            assert named.get("k") == "inside"
            assert named.usage().namespace == namespace
            assert named.clear() == 1
        assert memory.get("k") == "outside"

    @pytest.mark.parametrize("name", BAD_NAMES.values(), ids=BAD_NAMES)
    def test_a_key_or_namespace_that_cannot_be_one_is_refused(
        self, memory: Memory, name: Any
    ) -> None:
        with unchanged(memory):
            for attempt in (
                lambda: memory.get(name),
                lambda: memory.set(name, 1),
                lambda: memory.delete(name),
                lambda: memory.append(name, 1),
                lambda: memory.get_many(["a", name]),
                lambda: memory.set_many({"a": 1, name: 1} if name != ["a"] else {5: 1}),  # type: ignore[dict-item]
                lambda: memory.delete_many(["a", name]),
                lambda: memory.namespaced(name),
            ):
                with pytest.raises(InvalidKey):
                    attempt()

    def test_many_keys_given_as_one_text_are_refused(self, memory: Memory) -> None:
        memory.set("a", 1)
        with unchanged(memory):
            for attempt in (lambda: memory.get_many("abc"), lambda: memory.delete_many("abc")):
                with pytest.raises(InvalidRequest):
                    attempt()

    def test_listing_is_in_code_point_order(self, memory: Memory) -> None:
        keys = ["\uffff", "\U00010000", "a", "B", "é", "z", "\ue000", "\ud7ff", "aa", "a\x01", "Z"]
        for key in keys:
            memory.set(key, 1)
        assert memory.list_keys() == sorted(keys)
        assert [key for key, _ in memory.items()] == sorted(keys)
        assert [e.key for e in memory.entries(reverse=True)] == sorted(keys, reverse=True)

    @pytest.mark.parametrize(
        "prefix",
        ["%", "_", "*", "a", "A", "a%", "a_", "a*", "a?", "[", ".", "a/", "\ud7ff", "\U0010ffff"],
    )
    def test_a_prefix_is_not_a_pattern(self, memory: Memory, prefix: str) -> None:
        keys = [
            *("a", "A", "ab", "a%", "a%b", "a_b", "a*b", "axb", "a?", "a/b", "a/", "%a", "_a"),
            *("*", "[ab]", ".", "b", "\ud7ff", "\ud7ffa", "\ue000", "\U0010ffff", "\U0010ffff!"),
        ]
        memory.set_many(dict.fromkeys(keys, 1))
        found = sorted(key for key in keys if key.startswith(prefix))
        assert memory.list_keys(prefix) == found
        assert [key for key, _ in memory.items(prefix)] == found
        assert [e.key for e in memory.entries(prefix, reverse=True)] == found[::-1]
        assert memory.clear(prefix) == len(found)
        assert memory.list_keys() == sorted(set(keys) - set(found))

    def test_a_listing_is_complete(self, memory: Memory) -> None:
        keys = [f"k{number:05}" for number in range(2345)]
        memory.set_many(dict.fromkeys(keys, "v"))
        assert memory.list_keys() == keys
        assert [key for key, _ in memory.items("k0")] == keys
        assert [e.key for e in memory.entries(values=False)] == keys
        assert memory.clear() == len(keys)
        assert memory.list_keys() == []


class Mapping:
    def test_a_memory_is_a_mapping(self, memory: Memory, capabilities: Capabilities) -> None:
        require(capabilities, "mapping")
        memory["b"] = 2
        memory["a"] = None
        assert memory["b"] == 2
        assert memory["a"] is None
        assert "a" in memory
        assert "c" not in memory
        assert 5 not in memory
        assert len(memory) == 2
        assert list(memory) == ["a", "b"]
        assert list(memory.keys()) == ["a", "b"]
        assert list(memory.values()) == [None, 2]
        assert dict(memory) == {"a": None, "b": 2}
        del memory["a"]
        assert dict(memory.items()) == {"b": 2}

    def test_a_missing_key_is_a_key_error(self, memory: Memory, capabilities: Capabilities) -> None:
        require(capabilities, "mapping")
        with pytest.raises(KeyError, match="there is no key 'x'"):
            memory["x"]
        with pytest.raises(KeyError, match="there is no key 'x'"):
            del memory["x"]

    def test_an_empty_memory_is_true(self, memory: Memory) -> None:
        assert bool(memory)
