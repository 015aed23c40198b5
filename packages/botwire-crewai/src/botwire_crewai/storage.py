"""`BotWireStorage`: where CrewAI's `Memory` keeps its records.

- All conditions of a call hold together, and a scope means its whole path segments.
- Saving an id again replaces the record. An update keeps `source` and `private` where CrewAI lost
  them (its consolidation rebuilds records without them).
- All vectors have one dimension, which the first save writes down; a save of another one fails,
  even when two processes begin at the same time.
- What goes wrong is raised, logged, and stands in `failure` until something works again: CrewAI
  itself swallows some errors of a storage.
"""

import asyncio
import logging
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Self

from crewai.memory.types import MemoryRecord, ScopeInfo
from pydantic import SecretStr

from botwire import BotWireError
from botwire.errors import InvalidRequest
from botwire_crewai.index import Filter, Index, Row, Score
from botwire_crewai.mirror import RECORDS, SEEN, Mirror
from botwire_crewai.place import open_memory
from botwire_crewai.records import (
    EmbeddingDimensionMismatchError,
    children,
    from_json,
    path,
    vector_of,
)
from botwire_crewai.writer import Writer

__all__ = ["BotWireStorage"]

logger = logging.getLogger(__name__)

Found = list[tuple[MemoryRecord, float]]


