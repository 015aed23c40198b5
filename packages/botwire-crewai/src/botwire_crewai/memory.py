"""CrewAI's `Memory` over BotWire: by name (`register_botwire`), or with its losses mended.

What `BotWireMemory` mends is the framework's own and not the storage's: which scopes a deep recall
searches, whose private records it shows, which errors it swallows, and that a memory in use makes
every checkpoint of its crew fail.
"""

import contextvars
from collections.abc import Callable
from copy import copy
from functools import cache
from typing import Any, Literal

from crewai import Memory
from crewai.events.event_bus import crewai_event_bus
from crewai.events.types.memory_events import MemoryQueryFailedEvent
from crewai.memory.storage.factory import resolve_memory_storage, set_memory_storage_factory
from crewai.memory.types import MemoryMatch, MemoryRecord
from crewai.memory.utils import join_scope_paths

from botwire import BotWireError
from botwire.errors import InvalidRequest
from botwire_crewai.index import Reader
from botwire_crewai.lens import Lens, RecallLens
from botwire_crewai.records import path, within
from botwire_crewai.storage import BotWireStorage

__all__ = ["BotWireMemory", "register_botwire"]

SPEC = "botwire:"


def register_botwire(namespace: str | None = None, **settings: Any) -> None:
    """Let `Memory(storage="botwire:<namespace>")` keep its records in BotWire, in this process.

    Call it once, before memories are made, and before a crew is restored from a checkpoint. It
    replaces a factory that was set before.

    Args:
        namespace: where `memory=True` and `Memory()` go, too; without it they stay where they are.
        settings: as for `BotWireStorage`: url, api_key, timeout, ttl, score, touch ...

    >>> register_botwire(url="memory://")
    >>> Memory(storage="botwire:crew-a").list_scopes()
    []
    """

    @cache
    def storage(name: str) -> BotWireStorage:
        return BotWireStorage(name, **settings)

    def factory(spec: str) -> BotWireStorage | None:
        if spec.startswith(SPEC):
            return storage(spec.removeprefix(SPEC))
        return storage(namespace) if namespace is not None and spec == "lancedb" else None

    set_memory_storage_factory(factory)


class BotWireMemory(Memory):
    """`crewai.Memory`, without what it loses on the way.

    - A deep recall also searches the scope it was asked for, not only the scopes below it, and
      never one outside of it. It asks the server once.
    - Private records of others neither show up nor take the place of what does, and are not
      rewritten when somebody else remembers something similar.
    - A memory that cannot be read raises, where CrewAI answers "nothing found"; `failure` holds
      the last error until something works again.
    - `update` and `reset_all` (`crew.reset_memories`) stay below `root_scope`.
    - A crew that uses it can be checkpointed.

    Args:
        storage: a `BotWireStorage`, or "botwire:<namespace>". All else as for `crewai.Memory`.

    >>> memory = BotWireMemory(storage=BotWireStorage("crew-a", url="memory://"))
    >>> memory.list_scopes()
    []
    """

    def model_post_init(self, context: Any, /) -> None:
        # Resolved here, since CrewAI takes a name it does not know for the path of a new database.
        self.storage = _resolved(self.storage)
        super().model_post_init(context)
        # The name can stand in a checkpoint; the object cannot.
        self.storage = SPEC + self._botwire.namespace

    @property
    def _botwire(self) -> BotWireStorage:
        storage = self._storage
        assert isinstance(storage, BotWireStorage)  # noqa: S101  model_post_init saw to that
        return storage

    @property
    def failure(self) -> BotWireError | None:
        """What went wrong last, unless something worked since."""
        return self._botwire.failure

    def recall(
        self,
        query: str,
        scope: str | None = None,
        categories: list[str] | None = None,
        limit: int = 10,
        depth: Literal["shallow", "deep"] = "deep",
        source: str | None = None,
        include_private: bool = False,
    ) -> list[MemoryMatch]:
        """As in `Memory`, in the scope itself and below it.

        Raises:
            BotWireError: the memory cannot be read.
            EmbeddingDimensionMismatchError: another embedder wrote it.
        """
        self.drain_writes()
        reader = None if include_private else Reader(source)
        try:
            lens = RecallLens(self._botwire, reader, join_scope_paths(self.root_scope, scope))
        except BotWireError as error:
            self._emit_failed(query, limit, error)
            raise
        lens.touch = lens.touch and not self.read_only  # CrewAI 1.14 writes all the same
        conditions = (scope, categories, limit, depth, source, include_private)
        found = self._through(lens, Memory.recall, query, *conditions)
        if lens.trouble is not None:
            self._emit_failed(query, limit, lens.trouble)
            raise lens.trouble
        return found

    def _emit_failed(self, query: str, limit: int, error: Exception) -> None:
        event = MemoryQueryFailedEvent(
            query=query,
            limit=limit,
            score_threshold=None,
            error=str(error),
            source_type="unified_memory",
        )
        crewai_event_bus.emit(self, event)

    def _encode_batch(
        self,
        contents: list[str],
        scope: str | None = None,
        categories: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        importance: float | None = None,
        source: str | None = None,
        private: bool = False,
        root_scope: str | None = None,
    ) -> list[MemoryRecord]:
        lens = Lens(self._botwire, Reader(source))
        rest = (scope, categories, metadata, importance, source, private, root_scope)
        return self._through(lens, Memory._encode_batch, contents, *rest)

    def _through(self, lens: Lens, do: Callable[..., Any], *given: Any) -> Any:
        """Do it on a copy of this memory that looks through the lens.

        In a runtime state of its own: CrewAI enters the flows that recall and save into the state
        of the crew, which then cannot be written as a checkpoint any more.
        """
        view = copy(self)
        view._storage = lens
        apart = contextvars.copy_context()
        apart.run(crewai_event_bus.reset_runtime_state)
        try:
            return apart.run(do, view, *given)
        finally:  # made at their first use, which may have been this one
            self._llm_instance = view._llm_instance
            self._embedder_instance = view._embedder_instance

    # -- changing --------------------------------------------------------------------------------

    def update(
        self,
        record_id: str,
        content: str | None = None,
        scope: str | None = None,
        categories: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        importance: float | None = None,
    ) -> MemoryRecord:
        """As in `Memory`, for records below `root_scope`; a new scope is meant below it, too.

        Raises:
            ValueError: there is no such record.
        """
        existing = self._storage.get_record(record_id)
        if existing is None or not within(path(existing.scope), path(self.root_scope)):
            raise ValueError(f"Record not found: {record_id}")
        moved = None if scope is None else join_scope_paths(self.root_scope, scope)
        return super().update(record_id, content, moved, categories, metadata, importance)

    def reset_all(self) -> None:
        """Delete everything below `root_scope`; all there is only where there is none."""
        self.reset()


def _resolved(storage: Any) -> BotWireStorage:
    if isinstance(storage, str) and storage.startswith(SPEC):
        registered = resolve_memory_storage(storage)
        storage = registered or BotWireStorage(storage.removeprefix(SPEC))
    if not isinstance(storage, BotWireStorage):
        raise InvalidRequest(
            f"BotWireMemory keeps its records in BotWire, not in {storage!r}",
            hint='Name a namespace: BotWireMemory(storage="botwire:my-crew").',
        )
    return storage
