"""What a transaction has changed and not sent yet, in layers: a savepoint is one layer more."""

from collections.abc import Iterator
from itertools import groupby
from typing import LiteralString, NamedTuple

from botwire.stores.base import Chunk, Ledger, Row
from botwire_server.postgres import sql
from botwire_server.postgres.sql import numbers, texts

__all__ = ["Changes", "Statement"]

MUCH = 8_000_000  # characters of values a statement carries at most, but always one

Statement = tuple[LiteralString, list[str]]


class _SavedChunk(NamedTuple):
    namespace: str
    key: str
    chunk: Chunk


class _RemovedChunks(NamedTuple):
    namespace: str
    key: str
    before: int


class Changes:
    """New states of rows (None: removed), ledgers and replies, and what happens to chunks."""

    __slots__ = ("chunks", "ledgers", "replies", "rows", "sent")

    def __init__(self) -> None:
        self.sent = False
        self.rows: dict[tuple[str, str], Row | None] = {}
        self.ledgers: dict[str, Ledger] = {}
        self.replies: dict[tuple[str, str], tuple[str, str, float]] = {}
        self.chunks: list[_SavedChunk | _RemovedChunks] = []

    def save_chunk(self, namespace: str, key: str, chunk: Chunk) -> None:
        self.chunks.append(_SavedChunk(namespace, key, chunk))

    def remove_chunks(self, namespace: str, key: str, before: int) -> None:
        self.chunks.append(_RemovedChunks(namespace, key, before))

    def take_over(self, inner: "Changes") -> None:
        """Add what happened after this."""
        self.rows.update(inner.rows)
        self.ledgers.update(inner.ledgers)
        self.replies.update(inner.replies)
        self.chunks += inner.chunks

    def statements(self) -> Iterator[Statement]:
        """What makes the database the same; the order of what is yielded matters for chunks."""
        yield from self._row_statements()
        yield from self._chunk_statements()
        if self.replies:
            names, keys = zip(*self.replies, strict=True)
            marks, replies, until = zip(*self.replies.values(), strict=True)
            yield (
                sql.REMEMBER,
                [texts(names), texts(keys), texts(marks), texts(replies), numbers(until)],
            )
        if self.ledgers:
            columns = zip(*self.ledgers.values(), strict=True)
            yield sql.SAVE_LEDGERS, [texts(list(self.ledgers)), *map(numbers, columns)]

    def _row_statements(self) -> Iterator[Statement]:
        gone = [place for place, row in self.rows.items() if row is None]
        if gone:
            names, keys = zip(*gone, strict=True)
            yield sql.REMOVE_ROWS, [texts(names), texts(keys)]
        for part in _parts([(name, row) for (name, _), row in self.rows.items() if row]):
            names, rows = zip(*part, strict=True)
            keys, values, *facts = zip(*rows, strict=True)
            yield sql.SAVE_ROWS, [texts(names), texts(keys), texts(values), *map(numbers, facts)]

    def _chunk_statements(self) -> Iterator[Statement]:
        for kind, group in groupby(self.chunks, type):
            if kind is _SavedChunk:
                yield _save_chunks([act for act in group if isinstance(act, _SavedChunk)])
            else:
                names, keys, befores = zip(*group, strict=True)
                yield sql.REMOVE_CHUNKS, [texts(names), texts(keys), numbers(befores)]


def _save_chunks(saved: list[_SavedChunk]) -> Statement:
    names, keys, chunks = zip(*saved, strict=True)
    starts, counts, parts = zip(*chunks, strict=True)
    return sql.SAVE_CHUNKS, [
        texts(names),
        texts(keys),
        numbers(starts),
        numbers(counts),
        texts(parts),
    ]


def _parts(rows: list[tuple[str, Row]]) -> Iterator[list[tuple[str, Row]]]:
    """The rows in portions that one statement can carry."""
    if sum(len(row.value) for _, row in rows) <= MUCH:
        if rows:
            yield rows
        return
    part: list[tuple[str, Row]] = []
    weight = 0
    for named in rows:
        weight += len(named[1].value)
        if weight > MUCH and part:
            yield part
            part, weight = [], len(named[1].value)
        part.append(named)
    if part:
        yield part
