"""What can be done with threads, as flows: the checkpointer without its two faces."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import Checkpoint, CheckpointTuple, DeltaChannelHistory

from botwire import Conflict
from botwire.errors import Unavailable
from botwire.jsontext import encode
from botwire.operations import Append, Batch, Entry, Operation, Scan, Set
from botwire_langchain.checkpoint.codec import Codec
from botwire_langchain.checkpoint.document import Document, Loaded, write_items
from botwire_langchain.checkpoint.guard import Guard
from botwire_langchain.checkpoint.heads import Head, Heads
from botwire_langchain.checkpoint.history import STEPS, delta_history
from botwire_langchain.checkpoint.layout import (
    Place,
    configurable,
    guard_key,
    id_of,
    thread_of,
)
from botwire_langchain.checkpoint.reading import documents, find, whole
from botwire_langchain.checkpoint.upkeep import REASON, run_entry
from botwire_langchain.checkpoint.values import Ref, Writer, settle
from botwire_langchain.faces import Flow
from botwire_langchain.names import part, path

__all__ = ["Threads"]

TRIES = 5  # readings before a checkpoint that changes under them is given up


@dataclass(frozen=True, slots=True)
class Threads:
    """The threads of one namespace."""

    namespace: str
    codec: Codec
    guard: Guard
    heads: Heads

    # -- reading ---------------------------------------------------------------------------------

    def get(self, config: RunnableConfig) -> Flow[CheckpointTuple | None]:
        place, wanted = Place.of(config), id_of(config)
        for _ in range(TRIES):
            before = self.guard.reading(place.thread)
            results, document = yield from find(self.namespace, place, wanted, before)
            if document is None or not self.guard.alive(place.thread, results):
                return None
            try:
                [loaded] = yield from whole(self.namespace, [document], self.codec)
            except KeyError:  # it was pruned since its document was read
                continue
            self._saw(place, loaded)
            yield from self.guard.was_read(place.thread)
            return loaded.tuple
        raise Unavailable(
            f"checkpoint {wanted or 'latest'} of thread {place.thread!r} lacks some of its values",
            hint="Something else than this checkpointer deleted entries of its namespace.",
        )

    def _saw(self, place: Place, loaded: Loaded) -> None:
        checkpoint = loaded.tuple.checkpoint
        counters = loaded.tuple.metadata.get(REASON) or {}
        walk = max((supersteps for _, supersteps in counters.values()), default=0)
        head = Head(checkpoint["id"], checkpoint["channel_versions"], loaded.refs, walk)
        self.heads.keep(place, head)

    def listed(
        self,
        config: RunnableConfig | None,
        conditions: Mapping[str, Any] | None,
        before: RunnableConfig | None,
        limit: int | None,
    ) -> Flow[list[Document]]:
        """The checkpoints that meet the conditions, newest first."""
        if limit is not None and limit <= 0:
            return []
        if config is None:
            found = yield from self._alive_documents()
        else:
            found = yield from self._documents_of(config)
        end = id_of(before) if before else None
        chosen = [
            document
            for document in sorted(found, key=lambda document: document.id, reverse=True)
            if (end is None or document.id < end) and self._meets(document, conditions)
        ]
        return chosen if limit is None else chosen[:limit]

    def _documents_of(self, config: RunnableConfig) -> Flow[list[Document]]:
        thread, ns = thread_of(config), configurable(config).get("checkpoint_ns")
        if guarded := self.guard.reading(thread):
            results = yield Batch(self.namespace, tuple(guarded))
            if not self.guard.alive(thread, results):
                return []
        prefix = path("c", thread) if ns is None else Place(thread, ns).prefix("c")
        found = yield from documents(self.namespace, prefix)
        wanted = id_of(config)
        return [document for document in found if wanted in (None, document.id)]

    def _alive_documents(self) -> Flow[list[Document]]:
        found = yield from documents(self.namespace, "c/")
        if self.guard.ttl is None:
            return found
        alive: set[str] = set()
        scan: Scan | None = Scan(self.namespace, "t/", values=False)
        while scan is not None:
            page = yield scan
            alive |= {entry.key for entry in page.entries}
            scan = scan.after_cursor(page.cursor)
        return [document for document in found if guard_key(document.place.thread) in alive]

    def _meets(self, document: Document, conditions: Mapping[str, Any] | None) -> bool:
        if not conditions:
            return True
        metadata: Mapping[str, Any] = document.load_metadata(self.codec)
        return all(metadata.get(key) == value for key, value in conditions.items())

    def tuples(self, found: Sequence[Document]) -> Flow[list[CheckpointTuple]]:
        """These checkpoints, whole; those that were deleted meanwhile are left out."""
        try:
            loaded = yield from whole(self.namespace, found, self.codec)
        except KeyError:
            if len(found) == 1:
                return []
            parts: list[CheckpointTuple] = []
            for document in found:
                parts += yield from self.tuples([document])
            return parts
        return [one.tuple for one in loaded]

    def history(
        self, config: RunnableConfig, channels: Sequence[str]
    ) -> Flow[dict[str, DeltaChannelHistory]]:
        place, wanted = Place.of(config), id_of(config)
        head = self.heads.get(place)
        steps = head.walk + 2 if head and head.walk and wanted in (None, head.id) else STEPS
        args = (self.namespace, place, wanted, channels, self.codec, self.guard, steps)
        return (yield from delta_history(*args))

    # -- writing ---------------------------------------------------------------------------------

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: Mapping[str, Any],
        new: Mapping[str, Any],
    ) -> Flow[RunnableConfig]:
        place, parent = Place.of(config), id_of(config)
        head, salt = self.heads.get(place), ""
        while True:
            writer = Writer(self.namespace, self.codec, self.guard.entry_ttl)
            refs = dict(self._refs(place, parent, checkpoint, new, head, writer, salt))
            document = Document.make(place, parent, checkpoint, metadata, refs, self.codec)
            try:
                results = yield from self.guard.write(
                    place.thread, [*writer.operations, *self._saving(document)]
                )
            except Conflict:
                if salt:
                    raise
                # Another writer was here. What is known is left aside, and all is written anew.
                head, salt = None, f"-{secrets.token_hex(4)}"
                continue
            entries = {entry.key: entry for entry in results if isinstance(entry, Entry)}
            known = Head(document.id, checkpoint["channel_versions"], settle(refs, entries))
            self.heads.keep(place, known)
            return place.config(document.id)

    def _refs(
        self,
        place: Place,
        parent: str | None,
        checkpoint: Checkpoint,
        new: Mapping[str, Any],
        head: Head | None,
        writer: Writer,
        salt: str,
    ) -> Iterator[tuple[str, Ref]]:
        """How the value of each channel is kept; a channel without one is empty."""
        values, versions = checkpoint["channel_values"], checkpoint["channel_versions"]
        known: Mapping[str, Ref] = head.refs if head else {}
        for channel in {**versions, **values}:
            version = versions.get(channel)
            if head and channel not in new and head.unchanged(channel, version, parent):
                if channel in known:
                    yield channel, known[channel]
            elif channel in values:
                name = _version_name(version, checkpoint["id"]) + salt
                key = place.values(channel) + name
                yield channel, writer.store(values[channel], key, known.get(channel))

    def _saving(self, document: Document) -> Iterator[Operation]:
        ttl = self.guard.entry_ttl
        yield Set(self.namespace, document.key, encode(document.value()), ttl)
        if document.run:
            yield run_entry(self.namespace, document.run, document.place.thread, ttl)

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, path_: str
    ) -> Flow[None]:
        place = Place.of(config)
        items = tuple(map(encode, write_items(writes, task_id, path_, self.codec)))
        key = place.writes(configurable(config)["checkpoint_id"])
        append = Append(self.namespace, key, items, ttl=self.guard.entry_ttl)
        yield from self.guard.write(place.thread, [append])


def _version_name(version: Any, checkpoint_id: str) -> str:
    """A version as the last part of a key; texts are ours and unique, numbers are not."""
    if isinstance(version, str):
        return part(version, 60)
    return f"{int(version or 0):020}-{part(checkpoint_id, 41)}"
