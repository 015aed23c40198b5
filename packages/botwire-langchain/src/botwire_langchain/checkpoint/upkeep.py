"""Flows that remove and copy: whole threads, what runs wrote, all but the newest checkpoints.

Nothing that a remaining checkpoint needs is removed: neither values it shares with removed ones
nor, where it uses delta channels, the ancestors whose writes make up its state. Removing is one
batch for each thread; what runs meanwhile add to a thread stays whole.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from langgraph.checkpoint.base import Checkpoint

from botwire.jsontext import encode
from botwire.operations import (
    Batch,
    Clear,
    DeleteMany,
    Entry,
    Merge,
    Operation,
    Scan,
    Set,
)
from botwire_langchain.checkpoint.codec import Codec
from botwire_langchain.checkpoint.document import Document
from botwire_langchain.checkpoint.guard import Guard
from botwire_langchain.checkpoint.layout import Place, everything, guard_key, run_key
from botwire_langchain.checkpoint.reading import documents, keys
from botwire_langchain.faces import Flow
from botwire_langchain.names import path

__all__ = ["copy_thread", "delete_for_runs", "delete_thread", "prune_thread", "run_entry"]

BATCH_BYTES = 2_000_000  # of values that travel in one request
REASON = "counters_since_delta_snapshot"


def run_entry(namespace: str, run: str, thread: str, ttl: float | None) -> Operation:
    """Note that a run wrote to a thread. Noting it again changes nothing."""
    return Merge(namespace, run_key(run, thread), encode({"thread": thread}), ttl)


def delete_thread(namespace: str, thread: str) -> Flow[None]:
    found = yield from documents(namespace, path("c", thread))
    runs = {run_key(document.run, thread) for document in found if document.run}
    clear = [Clear(namespace, prefix) for prefix in everything(thread)]
    gone = DeleteMany(namespace, (guard_key(thread), *sorted(runs)))
    yield Batch(namespace, (*clear, gone))


@dataclass(frozen=True, slots=True)
class _Thread:
    """Everything a thread has, but the values themselves."""

    documents: list[Document]
    keys: list[str]  # of values and writes

    @classmethod
    def read(cls, namespace: str, thread: str) -> Flow["_Thread"]:
        # Keys first: what is written in between belongs to documents that are read afterwards.
        names = yield from keys(namespace, path("v", thread))
        names += yield from keys(namespace, path("w", thread))
        return cls((yield from documents(namespace, path("c", thread))), names)

    def without(self, kept: Sequence[Document], runs: Iterable[str] = ()) -> list[str]:
        """The keys to delete so that only these documents stay, whole."""
        needed = {key for document in kept for key in document.value_keys}
        needed |= {document.place.writes(document.id) for document in kept}
        needed |= set(self._orphans())
        stay = {document.key for document in kept}
        gone = [document.key for document in self.documents if document.key not in stay]
        return gone + [key for key in self.keys if key not in needed]

    def _orphans(self) -> Iterator[str]:
        """Writes that wait for a checkpoint that may still come."""
        newest = {document.place.prefix("w"): document for document in self.documents}
        for key in self.keys:
            document = newest.get(key[: key.rindex("/") + 1])
            if document is not None and key > document.place.writes(document.id):
                yield key


def delete_for_runs(namespace: str, runs: Sequence[str]) -> Flow[None]:
    """Delete the checkpoints that these runs made, with their writes."""
    names = {str(run) for run in runs}
    threads: dict[str, list[str]] = {}
    for run in sorted(names):
        scan: Scan | None = Scan(namespace, path("r", run))
        while scan is not None:
            page = yield scan
            for entry in page.entries:
                threads.setdefault(entry.value["thread"], []).append(entry.key)
            scan = scan.after_cursor(page.cursor)
    for thread, notes in threads.items():
        found = yield from _Thread.read(namespace, thread)
        kept = [document for document in found.documents if document.run not in names]
        yield DeleteMany(namespace, (*found.without(kept), *notes))


def prune_thread(namespace: str, thread: str, codec: Codec) -> Flow[None]:
    """Keep the newest checkpoint of each namespace, and what it cannot do without."""
    found = yield from _Thread.read(namespace, thread)
    by_place: dict[Place, list[Document]] = {}
    for document in found.documents:
        by_place.setdefault(document.place, []).append(document)
    kept: list[Document] = []
    changed: list[Operation] = []
    for chain in by_place.values():
        *rest, first = needed(chain, codec)
        kept += [*rest, first]
        if first.parent:
            orphan = replace(first, parent=None)
            changed.append(Set(namespace, first.key, encode(orphan.value()), keep_ttl=True))
    gone = DeleteMany(namespace, tuple(found.without(kept)))
    if gone.keys:
        yield Batch(namespace, (gone, *changed))


def needed(chain: Sequence[Document], codec: Codec) -> list[Document]:
    """The newest of these documents and the ancestors its delta channels begin at, newest first."""
    by_id = {document.id: document for document in chain}
    newest = chain[-1]
    line = [newest]
    while (parent := by_id.get(line[-1].parent or "")) is not None:
        line.append(parent)
    wanting = _deltas(line, codec) - set(newest.refs)
    kept = [newest]
    for ancestor in line[1:]:
        if not wanting:
            break
        kept.append(ancestor)
        wanting -= set(ancestor.refs)
    return kept


def _deltas(line: Sequence[Document], codec: Codec) -> set[str]:
    """The delta channels of the newest checkpoint, as far as it has ever written them."""
    checkpoint: Checkpoint = codec.load(line[0].checkpoint)
    counted = line[0].load_metadata(codec).get(REASON) or {}
    snapshots = {channel for document in line for channel in document.delta}
    return (set(counted) | snapshots) & set(checkpoint["channel_versions"])


def copy_thread(namespace: str, source: str, target: str, guard: Guard) -> Flow[None]:
    """Copy everything of a thread; its checkpoints appear together, after all they need."""
    for kind in ("v", "w"):
        scan: Scan | None = Scan(namespace, path(kind, source))
        while scan is not None:
            page = yield scan
            for part in _parts(page.entries):
                sets = [
                    _copied(namespace, entry, source, target, guard.entry_ttl) for entry in part
                ]
                yield from guard.write_anyway(target, sets)
            scan = scan.after_cursor(page.cursor)
    found = yield from documents(namespace, path("c", source))
    moved = [operation for one in found for operation in _moved(one, source, target, guard)]
    if moved:
        yield from guard.write_anyway(target, moved)


def _parts(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    part: list[Entry] = []
    for entry in entries:
        part.append(entry)
        if sum(one.bytes for one in part) > BATCH_BYTES:
            yield part
            part = []
    if part:
        yield part


def _copied(namespace: str, entry: Entry, source: str, target: str, ttl: float | None) -> Operation:
    return Set(namespace, _renamed(entry.key, source, target), encode(entry.value), ttl)


def _renamed(key: str, source: str, target: str) -> str:
    kind = key[: key.index("/")]
    return path(kind, target) + key.removeprefix(path(kind, source))


def _moved(document: Document, source: str, target: str, guard: Guard) -> list[Operation]:
    value: dict[str, Any] = document.value()
    value["at"] = [target, *value["at"][1:]]
    value["links"] = [_renamed(key, source, target) for key in value["links"]]
    key = _renamed(document.key, source, target)
    operations: list[Operation] = [Set(guard.namespace, key, encode(value), guard.entry_ttl)]
    if document.run:
        operations.append(run_entry(guard.namespace, document.run, target, guard.entry_ttl))
    return operations