class BotWireStorage:
    """A storage for `crewai.Memory`, and for everything that speaks `StorageBackend`.

    Vectors are compared in this process, in a matrix that one small request a search brings up to
    date. Building a storage costs nothing and touches nothing.

    Args:
        namespace: where the records are; give each `Memory` one of its own.
        url, api_key, timeout: as for `botwire.Memory`.
        ttl: seconds a record lives from its last save; `metadata["ttl_seconds"]` goes first.
        score: "cosine", between 0 and 1, which CrewAI's weights assume; or "lance", the score of
            the default storage, 1 / (1 + squared distance).
        touch: write down when a record was recalled: one write for each record found.
        allow_full_reset: False refuses to delete everything, which `crew.reset_memories` asks for
            whatever `root_scope` a memory has.

    >>> from crewai.memory.types import MemoryRecord
    >>> storage = BotWireStorage("crew", url="memory://")
    >>> storage.save([MemoryRecord(content="Oslo is in Norway", embedding=[1.0, 0.0])])
    >>> [(record.content, score) for record, score in storage.search([2.0, 0.0])]
    [('Oslo is in Norway', 1.0)]
    """

    def __init__(
        self,
        namespace: str,
        *,
        url: str | None = None,
        api_key: str | None = None,
        timeout: float = 30.0,
        ttl: float | None = None,
        score: Score = "cosine",
        touch: bool = True,
        allow_full_reset: bool = True,
    ) -> None:
        key = SecretStr(api_key) if api_key else None
        self.namespace = namespace
        self.score: Score = score
        self.touch = touch
        self.allow_full_reset = allow_full_reset
        self.failure: BotWireError | None = None
        self.mirror = Mirror(open_memory(namespace, url, key, timeout))
        self._writer = Writer(self.mirror, ttl)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # a place, not a value; CrewAI copies crews for each input

    def __repr__(self) -> str:
        return f"BotWireStorage({self.namespace!r})"

    @contextmanager
    def watched(self) -> Generator[None]:
        """Log what goes wrong inside and keep it as `failure`."""
        try:
            yield
        except BotWireError as error:
            self.failure = error
            logger.error("memory %r: %s", self.namespace, error)
            raise
        self.failure = None

    @contextmanager
    def index(self) -> Generator[Index]:
        """All records, as they are now."""
        with self.watched(), self.mirror.fresh() as index:
            yield index

    def wanted(self, wanted: Filter) -> Filter:
        """What a call means by its conditions; a `Lens` narrows it down."""
        return wanted

    def _rows(self, scope: str | None) -> list[Row]:
        with self.index() as index:
            return [index.rows[row] for row in index.matching(self.wanted(Filter(scope)))]

    # -- writing ---------------------------------------------------------------------------------

    def save(self, records: list[MemoryRecord]) -> None:
        """Write these records durably, replacing those with the same ids.

        Raises:
            EmbeddingDimensionMismatchError: the vectors are not like those stored.
        """
        with self.watched():
            self._writer.save(records)

    def update(self, record: MemoryRecord) -> None:
        """Replace a record, or add it. A `source` or `private` that is not set stays as stored."""
        with self.watched():
            self._writer.update(record)

    def delete(
        self,
        scope_prefix: str | None = None,
        categories: list[str] | None = None,
        record_ids: list[str] | None = None,
        older_than: datetime | None = None,
        metadata_filter: dict[str, Any] | None = None,
    ) -> int:
        """Delete the records that meet all of these conditions; how many they were."""
        with self.watched():
            conditions = (scope_prefix, categories, record_ids, older_than, metadata_filter)
            return self._writer.delete(self.wanted(Filter(*conditions)))

    def reset(self, scope_prefix: str | None = None) -> None:
        """Delete all records in a scope and below it; without one, all there are.

        Raises:
            InvalidRequest: there is no scope, and `allow_full_reset` is False.
        """
        if path(scope_prefix) != "/":
            self.delete(scope_prefix)
            return
        if not self.allow_full_reset:
            raise InvalidRequest(
                f"memory {self.namespace!r} may not be emptied (allow_full_reset=False)",
                hint="Name a scope: memory.reset('/crew/research').",
            )
        with self.watched():
            self.mirror.reset()

    def touch_records(self, record_ids: list[str]) -> None:
        """Write down that these records were recalled now."""
        if self.touch:
            with self.watched():
                self._writer.saw(record_ids, datetime.now(UTC).replace(tzinfo=None).isoformat())

    def close(self) -> None:
        """Give the connection back. The next call opens another one."""
        self.mirror.close()

    # -- reading ---------------------------------------------------------------------------------

    def search(
        self,
        query_embedding: list[float],
        scope_prefix: str | None = None,
        categories: list[str] | None = None,
        metadata_filter: dict[str, Any] | None = None,
        limit: int = 10,
        min_score: float = 0.0,
    ) -> Found:
        """The nearest records among those that meet all conditions, best first, with scores 0..1.

        Raises:
            EmbeddingDimensionMismatchError: the vector is not like those stored.
        """
        wanted = self.wanted(Filter(scope_prefix, categories, metadata=metadata_filter))
        with self.index() as index:
            stored = self.mirror.dimension
            if stored is not None and stored.size != len(query_embedding):
                raise EmbeddingDimensionMismatchError(stored.size, len(query_embedding))
            return index.nearest(query_embedding, wanted, limit, min_score, self.score)

    def get_record(self, record_id: str) -> MemoryRecord | None:
        """The record with this id, or None."""
        with self.watched():
            found = self.mirror.memory.get_many([RECORDS + record_id, SEEN + record_id])
        data: dict[str, Any] | None = found.get(RECORDS + record_id)
        if data is None:
            return None
        seen = found.get(SEEN + record_id, data["last_accessed"])
        return from_json(record_id, {**data, "last_accessed": seen}, vector_of(data))

    def list_records(
        self, scope_prefix: str | None = None, limit: int = 200, offset: int = 0
    ) -> list[MemoryRecord]:
        """The records in a scope and below it, newest first."""
        with self.index() as index:
            rows = index.matching(self.wanted(Filter(scope_prefix)))
            rows.sort(key=lambda row: index.rows[row].created_at, reverse=True)
            return [index.record(row) for row in rows[offset : offset + limit]]

    def get_scope_info(self, scope: str) -> ScopeInfo:
        """What a scope holds, with what is below it."""
        rows = self._rows(scope)
        times = [row.created_at for row in rows]
        return ScopeInfo(
            path=path(scope),
            record_count=len(rows),
            categories=sorted(_categories(rows)),
            oldest_record=min(times, default=None),
            newest_record=max(times, default=None),
            child_scopes=children((row.scope for row in rows), path(scope)),
        )

    def list_scopes(self, parent: str = "/") -> list[str]:
        """The scopes one step below `parent`, in order."""
        return children((row.scope for row in self._rows(parent)), path(parent))

    def list_categories(self, scope_prefix: str | None = None) -> dict[str, int]:
        """How many records have which category."""
        return _categories(self._rows(scope_prefix))

    def count(self, scope_prefix: str | None = None) -> int:
        """How many records are in a scope and below it."""
        return len(self._rows(scope_prefix))

    # -- for callers that wait -------------------------------------------------------------------

    async def asave(self, records: list[MemoryRecord]) -> None:
        """`save`, for asynchronous code."""
        await asyncio.to_thread(self.save, records)

    async def asearch(
        self,
        query_embedding: list[float],
        scope_prefix: str | None = None,
        categories: list[str] | None = None,
        metadata_filter: dict[str, Any] | None = None,
        limit: int = 10,
        min_score: float = 0.0,
    ) -> Found:
        """`search`, for asynchronous code."""
        conditions = (scope_prefix, categories, metadata_filter, limit, min_score)
        return await asyncio.to_thread(self.search, query_embedding, *conditions)

    async def adelete(
        self,
        scope_prefix: str | None = None,
        categories: list[str] | None = None,
        record_ids: list[str] | None = None,
        older_than: datetime | None = None,
        metadata_filter: dict[str, Any] | None = None,
    ) -> int:
        """`delete`, for asynchronous code."""
        conditions = (scope_prefix, categories, record_ids, older_than, metadata_filter)
        return await asyncio.to_thread(self.delete, *conditions)


def _categories(rows: Iterable[Row]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in rows:
        for category in row.data["categories"]:
            counts[category] = counts.get(category, 0) + 1
    return counts
