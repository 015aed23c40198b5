"""`BotWireStore`: LangGraph's long-term store, blocking and asynchronous in one class."""

import warnings
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from langgraph.store.base import (
    NOT_PROVIDED,
    BaseStore,
    IndexConfig,
    NotProvided,
    Op,
    PutOp,
    Result,
    SearchOp,
    TTLConfig,
    validate_op_namespace,
)

from botwire import AsyncMemory, Memory
from botwire_langchain.faces import Faces
from botwire_langchain.store.flows import UNCHANGED, Embed, Shelf
from botwire_langchain.store.layout import Name
from botwire_langchain.store.vectors import Index

__all__ = ["BotWireStore"]

Value = dict[str, Any]


class BotWireStore(BaseStore):
    """Keeps what agents remember across threads: `graph.compile(store=BotWireStore())`.

    One object serves threads and any number of event loops. The order of a search is total (the
    most recently changed first), pages are full, expired items are never returned.

    Args:
        namespace: where the items are kept (a BotWire namespace; LangGraph's lie inside it).
        url: `sqlite:///memory.db` or a server; without it BOTWIRE_URL, then the hosted service.
        api_key: for servers that want one; without it BOTWIRE_API_KEY.
        memory: a Memory or AsyncMemory to use instead of the three above.
        ttl: LangGraph's TTLConfig: `default_ttl` in minutes (fractions allowed), `refresh_on_read`.
        index: LangGraph's IndexConfig. Embeddings are made here and compared here, so a search
            with `query` reads all embeddings under its prefix: right for thousands of items.

    >>> store = BotWireStore(url="memory://")
    >>> store.put(("users", "alice"), "food", {"likes": "pizza"})
    >>> [item.value for item in store.search(("users",), filter={"likes": "pizza"})]
    [{'likes': 'pizza'}]
    """

    supports_ttl = True

    def __init__(
        self,
        *,
        namespace: str = "store",
        url: str | None = None,
        api_key: str | None = None,
        memory: Memory | AsyncMemory | None = None,
        ttl: TTLConfig | None = None,
        index: IndexConfig | None = None,
    ) -> None:
        self._faces = Faces(memory, namespace, url, api_key)
        self.ttl_config = ttl
        self.index_config = index
        self._index = Index.of(index) if index else None

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Do all of these, in one round trip where `flows.py` does not say otherwise."""
        return self._faces.drive(self._shelf().batch(self._asked(ops)))

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        return await self._faces.adrive(self._shelf(awaited=True).batch(self._asked(ops)))

    def _asked(self, ops: Iterable[Op]) -> Sequence[Op]:
        asked = list(ops)
        if self._index is None and any(isinstance(op, SearchOp) and op.query for op in asked):
            warnings.warn(
                "query= is not used: this BotWireStore has no index=, so a search gives the most "
                "recently changed items, without scores",
                stacklevel=4,
            )
        return asked

    def _shelf(self, *, awaited: bool = False) -> Shelf:
        default = (self.ttl_config or {}).get("default_ttl")
        if self._index is None:
            return Shelf(self._faces.namespace, default, None, None)
        model = self._index.embeddings
        embed = Embed(model.embed_documents, model.embed_query)
        if awaited:
            embed = Embed(model.aembed_documents, model.aembed_query)
        return Shelf(self._faces.namespace, default, self._index, embed)

    # -- changing what others may change, too ----------------------------------------------------

    def update(
        self,
        namespace: tuple[str, ...],
        key: str,
        function: Callable[[Value | None], Value | None],
        *,
        ttl: float | NotProvided | None = NOT_PROVIDED,
    ) -> Value | None:
        """Replace an item's value by `function(value)` and return it; no other change is lost.

        `function` is given None where there is no item, may return None to delete it, and may run
        several times, on newer values. The ttl (in minutes, as for `put`) of an item that is there
        stays, unless one is given.
        """
        return self._faces.drive(self._shelf().change(_name(namespace, key), function, ttl))

    async def aupdate(
        self,
        namespace: tuple[str, ...],
        key: str,
        function: Callable[[Value | None], Value | Awaitable[Value | None] | None],
        *,
        ttl: float | NotProvided | None = NOT_PROVIDED,
    ) -> Value | None:
        shelf = self._shelf(awaited=True)
        return await self._faces.adrive(shelf.change(_name(namespace, key), function, ttl))

    def compare_and_set(
        self,
        namespace: tuple[str, ...],
        key: str,
        expected: Mapping[str, Any] | None,
        value: Value | None,
        *,
        ttl: float | NotProvided | None = NOT_PROVIDED,
    ) -> bool:
        """Put `value` (None: delete) only if the item's value is `expected` (None: no item).

        Returns whether it was so, and hence whether it was done.
        """
        decide, name = _if_it_is(expected, value), _name(namespace, key)
        return self._faces.drive(self._shelf().change(name, decide, ttl)) is not UNCHANGED

    async def acompare_and_set(
        self,
        namespace: tuple[str, ...],
        key: str,
        expected: Mapping[str, Any] | None,
        value: Value | None,
        *,
        ttl: float | NotProvided | None = NOT_PROVIDED,
    ) -> bool:
        decide, name = _if_it_is(expected, value), _name(namespace, key)
        changed = self._shelf(awaited=True).change(name, decide, ttl)
        return await self._faces.adrive(changed) is not UNCHANGED

    def close(self) -> None:
        """Give the connection back."""
        self._faces.close()

    async def aclose(self) -> None:
        await self._faces.aclose()


def _if_it_is(expected: Mapping[str, Any] | None, value: Value | None) -> Callable[[Any], Any]:
    return lambda current: value if current == expected else UNCHANGED


def _name(namespace: tuple[str, ...], key: object) -> Name:
    validate_op_namespace(PutOp(namespace, str(key), None))
    return Name(tuple(namespace), str(key))
