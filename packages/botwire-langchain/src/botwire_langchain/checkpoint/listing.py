"""Flows that list checkpoints, newest first: first which ones, then their values in portions."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from langgraph.checkpoint.base import CheckpointTuple

from botwire.operations import Batch, Entry, Scan
from botwire_langchain.checkpoint.codec import Codec
from botwire_langchain.checkpoint.document import Document
from botwire_langchain.checkpoint.guard import Guard
from botwire_langchain.checkpoint.layout import Place, guard_key
from botwire_langchain.checkpoint.reading import documents, entries_of, keys
from botwire_langchain.faces import Flow
from botwire_langchain.names import path

__all__ = ["Wanted", "loaded", "of_everything", "of_namespace", "of_thread"]

PAGE = 1000


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which checkpoints a listing is to have.

    Attributes:
        id: only this one.
        before: only those before this one.
        metadata: only those whose metadata has these members.
        limit: at most so many.
    """

    codec: Codec
    id: str | None
    before: str | None
    metadata: Mapping[str, Any]
    limit: int | None

    def chosen(self, found: Sequence[Document]) -> list[Document]:
        """Of these, those that are wanted."""
        return list(islice(filter(self._has, found), self.limit))

    def _has(self, document: Document) -> bool:
        if self.id not in (None, document.id):
            return False
        if self.before is not None and document.id >= self.before:
            return False
        known: Mapping[str, Any] = document.load_metadata(self.codec) if self.metadata else {}
        return all(known.get(name) == value for name, value in self.metadata.items())


def of_namespace(guard: Guard, place: Place, wanted: Wanted) -> Flow[list[Document]]:
    """Those of one checkpoint namespace; reads no further back than it must."""
    prefix = place.checkpoint(wanted.id) if wanted.id else place.prefix("c")
    end = place.checkpoint(wanted.before) if wanted.before else None
    size = PAGE if wanted.metadata or wanted.limit is None else min(wanted.limit, PAGE)
    scan: Scan | None = Scan(guard.namespace, prefix, end, size, reverse=True)
    *results, page = yield Batch(guard.namespace, (*guard.reading(place.thread), scan))
    if not guard.alive(place.thread, results):
        return []
    chosen: list[Document] = []
    while True:
        chosen += wanted.chosen(_read(page.entries))
        scan = scan.after_cursor(page.cursor)
        if scan is None or (wanted.limit is not None and len(chosen) >= wanted.limit):
            return chosen[: wanted.limit]
        page = yield scan


def of_thread(guard: Guard, thread: str, wanted: Wanted) -> Flow[list[Document]]:
    """Those of all namespaces of a thread."""
    results = yield Batch(guard.namespace, tuple(guard.reading(thread)))
    if not guard.alive(thread, results):
        return []
    found = yield from documents(guard.namespace, path("c", thread))
    return wanted.chosen(_sorted(found))


def of_everything(guard: Guard, wanted: Wanted) -> Flow[list[Document]]:
    """Those of all threads."""
    found = yield from documents(guard.namespace, "c/")
    if guard.ttl is not None:
        alive = set((yield from keys(guard.namespace, "t/")))
        found = [document for document in found if guard_key(document.place.thread) in alive]
    return wanted.chosen(_sorted(found))


def _read(entries: Sequence[Entry]) -> list[Document]:
    return [Document.read(entry.value) for entry in entries]


def _sorted(found: Sequence[Document]) -> list[Document]:
    return sorted(found, key=lambda document: document.id, reverse=True)


def loaded(namespace: str, found: Sequence[Document], codec: Codec) -> Flow[list[CheckpointTuple]]:
    """These checkpoints whole, but for those that were deleted meanwhile."""
    wanted = dict.fromkeys(key for document in found for key in document.links)
    entries = yield from entries_of(namespace, wanted)
    return list(_complete(found, entries, codec))


def _complete(
    found: Sequence[Document], entries: Mapping[str, Entry], codec: Codec
) -> Iterator[CheckpointTuple]:
    for document in found:
        if document.value_keys <= entries.keys():
            yield document.load(entries, codec).tuple
