"""`BotWireByteStore`: bytes by key, for CacheBackedEmbeddings, docstores and the like."""

from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Iterator, Sequence

from langchain_core.stores import ByteStore

from botwire import AsyncMemory, Memory
from botwire.jsontext import encode
from botwire.operations import DeleteMany, GetMany, SetMany
from botwire_langchain.faces import Faces

__all__ = ["BotWireByteStore"]


class BotWireByteStore(ByteStore):
    """Keeps bytes; many at once in one round trip.

    Args:
        namespace: where they are kept. Keys are those of BotWire: up to 512 bytes, without NUL.
        url: `sqlite:///memory.db` or a server; without it BOTWIRE_URL, then the hosted service.
        api_key: for servers that want one; without it BOTWIRE_API_KEY.
        memory: a Memory or AsyncMemory to use instead of the three above.
        ttl: seconds an entry lives after it was set.

    >>> store = BotWireByteStore(url="memory://")
    >>> store.mset([("a", b"1"), ("b", b"2")])
    >>> store.mget(["b", "c"])
    [b'2', None]
    """

    def __init__(
        self,
        *,
        namespace: str = "byte-store",
        url: str | None = None,
        api_key: str | None = None,
        memory: Memory | AsyncMemory | None = None,
        ttl: float | None = None,
    ) -> None:
        self._faces = Faces(memory, namespace, url, api_key)
        self.ttl = ttl
        self._set([])  # refuses what is no time to live

    def mget(self, keys: Sequence[str]) -> list[bytes | None]:
        """The bytes of these keys, in their order; None where there are none."""
        return _decoded(keys, self._faces.sync.run(self._get(keys)))

    async def amget(self, keys: Sequence[str]) -> list[bytes | None]:
        return _decoded(keys, await self._faces.awaited.run(self._get(keys)))

    def _get(self, keys: Sequence[str]) -> GetMany:
        return GetMany(self._faces.namespace, tuple(keys))

    def mset(self, key_value_pairs: Sequence[tuple[str, bytes]]) -> None:
        """Set all of these or none."""
        self._faces.sync.run(self._set(key_value_pairs))

    async def amset(self, key_value_pairs: Sequence[tuple[str, bytes]]) -> None:
        await self._faces.awaited.run(self._set(key_value_pairs))

    def _set(self, pairs: Sequence[tuple[str, bytes]]) -> SetMany:
        texts = {key: encode(b64encode(value).decode()) for key, value in pairs}
        return SetMany(self._faces.namespace, texts, self.ttl)

    def mdelete(self, keys: Sequence[str]) -> None:
        """Delete these; those that do not exist are passed over."""
        self._faces.sync.run(DeleteMany(self._faces.namespace, tuple(keys)))

    async def amdelete(self, keys: Sequence[str]) -> None:
        await self._faces.awaited.run(DeleteMany(self._faces.namespace, tuple(keys)))

    def yield_keys(self, *, prefix: str | None = None) -> Iterator[str]:
        """The keys that start with `prefix`, in order; a round trip for each thousand."""
        for entry in self._faces.sync.entries(prefix or "", values=False):
            yield entry.key

    async def ayield_keys(  # type: ignore[override]  # the base class says Iterator | AsyncIterator
        self, *, prefix: str | None = None
    ) -> AsyncIterator[str]:
        async for entry in self._faces.awaited.entries(prefix or "", values=False):
            yield entry.key


def _decoded(keys: Sequence[str], found: dict[str, str]) -> list[bytes | None]:
    return [b64decode(found[key]) if key in found else None for key in keys]
