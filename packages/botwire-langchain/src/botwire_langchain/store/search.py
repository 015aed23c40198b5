"""Reading: each class is one operation of LangGraph's: what to read for it, and what that means.

Everything under a prefix is read, and chosen from here. The order is total, so that paging by
offset finds each item once: by nearness if that is asked for, then the most recently changed first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, TypeVar

from langgraph.store.base import GetOp, Item, ListNamespacesOp, SearchItem, SearchOp

from botwire.operations import Batch, Entry, Operation, Page, Read, Scan
from botwire_langchain.faces import Flow
from botwire_langchain.store.filters import matches, under
from botwire_langchain.store.layout import (
    EMBEDDING,
    Name,
    item_of,
    prefix,
    search_item_of,
    value_of,
)
from botwire_langchain.store.vectors import nearness, read_vectors

__all__ = ["Getting", "Listing", "Reading", "Searching", "all_under"]

T = TypeVar("T")
Hit = tuple[float | None, Entry]


def all_under(scan: Scan, page: Page) -> Flow[list[Entry]]:
    """The entries of a first page and of all that follow."""
    found, following = page.entries, scan.after_cursor(page.cursor)
    while following is not None:
        page = yield following
        found, following = found + page.entries, scan.after_cursor(page.cursor)
    return found


def newest_first(entries: Sequence[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda entry: entry.version, reverse=True)


@dataclass(slots=True)
class Getting:
    """GetOp: the item, or None."""

    namespace: str
    op: GetOp
    read: list[Entry] = field(default_factory=list[Entry])  # whose ttl begins anew

    @property
    def refreshes(self) -> bool:
        return self.op.refresh_ttl

    def operations(self) -> list[Operation]:
        return [Read(self.namespace, Name(self.op.namespace, str(self.op.key)).item)]

    def answer(self, results: Sequence[Any]) -> Flow[Item | None]:
        entry: Entry | None = results[0]
        if entry is None:
            return None
        self.read = [entry]
        return item_of(entry)
        yield  # a flow that needs nothing more


@dataclass(slots=True)
class Searching:
    """SearchOp: the items that meet its filter, the nearest first if there is a `vector`."""

    namespace: str
    op: SearchOp
    vector: Sequence[float] | None = None
    read: list[Entry] = field(default_factory=list[Entry])

    def __post_init__(self) -> None:
        if self.op.limit < 0 or self.op.offset < 0:
            raise ValueError("limit and offset must not be negative")

    @property
    def refreshes(self) -> bool:
        return self.op.refresh_ttl

    def operations(self) -> list[Operation]:
        wanted = self.op.namespace_prefix
        scans: list[Operation] = [Scan(self.namespace, prefix(wanted))]
        if self.vector is not None:
            scans.append(Scan(self.namespace, prefix(wanted, EMBEDDING)))
        return scans

    def answer(self, results: Sequence[Any]) -> Flow[list[SearchItem]]:
        page: Page = results[0]
        if page.cursor is not None and not self.op.filter and self.vector is None:
            hits = yield from self._newest_of_many(page)
        else:
            hits = yield from self._best(page, results[1:])
        self.read = [entry for _, entry in hits]
        return [search_item_of(entry, score) for score, entry in hits]

    def _newest_of_many(self, page: Page) -> Flow[list[Hit]]:
        """Where there are more than a page holds: look at all, but read only what is asked for."""
        glance = Scan(self.namespace, prefix(self.op.namespace_prefix), values=False)
        entries = self._slice(newest_first((yield from all_under(glance, page))))
        known = {entry.key: entry for entry in page.entries}
        missing = tuple(
            Read(self.namespace, entry.key) for entry in entries if entry.key not in known
        )
        found: list[Entry | None] = (yield Batch(self.namespace, missing)) if missing else []
        known |= {entry.key: entry for entry in found if entry is not None}
        return [(None, known[entry.key]) for entry in entries if entry.key in known]

    def _best(self, page: Page, vectors: Sequence[Page]) -> Flow[list[Hit]]:
        scan = Scan(self.namespace, prefix(self.op.namespace_prefix))
        entries = yield from all_under(scan, page)
        wanted = self.op.filter or {}
        kept = newest_first([entry for entry in entries if matches(value_of(entry), wanted)])
        if self.vector is None:
            return [(None, entry) for entry in self._slice(kept)]
        scan = Scan(self.namespace, prefix(self.op.namespace_prefix, EMBEDDING))
        embedded = yield from all_under(scan, vectors[0])
        texts = {entry.key: entry.value for entry in embedded}
        scored = [(self._score(texts, entry), entry) for entry in kept]
        # Items without an embedding come last; sorting keeps the newest first among equals.
        scored.sort(key=lambda hit: -2.0 if hit[0] is None else hit[0], reverse=True)
        return self._slice(scored)

    def _score(self, texts: Mapping[str, list[str]], entry: Entry) -> float | None:
        vectors = read_vectors(texts.get(Name.of(entry.key).embedding, []))
        return nearness(self.vector or [], vectors)

    def _slice(self, found: list[T]) -> list[T]:
        return found[self.op.offset :][: self.op.limit]


@dataclass(slots=True)
class Listing:
    """ListNamespacesOp: the namespaces that hold items."""

    namespace: str
    op: ListNamespacesOp
    read: tuple[Entry, ...] = ()
    refreshes: bool = False  # looking at names is not reading

    def operations(self) -> list[Operation]:
        return [self._scan()]

    def _scan(self) -> Scan:
        return Scan(self.namespace, prefix(self._known_start()), values=False)

    def _known_start(self) -> tuple[str, ...]:
        """The labels that every namespace that matches begins with, as far as they are known."""
        for condition in self.op.match_conditions or ():
            if condition.match_type == "prefix":
                return tuple(takewhile(lambda label: label != "*", condition.path))
        return ()

    def answer(self, results: Sequence[Any]) -> Flow[list[tuple[str, ...]]]:
        entries = yield from all_under(self._scan(), results[0])
        names = {Name.of(entry.key).namespace for entry in entries}
        found = {name for name in names if under(name, self.op.match_conditions or ())}
        cut = sorted({name[: self.op.max_depth] for name in found})
        return cut[self.op.offset :][: self.op.limit]


Reading = Getting | Searching | Listing
