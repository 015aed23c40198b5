"""What can be done with memories, as flows over a LangGraph store: any store will do.

A flow yields calls on the store and is sent their results, so that blocking and asynchronous tools
are one. A memory is the item {"content": text}. The answers are for a model to read.
"""

import json
import re
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

from langgraph.store.base import BaseStore, SearchItem

__all__ = ["Memories", "adrive", "drive", "line"]

T = TypeVar("T")
PAGE = 100


class Call(NamedTuple):
    """A method of the store, to be called."""

    method: str
    arguments: tuple[Any, ...]
    options: dict[str, Any]


Flow = Generator[Call, Any, T]


def drive(store: BaseStore, flow: Flow[T]) -> T:
    """Run a flow on the store's blocking methods."""
    try:
        call = next(flow)
        while True:
            method = getattr(store, call.method)
            call = flow.send(method(*call.arguments, **call.options))
    except StopIteration as done:
        return done.value


async def adrive(store: BaseStore, flow: Flow[T]) -> T:
    """Run a flow on the store's asynchronous methods."""
    try:
        call = next(flow)
        while True:
            method = getattr(store, f"a{call.method}")
            call = flow.send(await method(*call.arguments, **call.options))
    except StopIteration as done:
        return done.value


def line(item: SearchItem) -> str:
    """A memory on one line; its text is quoted, so that it is seen to be data."""
    content = item.value.get("content", item.value)
    return f"- {item.key}: {json.dumps(content, ensure_ascii=False, default=str)}"


@dataclass(frozen=True, slots=True)
class Memories:
    """The memories of one namespace.

    Attributes:
        ttl: minutes a memory lives; None: for ever.
        indexed: whether the store finds by meaning; words are compared otherwise.
    """

    namespace: tuple[str, ...]
    ttl: float | None = None
    indexed: bool = False

    def remember(self, content: str, key: str | None) -> Flow[str]:
        name = key or uuid4().hex[:12]
        options = {} if self.ttl is None else {"ttl": self.ttl}
        yield Call("put", (self.namespace, name, {"content": content}), options)
        return f"Remembered under the key {name!r}."

    def recall(self, query: str, limit: int) -> Flow[str]:
        found = yield from self.matching(query, limit)
        if not found:
            return f"Nothing is remembered about {query!r}."
        return "\n".join(map(line, found))

    def matching(self, query: str, limit: int) -> Flow[list[SearchItem]]:
        """The memories that fit a query best: by meaning if the store can, else by its words."""
        if self.indexed:
            found = yield Call("search", (self.namespace,), {"query": query, "limit": limit})
            return self._own(found)
        items = yield from self._all()
        words = set(re.findall(r"\w+", query.casefold()))
        counted = [(sum(word in line(item).casefold() for word in words), item) for item in items]
        fitting = [(count, item) for count, item in counted if count]
        fitting.sort(key=lambda pair: pair[0], reverse=True)
        return [item for _, item in fitting[:limit]]

    def newest(self, limit: int) -> Flow[list[SearchItem]]:
        found = yield Call("search", (self.namespace,), {"limit": limit})
        return self._own(found)

    def list_memories(self) -> Flow[str]:
        items = yield from self._all()
        if not items:
            return "Nothing is remembered."
        more = f"\n({len(items) - PAGE} more)" if len(items) > PAGE else ""
        return "\n".join(map(line, items[:PAGE])) + more

    def forget(self, key: str) -> Flow[str]:
        if (yield Call("get", (self.namespace, key), {})) is None:
            return f"Nothing is remembered under the key {key!r}."
        yield Call("delete", (self.namespace, key), {})
        return f"Forgot {key!r}."

    def _all(self) -> Flow[list[SearchItem]]:
        items: list[SearchItem] = []
        while True:
            options = {"limit": PAGE, "offset": len(items)}
            page = yield Call("search", (self.namespace,), options)
            items += page
            if len(page) < PAGE:
                return self._own(items)

    def _own(self, items: Iterable[SearchItem]) -> list[SearchItem]:
        """Without those of namespaces below this one, which a search finds, too."""
        return [item for item in items if item.namespace == self.namespace]
