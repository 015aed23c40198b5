"""All records of one memory in this process: their facts in lists, their vectors in one matrix.

No I/O here; `mirror.py` keeps it in step with the store. Rows are dense: who leaves is replaced by
the last one. Filters come first and the best are chosen among what they leave, so a filter never
hides a match.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

import numpy as np
from crewai.memory.types import MemoryRecord
from numpy.typing import NDArray

from botwire_crewai.records import Vector, from_json, naive_utc, path, vector_of, within

__all__ = ["Filter", "Index", "Reader", "Row", "Score"]

Score = Literal["cosine", "lance"]


class Row(NamedTuple):
    """What is known about one record, but for its vector."""

    id: str
    data: Mapping[str, Any]
    version: int
    scope: str
    has_vector: bool

    @property
    def created_at(self) -> datetime:
        return datetime.fromisoformat(self.data["created_at"])


class Reader(NamedTuple):
    """Who asks: private records are seen by their own source alone."""

    source: str | None

    def may_see(self, row: Row) -> bool:
        data = row.data
        # Whoever names no source is nobody's namesake.
        return not data["private"] or (self.source is not None and data["source"] == self.source)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which records are meant; all conditions must hold. What is None or empty is no condition,
    but for `ids`, where empty means none."""

    scope: str | None = None
    categories: Sequence[str] | None = None
    ids: Sequence[str] | None = None
    older_than: datetime | None = None
    metadata: Mapping[str, Any] | None = None
    reader: Reader | None = None


class Index:
    """Records by id, and by how near they are to a vector."""

    def __init__(self) -> None:
        self.expected = 0  # records that are on their way; room is made for them at once
        self.rows: list[Row] = []
        self._at: dict[str, int] = {}
        self._seen: dict[str, str] = {}
        self._vectors: Vector = np.zeros((0, 0), np.float32)
        self._lengths: Vector = np.zeros(0, np.float32)

    def __contains__(self, record_id: str) -> bool:
        return record_id in self._at

    def version(self, record_id: str) -> int:
        """The version of a record; 0 if there is none."""
        row = self._at.get(record_id)
        return 0 if row is None else self.rows[row].version

    def put(self, record_id: str, data: Mapping[str, Any], version: int) -> None:
        """Add a record or replace it."""
        vector = vector_of(data)
        facts = {name: value for name, value in data.items() if name != "vector"}
        entry = Row(record_id, facts, version, path(data["scope"]), vector is not None)
        row = self._at.setdefault(record_id, len(self.rows))
        self.rows[row : row + 1] = [entry]  # in its place, or behind the last
        self._make_room(0 if vector is None else len(vector))
        fits = vector is not None and len(vector) == self._vectors.shape[1]
        self._vectors[row] = vector if fits else 0.0
        self._lengths[row] = float(np.linalg.norm(self._vectors[row]))

    def _make_room(self, dimension: int) -> None:
        capacity, width = self._vectors.shape
        if len(self.rows) <= capacity and (width or not dimension):
            return
        room = max(64, capacity, self.expected, len(self.rows) * 3 // 2)
        vectors = np.zeros((room, width or dimension), np.float32)
        if width:
            vectors[:capacity] = self._vectors
        lengths = np.zeros(room, np.float32)
        lengths[:capacity] = self._lengths
        self._vectors, self._lengths = vectors, lengths

    def drop(self, record_id: str) -> None:
        """Take a record out, if it is there."""
        row = self._at.pop(record_id, None)
        self._seen.pop(record_id, None)
        if row is None:
            return
        last = self.rows.pop()
        if last.id != record_id:
            self.rows[row] = last
            self._at[last.id] = row
            self._vectors[row] = self._vectors[len(self.rows)]
            self._lengths[row] = self._lengths[len(self.rows)]

    def saw(self, record_id: str, when: str) -> None:
        """A record was read at this time."""
        self._seen[record_id] = when

    def unsee(self, record_id: str) -> None:
        self._seen.pop(record_id, None)

    # -- asking --------------------------------------------------------------------------------

    def matching(self, wanted: Filter) -> list[int]:
        """The rows that meet all conditions."""
        if wanted.ids is not None:
            rows = sorted({self._at[one] for one in wanted.ids if one in self._at})
        else:
            rows = list(range(len(self.rows)))
        for condition in _conditions(wanted, self.rows):
            rows = [row for row in rows if condition(self.rows[row])]
        return rows

    def nearest(
        self,
        query: Sequence[float],
        wanted: Filter,
        limit: int,
        min_score: float,
        score: Score,
    ) -> list[tuple[MemoryRecord, float]]:
        """The records that meet the conditions and are nearest to the vector, best first."""
        rows = self.matching(wanted)
        scores = self._scores(np.asarray(query, np.float32), np.asarray(rows, np.intp), score)
        best = _largest(scores, limit)
        return [
            (self.record(rows[position]), float(scores[position]))
            for position in map(int, best)
            if scores[position] >= min_score
        ]

    def _scores(self, query: Vector, rows: NDArray[np.intp], score: Score) -> Vector:
        if not self._vectors.shape[1]:
            return np.zeros(len(rows), np.float32)
        length = float(np.linalg.norm(query))
        # Copying few rows is cheaper than multiplying all, and multiplying all than copying many.
        if len(rows) * 4 < len(self.rows):
            dots = self._vectors[rows] @ query
        else:
            dots = (self._vectors[: len(self.rows)] @ query)[rows]
        lengths = self._lengths[rows]
        if score == "lance":  # LanceDB's default: of the squared distance
            scores = 1 / (1 + np.maximum(length**2 + lengths**2 - 2 * dots, 0))
        else:
            scores = np.clip(dots / np.maximum(lengths * length, 1e-12), 0, 1)
        return scores.astype(np.float32)

    def record(self, row: int) -> MemoryRecord:
        entry = self.rows[row]
        vector = self._vectors[row] if entry.has_vector else None
        seen = self._seen.get(entry.id)
        data = entry.data if seen is None else {**entry.data, "last_accessed": seen}
        return from_json(entry.id, data, vector)


def _conditions(wanted: Filter, rows: Sequence[Row]) -> list[Callable[[Row], bool]]:
    found: list[Callable[[Row], bool]] = []
    parent = path(wanted.scope)
    if parent != "/":
        inside = {scope for scope in {row.scope for row in rows} if within(scope, parent)}
        found.append(lambda row: row.scope in inside)
    if wanted.older_than is not None:
        limit = naive_utc(wanted.older_than)
        found.append(lambda row: row.created_at < limit)
    if wanted.categories:
        named = set(wanted.categories)
        found.append(lambda row: not named.isdisjoint(row.data["categories"]))
    if wanted.metadata:
        members = wanted.metadata.items()
        found.append(lambda row: all(row.data["metadata"].get(k) == v for k, v in members))
    if wanted.reader is not None:
        found.append(wanted.reader.may_see)
    return found


def _largest(scores: Vector, limit: int) -> NDArray[np.intp]:
    """Positions of the largest scores, largest first; equal ones in their order."""
    if limit <= 0:
        return np.zeros(0, np.intp)
    if limit < len(scores):
        least = np.partition(scores, -limit)[-limit]
        positions = np.flatnonzero(scores >= least)
    else:
        positions = np.arange(len(scores))
    return positions[np.argsort(-scores[positions], kind="stable")][:limit]
