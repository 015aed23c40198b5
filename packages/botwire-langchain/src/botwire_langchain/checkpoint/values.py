"""How the value of a channel is kept, so that a checkpoint costs what changed and no more.

- A small value stands in the checkpoint's document itself; a larger one under a key of its own,
  written once for each version of the channel and named by every checkpoint that has that version.
- A list (messages, above all) is kept as items in segments: lists that only grow at their end on
  the server. A checkpoint says how many items of which segments are its list. What a new list has
  in common with the one before is not written again, however long it is; items are compared by
  fingerprint, so changed, removed and reordered ones are seen.
- Only the end of a segment is ever written, and only if nobody else did meanwhile (`if_version`);
  who loses that race stores the list in a segment of its own.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

from botwire.jsontext import encode_plain
from botwire.operations import Append, Entry, Operation, Set
from botwire_langchain.checkpoint.codec import Codec
from botwire_langchain.checkpoint.prints import Prints

__all__ = ["Blob", "Inline", "Ref", "Rope", "Segment", "Writer", "from_record", "load", "to_record"]

INLINE = 512  # characters; a key of its own costs about as much
SEGMENT_BYTES = 1_000_000  # a value on a server has a limit (10 MB), and nothing grows for ever
FEW = 4  # items that may well fit into the document
NONE = Prints()
SEGMENTS = 32  # a list in more pieces than this is written anew in one


class Inline(NamedTuple):
    """The value's text, in the document."""

    text: str


class Blob(NamedTuple):
    """The value's text, under a key."""

    key: str


class Segment(NamedTuple):
    """`items` items at the front of the list under `key`, which holds `length` at `version`."""

    key: str
    items: int
    length: int
    version: int
    bytes: int = 0

    @property
    def open(self) -> bool:
        """Whether it ends where the value ends, so that items may follow."""
        return self.items == self.length and self.bytes < SEGMENT_BYTES


class Rope(NamedTuple):
    """A list in segments, and the fingerprints of its items."""

    segments: tuple[Segment, ...] = ()
    prints: Prints = NONE

    def cut(self, count: int) -> tuple[Segment, ...]:
        """The segments that hold the first `count` items."""
        kept: list[Segment] = []
        for segment in self.segments:
            if count <= 0:
                break
            whole = segment.items <= count
            kept.append(segment if whole else segment._replace(items=count))
            count -= segment.items
        return tuple(kept)


Ref = Inline | Blob | Rope


def keys_of(ref: Ref) -> list[str]:
    if isinstance(ref, Blob):
        return [ref.key]
    return [segment.key for segment in ref.segments] if isinstance(ref, Rope) else []


def to_record(ref: Ref, links: list[str]) -> dict[str, Any]:
    """The ref as it stands in a document, naming keys by their place in `links`."""
    if isinstance(ref, Inline):
        return {"text": ref.text}
    if isinstance(ref, Blob):
        return {"at": _link(ref.key, links)}
    return {"items": [[_link(part.key, links), part.items] for part in ref.segments]}


def _link(key: str, links: list[str]) -> int:
    if key not in links:
        links.append(key)
    return links.index(key)


def from_record(record: Mapping[str, Any], links: Sequence[str]) -> Ref:
    """What `to_record` was given, as far as the document knows it."""
    if "text" in record:
        return Inline(record["text"])
    at: int | None = record.get("at")
    if at is not None:
        return Blob(links[at])
    parts: list[tuple[int, int]] = record["items"]
    return Rope(tuple(Segment(links[link], count, -1, 0) for link, count in parts))


def load(ref: Ref, entries: Mapping[str, Entry], codec: Codec) -> tuple[Any, Ref]:
    """The value, and the ref with everything that is needed to build on it.

    Raises:
        KeyError: an entry the ref names is not there.
    """
    if isinstance(ref, Inline):
        return codec.load(ref.text), ref
    if isinstance(ref, Blob):
        return codec.load(entries[ref.key].value), ref
    parts = [(entries[segment.key], segment) for segment in ref.segments]
    items = codec.load_all([text for entry, part in parts for text in entry.value[: part.items]])
    segments = tuple(_known(segment, entry) for entry, segment in parts)
    return items, Rope(segments, Prints.of(items, codec))


