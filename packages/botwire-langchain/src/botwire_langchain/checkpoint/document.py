"""A checkpoint as one small JSON object, and the writes that wait on it.

    {"at": [thread, ns, id], "parent": id or null, "run": id or null,
     "checkpoint": text, "metadata": text,         what the serializer made of them
     "values": {channel: ref}, "delta": [channel], refs as in `values.py`; those that are snapshots
     "links": [key, ...]}                          every key the above needs, its writes first

Writes are items of one list: [task path, task id, index, channel, text]. They may come before their
checkpoint, twice, and from tasks that run at once; what counts is decided when they are read.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    PendingWrite,
    writes_sort_key,
)
from langgraph.checkpoint.serde.types import (
    _DeltaSnapshot,  # pyright: ignore[reportPrivateUsage]  # what savers are to look for
)

from botwire.operations import Entry
from botwire_langchain.checkpoint.codec import Codec
from botwire_langchain.checkpoint.layout import Place
from botwire_langchain.checkpoint.values import Ref, from_record, keys_of, load, to_record

__all__ = ["Document", "Loaded", "pending_writes", "write_items"]


@dataclass(frozen=True, slots=True)
class Document:
    """A checkpoint as it is stored: everything but its values and its writes."""

    place: Place
    id: str
    parent: str | None
    run: str | None
    checkpoint: str
    metadata: str
    refs: Mapping[str, Ref]
    delta: frozenset[str] = frozenset()

    @classmethod
    def make(
        cls,
        place: Place,
        parent: str | None,
        checkpoint: Checkpoint,
        metadata: Mapping[str, Any],
        refs: Mapping[str, Ref],
        codec: Codec,
    ) -> "Document":
        bare = {name: part for name, part in checkpoint.items() if name != "channel_values"}
        values = checkpoint["channel_values"]
        run = metadata.get("run_id")
        return cls(
            place,
            checkpoint["id"],
            parent,
            None if run is None else str(run),
            codec.pack(bare),
            codec.pack(dict(metadata)),
            refs,
            frozenset(name for name in refs if isinstance(values.get(name), _DeltaSnapshot)),
        )

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> "Document":
        thread, ns, checkpoint_id = value["at"]
        links = value["links"]
        return cls(
            Place(thread, ns),
            checkpoint_id,
            value["parent"],
            value["run"],
            value["checkpoint"],
            value["metadata"],
            {channel: from_record(ref, links) for channel, ref in value["values"].items()},
            frozenset(value["delta"]),
        )

    def value(self) -> dict[str, Any]:
        """The document as it is written."""
        links = [self.place.writes(self.id)]
        values = {channel: to_record(ref, links) for channel, ref in self.refs.items()}
        return {
            "at": [self.place.thread, self.place.ns, self.id],
            "parent": self.parent,
            "run": self.run,
            "checkpoint": self.checkpoint,
            "metadata": self.metadata,
            "values": values,
            "delta": sorted(self.delta),
            "links": links,
        }

    @property
    def key(self) -> str:
        return self.place.checkpoint(self.id)

    @property
    def value_keys(self) -> set[str]:
        return {key for ref in self.refs.values() for key in keys_of(ref)}

    @property
    def links(self) -> list[str]:
        """Every key that the checkpoint needs."""
        return [self.place.writes(self.id), *self.value_keys]

    def load(self, entries: Mapping[str, Entry], codec: Codec) -> "Loaded":
        """The checkpoint with its values and writes, from the entries that it links to."""
        checkpoint = cast("Checkpoint", codec.load(self.checkpoint))
        loaded = {channel: load(ref, entries, codec) for channel, ref in self.refs.items()}
        checkpoint["channel_values"] = {channel: value for channel, (value, _) in loaded.items()}
        writes = entries.get(self.place.writes(self.id))
        found = CheckpointTuple(
            self.place.config(self.id),
            checkpoint,
            self.load_metadata(codec),
            self.place.config(self.parent) if self.parent else None,
            pending_writes(writes, codec),
        )
        return Loaded(found, {channel: ref for channel, (_, ref) in loaded.items()})

    def load_metadata(self, codec: Codec) -> CheckpointMetadata:
        return codec.load(self.metadata)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A checkpoint read whole, and how its values are kept."""

    tuple: CheckpointTuple
    refs: Mapping[str, Ref]


def write_items(
    writes: Iterable[tuple[str, Any]], task_id: str, task_path: str, codec: Codec
) -> list[Any]:
    """Writes of a task as items of the list of all writes."""
    return [
        [task_path, task_id, WRITES_IDX_MAP.get(channel, index), channel, codec.pack(value)]
        for index, (channel, value) in enumerate(writes)
    ]


def pending_writes(
    entry: Entry | None, codec: Codec, only: str | None = None
) -> list[PendingWrite]:
    """The writes that count (to one channel only), in the order in which LangGraph applies them.

    Of the same write, the first counts; of the special ones (an error, an interrupt, the answer to
    one) the last does.
    """
    counted: dict[tuple[str, int], list[Any]] = {}
    items: list[list[Any]] = [] if entry is None else entry.value
    for item in items:
        task_id, index = item[1:3]
        if index < 0 or (task_id, index) not in counted:
            counted[task_id, index] = item
    ordered = sorted(counted.values(), key=lambda item: writes_sort_key(*item[:3]))
    return [
        (task_id, channel, codec.load(text))
        for _, task_id, _, channel, text in ordered
        if only in (None, channel)
    ]
