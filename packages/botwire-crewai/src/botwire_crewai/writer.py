"""How records are written: what a write depends on is a condition of it, and who lost a race
decides anew on what is there now."""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from crewai.memory.types import MemoryRecord

from botwire import Conflict, Entry
from botwire.jsontext import encode
from botwire.operations import Append, Delete, Expect, Operation, Set
from botwire_crewai.index import Filter, Row
from botwire_crewai.mirror import DIMENSION, GONE, GONE_KEPT, RECORDS, SEEN, Mirror
from botwire_crewai.records import EmbeddingDimensionMismatchError, dimension, to_json

__all__ = ["Writer"]

ATTEMPTS = 20
PART_BYTES, PART_RECORDS = 8_000_000, 500  # what one request carries

T = TypeVar("T")


class Writer:
    """Writes the records that a mirror shows. `ttl`: seconds they live unless they say more."""

    def __init__(self, mirror: Mirror, ttl: float | None) -> None:
        self._mirror = mirror
        self._ttl = ttl

    def save(self, records: Sequence[MemoryRecord]) -> None:
        """Write records, replacing those with the same ids; one request unless they are many."""
        size = dimension(records)
        for part in _parts(self._set(record.id, to_json(record)) for record in records):
            self._decided(lambda part=part: self._mirror.write(*self._of_dimension(size), *part))

    def update(self, record: MemoryRecord) -> None:
        """Replace a record, or add it, keeping what CrewAI's consolidation leaves out."""
        self._decided(lambda: self._update(record))

    def delete(self, wanted: Filter) -> int:
        """Delete what meets the conditions now; how many."""
        rows = self._matching(wanted)
        wanted = replace(wanted, ids=[row.id for row in rows])
        deleted = 0
        while rows:
            deleted += self._decided(lambda: self._delete(self._matching(wanted)[:PART_RECORDS]))
            rows = self._matching(wanted)
        return deleted

    def saw(self, record_ids: Iterable[str], when: str) -> None:
        """Write down when records were recalled. The marks expire with the records."""
        wanted = Filter(ids=list(record_ids))
        try:
            with self._mirror.stale() as index:
                self._mark([index.rows[row] for row in index.matching(wanted)], when)
        except Conflict:  # somebody changed or deleted one of them meanwhile
            self._decided(lambda: self._mark(self._matching(wanted), when))

    def _decided(self, decide: Callable[[], T]) -> T:
        """What `decide` gives, once nobody was faster."""
        for _ in range(ATTEMPTS - 1):
            try:
                return decide()
            except Conflict:
                self._mirror.read_dimension()  # somebody may have reset the memory
        return decide()

    # -- one decision each -----------------------------------------------------------------------

    def _update(self, record: MemoryRecord) -> None:
        stored: Entry | None = self._mirror.memory.entry(RECORDS + record.id)
        data = to_json(record)
        if stored is not None:
            data |= _lost(data, stored.value)
        guard = self._of_dimension(dimension([record]))
        change = self._set(record.id, data, stored.version if stored else 0)
        self._mirror.write(*guard, change)

    def _delete(self, rows: Sequence[Row]) -> int:
        if not rows:
            return 0
        space = self._mirror.memory.namespace
        records = [Delete(space, RECORDS + row.id, row.version) for row in rows]
        marks = [Delete(space, SEEN + row.id) for row in rows]
        gone = tuple(encode([row.id, row.version]) for row in rows)
        log = Append(space, GONE, gone, GONE_KEPT)
        return sum(self._mirror.write(*records, *marks, log)[: len(records)])

    def _mark(self, rows: Sequence[Row], when: str) -> None:
        mirror, space = self._mirror, self._mirror.memory.namespace
        still_there = [Expect(space, RECORDS + row.id, row.version) for row in rows]
        marks = [
            Set(space, SEEN + row.id, encode(when), mirror.seconds_left(RECORDS + row.id))
            for row in rows
        ]
        if rows:
            mirror.write(*still_there, *marks)

    def _matching(self, wanted: Filter) -> list[Row]:
        with self._mirror.fresh() as index:
            return [index.rows[row] for row in index.matching(wanted)]

    def _set(self, record_id: str, data: Mapping[str, Any], if_version: int | None = None) -> Set:
        ttl = data["metadata"].get("ttl_seconds", self._ttl)
        keep = ttl is None and if_version is not None  # an update leaves the expiry as it is
        space = self._mirror.memory.namespace
        return Set(space, RECORDS + record_id, encode(dict(data)), ttl, False, if_version, keep)

    def _of_dimension(self, size: int | None) -> list[Operation]:
        """The condition under which vectors of this size may be written."""
        mirror, space = self._mirror, self._mirror.memory.namespace
        if size is None:
            return []
        if mirror.dimension is None or mirror.dimension.size != size:
            mirror.read_dimension()
        stored = mirror.dimension
        if stored is None:
            return [Set(space, DIMENSION, encode(size), if_version=0)]
        if stored.size != size:
            raise EmbeddingDimensionMismatchError(stored.size, size)
        return [Expect(space, DIMENSION, stored.version)]


def _lost(data: Mapping[str, Any], stored: Mapping[str, Any]) -> dict[str, Any]:
    """What stays as it is stored, because the new record does not say it."""
    kept: dict[str, Any] = {"private": data["private"] or stored["private"]}
    if data["source"] is None:
        kept["source"] = stored["source"]
    if "vector" in stored and "vector" not in data and data["content"] == stored["content"]:
        kept["vector"] = stored["vector"]
    return kept


def _parts(sets: Iterable[Set]) -> Generator[list[Set]]:
    """As many at a time as one request carries."""
    part: list[Set] = []
    room = PART_BYTES
    for change in sets:
        room -= len(change.value)
        if part and (room < 0 or len(part) == PART_RECORDS):
            yield part
            part, room = [], PART_BYTES - len(change.value)
        part.append(change)
    if part:
        yield part
