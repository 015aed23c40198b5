"""What one call of the store does: embed, read, write, renew; each at most once, for all it holds.

Reads see the store as it was before the writes of the same call, and the last of several writes to
one item counts. All of it is one round trip, but for these: a search beside writes (its pages must
not see them), more items than a page holds, and items whose time to live begins anew by reading.
"""

import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from langgraph.store.base import (
    GetOp,
    ListNamespacesOp,
    NotProvided,
    Op,
    PutOp,
    Result,
    SearchOp,
    validate_op_namespace,
)

from botwire import Conflict
from botwire.jsontext import Json, encode
from botwire.operations import Batch, Delete, Entry, Operation, Read, Set, Touch
from botwire_langchain.faces import Flow
from botwire_langchain.plain import wrap
from botwire_langchain.store.layout import Name, value_of
from botwire_langchain.store.search import Getting, Listing, Reading, Searching
from botwire_langchain.store.vectors import Index, write_vectors

__all__ = ["UNCHANGED", "Embed", "Shelf"]

Vectors = list[list[float]]
UNCHANGED = object()


class Embed(NamedTuple):
    """How texts get embedded: the blocking or the awaited methods of LangChain's Embeddings."""

    documents: Callable[[list[str]], Vectors | Awaitable[Vectors]]
    query: Callable[[str], list[float] | Awaitable[list[float]]]


@dataclass(frozen=True, slots=True)
class Shelf:
    """The items of one namespace of BotWire, and how they are indexed."""

    namespace: str
    default_ttl: float | None  # minutes
    index: Index | None
    embed: Embed | None

    def batch(self, operations: Sequence[Op]) -> Flow[list[Result]]:
        for operation in operations:
            validate_op_namespace(operation)
        vectors = yield from self._query_vectors(operations)
        readings = {
            at: self._reading(operation, vectors)
            for at, operation in enumerate(operations)
            if not isinstance(operation, PutOp)
        }
        puts = {Name(op.namespace, str(op.key)): op for op in operations if isinstance(op, PutOp)}
        writes = yield from self._writes(puts)
        later = writes if any(not isinstance(one, Getting) for one in readings.values()) else []
        answers = yield from self._read(readings, [] if later else writes)
        later = [*later, *self._renewals(readings.values())]
        if later:
            yield Batch(self.namespace, tuple(later))
        return [answers.get(at) for at in range(len(operations))]

    def _read(
        self, readings: Mapping[int, Reading], writes: Sequence[Operation]
    ) -> Flow[dict[int, Result]]:
        """The answers to what is to be read; the writes follow in the same round trip."""
        parts = {at: reading.operations() for at, reading in readings.items()}
        together = [operation for part in parts.values() for operation in part]
        if not together and not writes:
            return {}
        found: list[Any] = yield Batch(self.namespace, (*together, *writes))
        answers: dict[int, Result] = {}
        for at, reading in readings.items():
            mine, found = found[: len(parts[at])], found[len(parts[at]) :]
            answers[at] = yield from reading.answer(mine)
        return answers

    def _reading(self, operation: Op, vectors: Mapping[str, list[float]]) -> Reading:
        if isinstance(operation, GetOp):
            return Getting(self.namespace, operation)
        if isinstance(operation, SearchOp):
            return Searching(self.namespace, operation, vectors.get(operation.query or ""))
        if isinstance(operation, ListNamespacesOp):
            return Listing(self.namespace, operation)
        raise ValueError(f"unknown operation: {operation!r}")

    def _query_vectors(self, operations: Sequence[Op]) -> Flow[dict[str, list[float]]]:
        vectors: dict[str, list[float]] = {}
        if self.embed is not None:
            queries = {op.query for op in operations if isinstance(op, SearchOp) and op.query}
            for query in sorted(queries):
                vectors[query] = yield self.embed.query(query)
        return vectors

    def _renewals(self, readings: Iterable[Reading]) -> list[Operation]:
        """Let items that were read live their whole time again, with their embeddings."""
        keys = {
            key
            for reading in readings
            for entry in reading.read
            if entry.ttl is not None and reading.refreshes
            for key in (entry.key, Name.of(entry.key).embedding)
        }
        return [Touch(self.namespace, key) for key in sorted(keys)]

    # -- writing ---------------------------------------------------------------------------------

    def _writes(self, puts: Mapping[Name, PutOp]) -> Flow[list[Operation]]:
        embedded = yield from self._embedded(puts)
        return [
            operation
            for name, put in puts.items()
            for operation in self._write(name, put, embedded.get(name))
        ]

    def _write(
        self, name: Name, put: PutOp, vectors: Vectors | None, version: int | None = None
    ) -> list[Operation]:
        """The operations of a put; with `version` only if the item is at it (0: there is none)."""
        if put.value is None:
            return [
                Delete(self.namespace, name.item, version),
                Delete(self.namespace, name.embedding),
            ]
        ttl = None if put.ttl in (None, math.inf) else put.ttl * 60
        item = Set(self.namespace, name.item, _text(put.value), ttl, if_version=version)
        if vectors:
            texts = encode(write_vectors(vectors))
            return [item, Set(self.namespace, name.embedding, texts, ttl)]
        return [item, Delete(self.namespace, name.embedding)] if self.index else [item]

    def _embedded(self, puts: Mapping[Name, PutOp]) -> Flow[dict[Name, Vectors]]:
        """The embeddings of what is put, all made by one call."""
        if self.index is None or self.embed is None:
            return {}
        texts = {
            name: self.index.texts(put.value, put.index or None)
            for name, put in puts.items()
            if put.value is not None and put.index is not False
        }
        unique = sorted({text for found in texts.values() for text in found})
        vectors: Vectors = (yield self.embed.documents(unique)) if unique else []
        self.index.check(vectors)
        by_text = dict(zip(unique, vectors, strict=True))
        return {name: [by_text[text] for text in found] for name, found in texts.items()}

    def change(
        self, name: Name, decide: Callable[[Any], Any], ttl: float | NotProvided | None
    ) -> Flow[Any]:
        """Put what `decide` makes of the value (None: delete, UNCHANGED: leave it); returns that.

        It is put only if nobody changed the item since; if so, `decide` is asked again.
        """
        while True:
            entry: Entry | None = yield Read(self.namespace, name.item)
            new = yield decide(None if entry is None else value_of(entry))
            if new is UNCHANGED:
                return new
            keeps = entry is not None and isinstance(ttl, NotProvided)
            put = PutOp(name.namespace, name.key, new, ttl=None if keeps else self.minutes(ttl))
            embedded = yield from self._embedded({name: put})
            version = entry.version if entry else 0
            writes = self._write(name, put, embedded.get(name), version)
            if keeps:
                writes = list(map(_keeping_ttl, writes))
            try:
                yield Batch(self.namespace, tuple(writes))
            except Conflict:
                continue
            return new

    def minutes(self, ttl: float | NotProvided | None) -> float | None:
        return self.default_ttl if isinstance(ttl, NotProvided) else ttl


def _keeping_ttl(operation: Operation) -> Operation:
    return replace(operation, keep_ttl=True) if isinstance(operation, Set) else operation


def _text(value: Mapping[str, Any]) -> Json:
    return wrap({"value": dict(value)}, "value")
