"""Flows that read checkpoints."""

from collections.abc import Iterable, Sequence
from typing import Any

from botwire.operations import Batch, Entry, Operation, Read, Scan
from botwire_langchain.checkpoint.codec import Codec
from botwire_langchain.checkpoint.document import Document, Loaded
from botwire_langchain.checkpoint.layout import Place
from botwire_langchain.faces import Flow

__all__ = ["documents", "find", "keys", "linked", "whole"]


def find(
    namespace: str, place: Place, checkpoint_id: str | None, before: Sequence[Operation]
) -> Flow[tuple[Sequence[Any], Document | None]]:
    """The results of `before`, and the document of a checkpoint (None: the newest)."""
    if checkpoint_id is None:
        last: Operation = Scan(namespace, place.prefix("c"), limit=1, reverse=True)
    else:
        last = Read(namespace, place.checkpoint(checkpoint_id))
    *results, found = yield Batch(namespace, (*before, last))
    if checkpoint_id is None:
        found = found.entries[0] if found.entries else None
    return results, None if found is None else Document.read(found.value)


def linked(namespace: str, keys: Iterable[str]) -> Flow[dict[str, Entry]]:
    """Entries by key; those that do not exist are left out."""
    reads = tuple(Read(namespace, key) for key in keys)
    found: list[Entry | None] = (yield Batch(namespace, reads)) if reads else []
    return {entry.key: entry for entry in found if entry is not None}


def whole(namespace: str, found: Sequence[Document], codec: Codec) -> Flow[list[Loaded]]:
    """These checkpoints with their values and writes."""
    keys = {key: None for document in found for key in links(document)}
    entries = yield from linked(namespace, keys)
    return [document.load(entries, codec) for document in found]


def links(document: Document) -> list[str]:
    return [document.place.writes(document.id), *document.value_keys]


def documents(namespace: str, prefix: str) -> Flow[list[Document]]:
    """All checkpoints under a prefix, without their values, in order of their keys."""
    found: list[Document] = []
    scan: Scan | None = Scan(namespace, prefix)
    while scan is not None:
        page = yield scan
        found += [Document.read(entry.value) for entry in page.entries]
        scan = scan.after_cursor(page.cursor)
    return found


def keys(namespace: str, prefix: str) -> Flow[list[str]]:
    """All keys under a prefix."""
    found: list[str] = []
    scan: Scan | None = Scan(namespace, prefix, values=False)
    while scan is not None:
        page = yield scan
        found += [entry.key for entry in page.entries]
        scan = scan.after_cursor(page.cursor)
    return found
