"""How a delta channel came to its value: the writes of the ancestors back to its last snapshot.

The checkpoints, their writes and the newest values of the asked channels are read side by side, so
that a walk of any length takes one round trip, as long as it fits into one page.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from langgraph.checkpoint.base import DeltaChannelHistory, PendingWrite

from botwire.operations import Batch, Entry, Operation, Page, Read, Scan
from botwire_langchain.checkpoint.codec import Codec
from botwire_langchain.checkpoint.document import Document, pending_writes
from botwire_langchain.checkpoint.guard import Guard
from botwire_langchain.checkpoint.layout import Place
from botwire_langchain.checkpoint.reading import entries_of
from botwire_langchain.checkpoint.values import keys_of, load
from botwire_langchain.faces import Flow

__all__ = ["delta_history"]

STEPS = 250  # checkpoints that are read at once where nothing is known of the channel
NEWEST = 2  # values of a channel that are read ahead: its last snapshot is nearly always there
EDGE = "\U0010ffff"  # behind every checkpoint id


@dataclass(slots=True)
class _Past:
    """What was read of a namespace's past: everything from checkpoint id `oldest` on."""

    documents: dict[str, Document] = field(default_factory=dict[str, Document])
    entries: dict[str, Entry] = field(default_factory=dict[str, Entry])
    oldest: str = EDGE

    def add(self, checkpoints: Page, writes: Page) -> None:
        found = map(Document.read, (entry.value for entry in checkpoints.entries))
        self.documents |= {document.id: document for document in found}
        self.entries |= {entry.key: entry for entry in writes.entries}
        reached = [page.cursor.rpartition("/")[2] for page in (checkpoints, writes) if page.cursor]
        self.oldest = max(reached, default="")

    def line(self, start: str, channel: str) -> list[Document] | None:
        """The ancestors back to the channel's last stored value; None: they go back further."""
        line: list[Document] = []
        document = self.documents.get(start)
        while document is not None and document.parent:
            if document.parent < self.oldest:
                return None
            document = self.documents.get(document.parent)
            if document is None:  # it was pruned
                break
            line.append(document)
            if channel in document.refs:
                break
        return line


def delta_history(
    namespace: str,
    place: Place,
    checkpoint_id: str | None,
    channels: Sequence[str],
    codec: Codec,
    guard: Guard,
    steps: int = STEPS,
) -> Flow[dict[str, DeltaChannelHistory]]:
    """For each channel the writes since its last stored value, oldest first, and that value."""
    past = _Past()
    target = place.checkpoint(checkpoint_id or EDGE)
    ahead = [Scan(namespace, place.values(name), limit=NEWEST, reverse=True) for name in channels]
    first: list[Operation] = [*guard.reading(place.thread), *ahead, Read(namespace, target)]
    results = yield Batch(namespace, (*first, *_scans(namespace, place, past, steps)))
    if not guard.alive(place.thread, results):
        return {channel: {"writes": []} for channel in channels}
    *found, target = results[-len(ahead) - 3 : -2]
    past.entries |= {entry.key: entry for page in found for entry in page.entries}
    past.add(*results[-2:])
    if target is not None:
        past.documents[target.value["at"][2]] = Document.read(target.value)
    start = checkpoint_id or max(past.documents, default="")
    while any(past.line(start, channel) is None for channel in channels):
        past.add(*(yield Batch(namespace, _scans(namespace, place, past, STEPS))))
    lines = {channel: past.line(start, channel) or [] for channel in channels}
    yield from _fetch(namespace, past, lines)
    return {channel: _history(past, line, channel, codec) for channel, line in lines.items()}


def _scans(namespace: str, place: Place, past: _Past, steps: int) -> tuple[Scan, Scan]:
    """The next page of checkpoints and the next one of writes, going back."""
    back, forth = place.checkpoint(past.oldest), place.writes(past.oldest)
    return (
        Scan(namespace, place.prefix("c"), back, steps, reverse=True),
        Scan(namespace, place.prefix("w"), forth, steps, reverse=True),
    )


def _fetch(namespace: str, past: _Past, lines: Mapping[str, Sequence[Document]]) -> Flow[None]:
    """Read the values at which the lines begin, where they were not read ahead."""
    seeds = [line[-1].refs.get(channel) for channel, line in lines.items() if line]
    wanted = {key for seed in seeds if seed is not None for key in keys_of(seed)}
    past.entries |= yield from entries_of(namespace, sorted(wanted - past.entries.keys()))


def _history(
    past: _Past, line: Sequence[Document], channel: str, codec: Codec
) -> DeltaChannelHistory:
    writes: list[PendingWrite] = []
    for document in reversed(line):
        entry = past.entries.get(document.place.writes(document.id))
        writes += pending_writes(entry, codec, channel)
    seed = line[-1].refs.get(channel) if line else None
    if seed is None:
        return {"writes": writes}
    return {"writes": writes, "seed": load(seed, past.entries, codec)[0]}