def _known(segment: Segment, entry: Entry) -> Segment:
    return segment._replace(length=len(entry.value), version=entry.version, bytes=entry.bytes)


@dataclass(frozen=True, slots=True)
class Extend(Append):
    """An append whose result is the version that the list then has, not how many items."""

    def result(self, reply: Any) -> int:
        return reply["version"]


@dataclass(slots=True)
class Writer:
    """Turns values into refs, and collects the operations that write what is not there yet."""

    namespace: str
    codec: Codec
    ttl: float | None
    operations: list[Operation] = field(default_factory=list[Operation])

    def store(self, value: Any, key: str, before: Ref | None) -> Ref:
        """Keep a value, under `key` if it needs one; `before` is how the one before is kept."""
        if type(value) is list:
            old = before if isinstance(before, Rope) else Rope()
            return self._store_list(cast("list[Any]", value), key, old)
        return self._store_text(self.codec.pack(value), key)

    def _store_text(self, text: str, key: str) -> Ref:
        if len(text) <= INLINE:
            return Inline(text)
        self.operations.append(Set(self.namespace, key, encode_plain(text), self.ttl))
        return Blob(key)

    def _store_list(self, items: list[Any], key: str, old: Rope) -> Ref:
        if not old.prints and len(items) <= FEW:  # what tasks send, say: it is soon seen
            text = self.codec.pack(items)
            if len(text) <= INLINE:
                return Inline(text)
        prints = Prints.of(items, self.codec)
        same = old.prints.common(items, prints, self.codec)
        kept = old.cut(same)
        if len(kept) >= SEGMENTS:
            kept, same = (), 0
        added = list(map(self.codec.pack, items[same:]))
        if not kept and sum(map(len, added)) <= INLINE:
            return Inline(self.codec.pack(items))
        return Rope(self._extended(kept, added, key), prints)

    def _extended(
        self, kept: tuple[Segment, ...], added: Sequence[str], key: str
    ) -> tuple[Segment, ...]:
        for part in _parts(added):
            last = kept[-1] if kept else None
            if last is None or not last.open:
                last = Segment(f"{key}.{len(kept)}" if kept else key, 0, 0, 0)
            else:
                kept = kept[:-1]
            texts = tuple(map(encode_plain, part))
            self.operations.append(
                Extend(self.namespace, last.key, texts, None, self.ttl, if_version=last.version)
            )
            count = last.items + len(part)
            size = last.bytes + sum(map(len, texts)) + len(texts)  # with commas, as it is stored
            kept = (*kept, Segment(last.key, count, count, last.version, size))
        return kept


def _parts(texts: Sequence[str]) -> Iterator[list[str]]:
    """The texts in parts of no more than about a segment's size."""
    part: list[str] = []
    size = 0
    for text in texts:
        part.append(text)
        size += len(text)
        if size >= SEGMENT_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part


def settle(
    refs: Mapping[str, Ref], operations: Sequence[Operation], results: Sequence[Any]
) -> dict[str, Ref]:
    """The refs with the versions that their segments got when these operations wrote them."""
    pairs = zip(operations, results, strict=True)
    versions = {one.key: result for one, result in pairs if isinstance(one, Extend)}
    return {channel: _settled(ref, versions) for channel, ref in refs.items()}


def _settled(ref: Ref, versions: Mapping[str, int]) -> Ref:
    if not isinstance(ref, Rope) or not versions:
        return ref
    segments = [
        part._replace(version=versions[part.key]) if part.key in versions else part
        for part in ref.segments
    ]
    return Rope(tuple(segments), ref.prints)
