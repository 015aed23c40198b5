"""`BotWireCache` looks documents up by the item they came from; `BotWireCacheWriter` keeps them.

The sockets are those of Haystack's `CacheChecker`. All items of a run take one round trip, and the
key is a hash of the item, so that items may be any JSON value of any length.
"""

from collections.abc import Iterable
from hashlib import sha256
from typing import Any

from haystack import Document, component
from haystack.utils import Secret

from botwire.jsontext import encode
from botwire.operations import SetMany
from haystack_integrations.common.botwire import API_KEY, Backed, Owner, as_json, segment

__all__ = ["BotWireCache", "BotWireCacheWriter"]


@component
class BotWireCache(Backed):
    """Tells items whose documents are known from those that are to be fetched.

    Args:
        namespace, url, api_key, timeout: where; see `Backed`.
        cache_field: the field of the documents' meta that names the item, such as `url`.
        ttl: seconds documents are kept; None: for ever.
        sliding: looking them up starts the ttl anew.

    >>> cache = BotWireCache(url="memory://", cache_field="url", ttl=3600)
    >>> page = Document(content="hello", meta={"url": "https://example.com"})
    >>> BotWireCacheWriter(cache).run([page])
    {'documents_written': 1}
    >>> found = cache.run(["https://example.com", "https://example.org"])
    >>> found["hits"][0].content, found["misses"]
    ('hello', ['https://example.org'])
    """

    def __init__(
        self,
        namespace: str = "haystack",
        *,
        cache_field: str,
        url: str | None = None,
        api_key: Secret | None = API_KEY,
        timeout: float = 30.0,
        ttl: float | None = None,
        sliding: bool = False,
    ) -> None:
        Backed.__init__(self, namespace, url=url, api_key=api_key, timeout=timeout)  # see `Backed`
        self.cache_field = cache_field
        self.ttl = ttl
        self.sliding = sliding

    def _parameters(self) -> dict[str, Any]:
        return {"cache_field": self.cache_field, "ttl": self.ttl, "sliding": self.sliding}

    @component.output_types(hits=list[Document], misses=list)
    def run(self, items: list[Any]) -> dict[str, list[Any]]:
        """Documents of the items that are known (`hits`), and the other items (`misses`)."""
        keys = self._keys(items)
        return _sorted_out(items, keys, self.memory.get_many(keys))

    @component.output_types(hits=list[Document], misses=list)
    async def run_async(self, items: list[Any]) -> dict[str, list[Any]]:
        """As `run`."""
        keys = self._keys(items)
        return _sorted_out(items, keys, await self.async_memory.get_many(keys))

    def keeping(self, documents: Iterable[Document]) -> SetMany:
        """The operation that keeps these documents, in place of earlier ones of the same items.

        Raises:
            ValueError: a document lacks the cache field.
        """
        field, by_key = self.cache_field.removeprefix("meta."), dict[str, list[Any]]()
        for document in documents:
            if field not in document.meta:
                raise ValueError(f"document {document.id} has no {field!r} in its meta")
            by_key.setdefault(self._key(document.meta[field]), []).append(document)
        texts = {
            key: as_json([document.to_dict(flatten=False) for document in group])
            for key, group in by_key.items()
        }
        return SetMany(self.namespace, texts, self.ttl, self.sliding)

    def _keys(self, items: Iterable[Any]) -> list[str]:
        return [self._key(item) for item in items]

    def _key(self, item: Any) -> str:
        digest = sha256(encode(item).encode()).hexdigest()
        return f"cache/{segment(self.cache_field.removeprefix('meta.'))}/{digest}"


@component
class BotWireCacheWriter(Owner):
    """Keeps documents for a `BotWireCache`.

    Args:
        cache: the cache; its field, ttl and address apply.
    """

    def __init__(self, cache: BotWireCache) -> None:
        self.cache = cache

    def _store(self) -> BotWireCache:
        return self.cache

    def _parameters(self) -> dict[str, Any]:
        return {"cache": self.cache}

    @component.output_types(documents_written=int)
    def run(self, documents: list[Document]) -> dict[str, int]:
        """Keep documents and say how many they were."""
        self.cache.memory.run(self.cache.keeping(documents))
        return {"documents_written": len(documents)}

    @component.output_types(documents_written=int)
    async def run_async(self, documents: list[Document]) -> dict[str, int]:
        """As `run`."""
        await self.cache.async_memory.run(self.cache.keeping(documents))
        return {"documents_written": len(documents)}


def _sorted_out(items: list[Any], keys: list[str], found: dict[str, Any]) -> dict[str, list[Any]]:
    pairs = list(zip(items, keys, strict=True))
    hits = [Document.from_dict(data) for _, key in pairs for data in found.get(key, ())]
    return {"hits": hits, "misses": [item for item, key in pairs if key not in found]}
