"""Which key holds what.

    i/<label>/<label>//<key>   an item: {"value": ...} (tagged where JSON has no words: `plain.py`)
    e/<label>/<label>//<key>   its embeddings, apart from it because most searches need none

The empty part between the labels and the key ends the namespace, so that everything under the
labels ("a",) is one prefix, `i/a/`, in which ("ab",) never lies.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langgraph.store.base import Item, SearchItem

from botwire.operations import Entry
from botwire_langchain.names import escaped, text
from botwire_langchain.plain import untag

__all__ = ["Name", "item_of", "prefix", "search_item_of", "value_of"]

ITEM, EMBEDDING = "i/", "e/"


def prefix(namespace: tuple[str, ...], kind: str = ITEM) -> str:
    """Under which everything in a namespace and below it lies."""
    return kind + "".join(escaped(label) + "/" for label in namespace)


@dataclass(frozen=True, slots=True)
class Name:
    """An item's namespace and key."""

    namespace: tuple[str, ...]
    key: str

    @property
    def item(self) -> str:
        return f"{prefix(self.namespace)}/{escaped(self.key)}"

    @property
    def embedding(self) -> str:
        return f"{prefix(self.namespace, EMBEDDING)}/{escaped(self.key)}"

    @classmethod
    def of(cls, entry_key: str) -> "Name":
        labels, _, key = entry_key.partition("//")
        return cls(tuple(map(text, labels.split("/")[1:])), text(key))


def value_of(entry: Entry) -> dict[str, Any]:
    stored: Mapping[str, Any] = entry.value
    return untag(stored["$value"]) if "$value" in stored else stored["value"]


def item_of(entry: Entry) -> Item:
    name = Name.of(entry.key)
    return Item(
        value=value_of(entry),
        key=name.key,
        namespace=name.namespace,
        created_at=entry.created_at,
        updated_at=entry.updated_at,
    )


def search_item_of(entry: Entry, score: float | None = None) -> SearchItem:
    name = Name.of(entry.key)
    return SearchItem(
        name.namespace, name.key, value_of(entry), entry.created_at, entry.updated_at, score
    )
