"""`BotWireToolResultStore`: where Haystack's `ToolResultOffloadHook` puts results too long to keep.

Each write makes an entry of its own behind a reference that nobody can guess: two runs whose tool
calls have the same id neither overwrite nor read each other's results.
"""

from base64 import b64decode, b64encode
from typing import Any
from uuid import uuid4

from haystack.utils import Secret

from botwire.errors import NotFound
from haystack_integrations.common.botwire import API_KEY, Backed

__all__ = ["BotWireToolResultStore"]

PREFIX = "tool-results/"


class BotWireToolResultStore(Backed):
    """Keeps texts and bytes; `BotWireToolResultReader` lets a model read the texts again.

    Args:
        namespace, url, api_key, timeout: where; see `Backed`.
        ttl: seconds a result is kept; None: for ever.

    >>> store = BotWireToolResultStore(url="memory://", ttl=86400)
    >>> store.read(store.write(key="1_search.txt", content="a long text"))
    'a long text'
    """

    supports_binary_content = True

    def __init__(
        self,
        namespace: str = "haystack",
        *,
        url: str | None = None,
        api_key: Secret | None = API_KEY,
        timeout: float = 30.0,
        ttl: float | None = None,
    ) -> None:
        super().__init__(namespace, url=url, api_key=api_key, timeout=timeout)
        self.ttl = ttl

    def _parameters(self) -> dict[str, Any]:
        return {"ttl": self.ttl}

    def write(self, *, key: str, content: str | bytes) -> str:
        """Keep a result and return the reference that reads it."""
        reference = f"{uuid4().hex}/{key}"
        self.memory.set(PREFIX + reference, _packed(content), ttl=self.ttl)
        return reference

    async def write_async(self, *, key: str, content: str | bytes) -> str:
        """As `write`."""
        reference = f"{uuid4().hex}/{key}"
        await self.async_memory.set(PREFIX + reference, _packed(content), ttl=self.ttl)
        return reference

    def read(self, reference: str) -> str | bytes:
        """What was written under this reference: text as text, bytes as bytes.

        Raises:
            NotFound: it was never written, or has expired.
        """
        return _unpacked(reference, self.memory.get(PREFIX + reference))

    async def read_async(self, reference: str) -> str | bytes:
        """As `read`."""
        return _unpacked(reference, await self.async_memory.get(PREFIX + reference))


def _packed(content: str | bytes) -> Any:
    return content if isinstance(content, str) else {"base64": b64encode(content).decode()}


def _unpacked(reference: str, data: Any) -> str | bytes:
    if data is None:
        raise NotFound(f"there is no tool result {reference!r} (any more)", key=reference)
    return data if isinstance(data, str) else b64decode(data["base64"])
