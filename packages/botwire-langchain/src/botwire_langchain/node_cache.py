"""`BotWireNodeCache`: what nodes of a graph wrote, for `compile(cache=...)` and `create_agent`."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langgraph.cache.base import BaseCache, FullKey, Namespace, ValueT
from langgraph.checkpoint.serde.base import SerializerProtocol

from botwire import AsyncMemory, Memory
from botwire.jsontext import encode
from botwire.operations import Batch, Clear, GetMany, Operation, Set
from botwire_langchain.checkpoint.codec import Codec, strict_serializer
from botwire_langchain.faces import Faces
from botwire_langchain.names import part

__all__ = ["BotWireNodeCache"]


class BotWireNodeCache(BaseCache[ValueT]):
    """Keeps what nodes wrote for an input, as long as their CachePolicy says.

    Args:
        namespace: where it is kept.
        url: `sqlite:///memory.db` or a server; without it BOTWIRE_URL, then the hosted service.
        api_key: for servers that want one; without it BOTWIRE_API_KEY.
        memory: a Memory or AsyncMemory to use instead of the three above.
        allow: classes of your own that may be built when something is read (see `BotWireSaver`).
        serde: another serializer; `allow` is then its own.

    >>> cache = BotWireNodeCache(url="memory://")
    >>> cache.set({(("node",), "input"): ("output", 60)})
    >>> cache.get([(("node",), "input"), (("node",), "other")])
    {(('node',), 'input'): 'output'}
    """

    def __init__(
        self,
        *,
        namespace: str = "node-cache",
        url: str | None = None,
        api_key: str | None = None,
        memory: Memory | AsyncMemory | None = None,
        allow: Iterable[type | tuple[str, str]] = (),
        serde: SerializerProtocol | None = None,
    ) -> None:
        super().__init__(serde=serde or strict_serializer(allow))
        self._faces = Faces(memory, namespace, url, api_key)
        self._codec = Codec(self.serde)

    def get(self, keys: Sequence[FullKey]) -> dict[FullKey, ValueT]:
        """What is kept for these keys; one round trip."""
        return self._read(keys, self._faces.sync.run(self._getting(keys)))

    async def aget(self, keys: Sequence[FullKey]) -> dict[FullKey, ValueT]:
        return self._read(keys, await self._faces.awaited.run(self._getting(keys)))

    def set(self, pairs: Mapping[FullKey, tuple[ValueT, int | None]]) -> None:
        """Keep these values, each for so many seconds (None: for ever); one round trip."""
        self._faces.sync.run(self._setting(pairs))

    async def aset(self, pairs: Mapping[FullKey, tuple[ValueT, int | None]]) -> None:
        await self._faces.awaited.run(self._setting(pairs))

    def clear(self, namespaces: Sequence[Namespace] | None = None) -> None:
        """Forget what is kept in these namespaces (not those below them), or everything."""
        self._faces.sync.run(self._clearing(namespaces))

    async def aclear(self, namespaces: Sequence[Namespace] | None = None) -> None:
        await self._faces.awaited.run(self._clearing(namespaces))

    def _getting(self, keys: Sequence[FullKey]) -> Operation:
        return GetMany(self._faces.namespace, tuple(map(_key, keys)))

    def _read(self, keys: Sequence[FullKey], found: Mapping[str, str]) -> dict[FullKey, Any]:
        texts = {key: found.get(_key(key)) for key in keys}
        return {key: self._codec.load(text) for key, text in texts.items() if text is not None}

    def _setting(self, pairs: Mapping[FullKey, tuple[ValueT, int | None]]) -> Operation:
        sets = [
            Set(self._faces.namespace, _key(key), encode(self._codec.pack(value)), ttl)
            for key, (value, ttl) in pairs.items()
        ]
        return Batch(self._faces.namespace, tuple(sets))

    def _clearing(self, namespaces: Sequence[Namespace] | None) -> Operation:
        prefixes = [""] if namespaces is None else map(_prefix, namespaces)
        clears = [Clear(self._faces.namespace, prefix) for prefix in prefixes]
        return Batch(self._faces.namespace, tuple(clears))


def _prefix(namespace: Namespace) -> str:
    return part(json.dumps(namespace)) + "/"


def _key(key: FullKey) -> str:
    return _prefix(key[0]) + part(key[1])
