"""What can be done with threads, as flows: the checkpointer without its two faces."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import Checkpoint, CheckpointTuple, DeltaChannelHistory

from botwire import Conflict
from botwire.errors import Unavailable
from botwire.jsontext import encode_plain
from botwire.operations import Append, Operation, Set
from botwire_langchain.checkpoint.codec import Codec
from botwire_langchain.checkpoint.document import Document, Loaded, write_items
from botwire_langchain.checkpoint.guard import Guard
from botwire_langchain.checkpoint.heads import Head, Heads
from botwire_langchain.checkpoint.history import STEPS, delta_history
from botwire_langchain.checkpoint.layout import (
    Place,
    configurable,
    id_of,
    thread_of,
)
from botwire_langchain.checkpoint.listing import (
    Wanted,
    loaded,
    of_everything,
    of_namespace,
    of_thread,
)
from botwire_langchain.checkpoint.reading import find
from botwire_langchain.checkpoint.together import Pace
from botwire_langchain.checkpoint.upkeep import REASON, run_entry
from botwire_langchain.checkpoint.values import Ref, Writer, settle
from botwire_langchain.faces import Flow
from botwire_langchain.names import part

__all__ = ["Threads"]

TRIES = 5  # attempts to save a checkpoint of a thread that others change; two will nearly always do


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
        before = self.guard.reading(place.thread)
        results, document, entries = yield from find(self.namespace, place, wanted, before)
        if not self.guard.alive(place.thread, results) or document is None:
            self.heads.drop(place)
            return None
        if not document.value_keys <= entries.keys():
            raise Unavailable(
                f"checkpoint {document.id} of thread {place.thread!r} lacks some of its values",
                hint="Something else than this checkpointer deleted entries of its namespace.",
            )
        loaded = document.load(entries, self.codec)
        self._saw(place, loaded)
        yield from self.guard.was_read(place.thread)
        return loaded.tuple

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
        """The checkpoints that meet the conditions, newest first, without their values."""
        wanted = Wanted(
            self.codec,
            id_of(config) if config else None,
            id_of(before) if before else None,
            conditions or {},
            limit,
        )
        if limit is not None and limit <= 0:
            return []
        if config is None:
            return (yield from of_everything(self.guard, wanted))
        if configurable(config).get("checkpoint_ns") is None:
            return (yield from of_thread(self.guard, thread_of(config), wanted))
        return (yield from of_namespace(self.guard, Place.of(config), wanted))

    def tuples(self, found: Sequence[Document]) -> Flow[list[CheckpointTuple]]:
        return loaded(self.namespace, found, self.codec)

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
        pace: Pace,
    ) -> Flow[RunnableConfig]:
        place, parent = Place.of(config), id_of(config)
        head = self.heads.get(place)
        with self.guard.together.waiting(place.thread, pace) as along:
            for attempt in range(TRIES):
                # What is known was no longer so: it is left aside, and all goes under new keys.
                head, salt = (None, f"-{secrets.token_hex(4)}") if attempt else (head, "")
                writer = Writer(self.namespace, self.codec, self.guard.entry_ttl)
                refs = dict(self._refs(place, parent, checkpoint, new, head, writer, salt))
                document = Document.make(place, parent, checkpoint, metadata, refs, self.codec)
                saving = [*along, *writer.operations, *self._saving(document)]
                try:
                    results = yield from self.guard.write(place.thread, saving)
                except Conflict:
                    if attempt + 1 == TRIES:
                        raise
                    continue
                refs = settle(refs, saving, results)
                known = Head(document.id, checkpoint["channel_versions"], refs)
                self.heads.keep(place, known)
                break
        return place.config(checkpoint["id"])

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
        yield Set(self.namespace, document.key, encode_plain(document.value()), ttl)
        if document.run:
            yield run_entry(self.namespace, document.run, document.place.thread, ttl)

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        path_: str,
        pace: Pace,
    ) -> Flow[None]:
        place = Place.of(config)
        items = tuple(map(encode_plain, write_items(writes, task_id, path_, self.codec)))
        key = place.writes(configurable(config)["checkpoint_id"])
        append = Append(self.namespace, key, items, ttl=self.guard.entry_ttl)
        send = partial(self.guard.write_anyway, place.thread)
        yield from self.guard.together.write(place.thread, append, pace, send)


def _version_name(version: Any, checkpoint_id: str) -> str:
    """A version as the last part of a key; texts are ours and unique, numbers are not."""
    if isinstance(version, str):
        return part(version, 60)
    return f"{int(version or 0):020}-{part(checkpoint_id, 41)}"
