"""Flows that read checkpoints."""

from collections.abc import Iterable, Sequence
from typing import Any

from botwire.operations import Batch, Entry, Linked, Operation, Page, Read, Scan
from botwire_langchain.checkpoint.document import Document
from botwire_langchain.checkpoint.layout import Place
from botwire_langchain.faces import Flow

__all__ = ["documents", "entries_of", "find", "keys"]


def find(
    namespace: str, place: Place, checkpoint_id: str | None, before: Sequence[Operation]
) -> Flow[tuple[list[Any], Document | None, dict[str, Entry]]]:
    """The results of `before`, a checkpoint (None: the newest), and all entries it links to."""
    prefix = place.checkpoint(checkpoint_id) if checkpoint_id else place.prefix("c")
    whole = Linked(namespace, prefix, limit=1, reverse=checkpoint_id is None)
    *results, (page, linked) = yield Batch(namespace, (*before, whole))
    found = [entry for entry in page.entries if not checkpoint_id or entry.key == prefix]
    return results, Document.read(found[0].value) if found else None, linked


def entries_of(namespace: str, wanted: Iterable[str]) -> Flow[dict[str, Entry]]:
    """Entries by key; those that do not exist are left out."""
    reads = tuple(Read(namespace, key) for key in wanted)
    found: list[Entry | None] = (yield Batch(namespace, reads)) if reads else []
    return {entry.key: entry for entry in found if entry is not None}


def documents(namespace: str, prefix: str) -> Flow[list[Document]]:
    """All checkpoints under a prefix, without their values, in order of their keys."""
    entries = yield from _all(Scan(namespace, prefix))
    return [Document.read(entry.value) for entry in entries]


def keys(namespace: str, prefix: str) -> Flow[list[str]]:
    """All keys under a prefix."""
    entries = yield from _all(Scan(namespace, prefix, values=False))
    return [entry.key for entry in entries]


def _all(scan: Scan) -> Flow[list[Entry]]:
    found: list[Entry] = []
    following: Scan | None = scan
    while following is not None:
        page: Page = yield following
        found += page.entries
        following = scan.after_cursor(page.cursor)
    return found
