"""Whose memories, and which of them: pure parts of the memory store."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from haystack import Document
from haystack.dataclasses import ChatMessage
from haystack.utils.filters import document_matches_filter

from botwire import Entry
from haystack_integrations.common.botwire import message_of, segment, unsegment
from haystack_integrations.memory_stores.botwire.ranking import scores

__all__ = ["PREFIX", "Scope", "Search"]

PREFIX = "memories/"
FACTS = "retrieved_memory_metadata"  # where mem0-haystack puts them, too


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose memories: any of the three ids; what is None does not matter."""

    user_id: str | None = None
    agent_id: str | None = None
    run_id: str | None = None

    @property
    def ids(self) -> tuple[str | None, ...]:
        return self.user_id or None, self.agent_id or None, self.run_id or None

    def required(self) -> "Scope":
        if not any(self.ids):
            raise ValueError("give at least one of user_id, agent_id and run_id")
        return self

    @property
    def path(self) -> str:
        """Where memories of exactly this scope are."""
        return PREFIX + "".join(f"{segment(id_ or '')}/" for id_ in self.ids)

    @property
    def prefix(self) -> str:
        """What the keys of all memories of this scope begin with."""
        known = self.ids[: self.ids.index(None)] if None in self.ids else self.ids
        return PREFIX + "".join(f"{segment(id_ or '')}/" for id_ in known)

    @property
    def exact(self) -> bool:
        """Whether nothing else is under the prefix."""
        known = [id_ is not None for id_ in self.ids]
        return known == sorted(known, reverse=True)

    def holds(self, key: str) -> bool:
        """Whether the memory at this key belongs to the scope."""
        return all(id_ in (None, other) for id_, other in zip(self.ids, _owners(key), strict=True))


def _owners(key: str) -> list[str]:
    return [unsegment(part) for part in key.removeprefix(PREFIX).split("/")[:3]]


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for among the memories of a scope."""

    query: str | None
    filters: dict[str, Any] | None
    top_k: int
    metadata: bool

    def among(self, entries: Sequence[Entry]) -> list[ChatMessage]:
        """The best matches first; without a query the newest first."""
        memories = [_Memory.of(entry) for entry in entries]
        if self.filters:
            memories = [memory for memory in memories if self._passes(memory)]
        memories.sort(key=lambda memory: memory.entry.version, reverse=True)
        if self.query:
            memories = _ranked(self.query, memories)
        found = memories[: max(self.top_k, 0)]
        return [memory.described() if self.metadata else memory.message for memory in found]

    def _passes(self, memory: "_Memory") -> bool:
        document = Document(
            id=memory.entry.key,  # given, or Haystack computes a hash of everything
            content=memory.text,
            meta={**memory.message.meta, **memory.facts()},
        )
        return document_matches_filter(self.filters or {}, document)


@dataclass(frozen=True, slots=True)
class _Memory:
    entry: Entry
    message: ChatMessage
    score: float | None = None

    @classmethod
    def of(cls, entry: Entry) -> "_Memory":
        return cls(entry, message_of(entry.value))

    @property
    def text(self) -> str:
        results = [str(result.result) for result in self.message.tool_call_results]
        return "\n".join([*self.message.texts, *results])

    def facts(self) -> dict[str, Any]:
        owners = [owner or None for owner in _owners(self.entry.key)]
        return {
            "memory_id": self.entry.key.removeprefix(PREFIX),
            **dict(zip(("user_id", "agent_id", "run_id"), owners, strict=True)),
            "created_at": self.entry.created_at.isoformat(),
            "updated_at": self.entry.updated_at.isoformat(),
        }

    def described(self) -> ChatMessage:
        facts = self.facts() | ({} if self.score is None else {"score": self.score})
        return replace(self.message, _meta={**self.message.meta, FACTS: facts})


def _ranked(query: str, memories: Sequence[_Memory]) -> list[_Memory]:
    """Best first, the newer one of equals; what has no word of the query is left out."""
    points = scores(query, [memory.text for memory in memories])
    scored = [replace(memory, score=score) for memory, score in zip(memories, points, strict=True)]
    matches = [memory for memory in scored if memory.score]
    return sorted(matches, key=lambda memory: memory.score or 0.0, reverse=True)
