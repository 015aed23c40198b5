"""`BotWireMemoryStore`: memories of users, agents and runs, found by words and filters.

- A memory is the message at `memories/<user>/<agent>/<run>/<hash>`, whole. The hash is of its
  content, so saying the same thing twice in one scope leaves one memory, as new as the last time.
- A search sees only the scope it names. Ids and filters both hold; neither replaces the other.
- No model decides what is remembered, and none is needed to find it.
"""

from collections.abc import Iterable
from dataclasses import replace
from hashlib import sha256
from typing import Any

from haystack.dataclasses import ChatMessage
from haystack.utils import Secret

from botwire import Entry, Page
from botwire.operations import Clear, DeleteMany, Scan, SetMany
from haystack_integrations.common.botwire import API_KEY, MESSAGE_ID, Backed, Flow, message_json
from haystack_integrations.memory_stores.botwire.search import PREFIX, Scope, Search

__all__ = ["BotWireMemoryStore"]


class BotWireMemoryStore(Backed):
    """Memories as messages, for `BotWireMemoryRetriever` and `BotWireMemoryWriter` or by hand.

    Args:
        namespace, url, api_key, timeout: where; see `Backed`.
        ttl: seconds a memory lives after it was last written; None: for ever.
        sliding: finding a memory starts its ttl anew, too.

    >>> store = BotWireMemoryStore(url="memory://")
    >>> ids = store.add_memories(messages=[ChatMessage.from_user("I drink tea")], user_id="ada")
    >>> [found.text for found in store.search_memories(query="tea or coffee?", user_id="ada")]
    ['I drink tea']
    """

    def __init__(
        self,
        namespace: str = "haystack",
        *,
        url: str | None = None,
        api_key: Secret | None = API_KEY,
        timeout: float = 30.0,
        ttl: float | None = None,
        sliding: bool = False,
    ) -> None:
        super().__init__(namespace, url=url, api_key=api_key, timeout=timeout)
        self.ttl = ttl
        self.sliding = sliding

    def _parameters(self) -> dict[str, Any]:
        return {"ttl": self.ttl, "sliding": self.sliding}

    def add_memories(
        self,
        *,
        messages: Iterable[ChatMessage],
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
    ) -> list[str]:
        """Remember messages and return their memory ids, in order. All are kept or none.

        Raises:
            ValueError: none of the three ids is given.
            InvalidValue: a message holds something that has no JSON form.
        """
        return self.drive(self._adding(messages, Scope(user_id, agent_id, run_id).required()))

    async def add_memories_async(
        self,
        *,
        messages: Iterable[ChatMessage],
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
    ) -> list[str]:
        """As `add_memories`."""
        scope = Scope(user_id, agent_id, run_id).required()
        return await self.drive_async(self._adding(messages, scope))

    def search_memories(
        self,
        *,
        query: str | None = None,
        filters: dict[str, Any] | None = None,
        top_k: int = 5,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        include_memory_metadata: bool = False,
    ) -> list[ChatMessage]:
        """Find memories: the best matches for `query` first; without a query the newest first.

        Args:
            query: words to look for; memories with none of them are left out.
            filters: Haystack filters on `meta.<name>`, `content`, `user_id`, `agent_id`, `run_id`.
            top_k: at most this many.
            user_id, agent_id, run_id: whose memories; what is left out does not matter.
            include_memory_metadata: tell in `meta["retrieved_memory_metadata"]` the memory's
                `memory_id`, scope, times and score.

        Raises:
            ValueError: neither an id nor filters are given.
            FilterError: the filters are malformed.
        """
        scope = Scope(user_id, agent_id, run_id)
        asked = Search(query, filters, top_k, include_memory_metadata)
        return self.drive(self._searching(scope, asked))

    async def search_memories_async(
        self,
        *,
        query: str | None = None,
        filters: dict[str, Any] | None = None,
        top_k: int = 5,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        include_memory_metadata: bool = False,
    ) -> list[ChatMessage]:
        """As `search_memories`."""
        scope = Scope(user_id, agent_id, run_id)
        asked = Search(query, filters, top_k, include_memory_metadata)
        return await self.drive_async(self._searching(scope, asked))

    def delete_memory(self, memory_id: str) -> bool:
        """Forget one memory; True if it was there."""
        return self.memory.delete(PREFIX + memory_id)

    async def delete_memory_async(self, memory_id: str) -> bool:
        """As `delete_memory`."""
        return await self.async_memory.delete(PREFIX + memory_id)

    def delete_all_memories(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
    ) -> int:
        """Forget everything in a scope; how many memories it was.

        Raises:
            ValueError: none of the three ids is given.
        """
        return self.drive(self._deleting(Scope(user_id, agent_id, run_id).required()))

    async def delete_all_memories_async(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
    ) -> int:
        """As `delete_all_memories`."""
        return await self.drive_async(self._deleting(Scope(user_id, agent_id, run_id).required()))

    # -- flows -----------------------------------------------------------------------------------

    def _adding(self, messages: Iterable[ChatMessage], scope: Scope) -> Flow[list[str]]:
        texts = [message_json(_plain(message)) for message in messages]
        keys = [scope.path + sha256(text.encode()).hexdigest()[:32] for text in texts]
        if keys:
            values = dict(zip(keys, texts, strict=True))
            yield SetMany(self.namespace, values, self.ttl, self.sliding)
        return [key.removeprefix(PREFIX) for key in keys]

    def _searching(self, scope: Scope, asked: Search) -> Flow[list[ChatMessage]]:
        if not asked.filters:
            scope.required()
        return asked.among((yield from self._entries(scope)))

    def _deleting(self, scope: Scope) -> Flow[int]:
        if scope.exact:
            return (yield Clear(self.namespace, scope.prefix))
        entries = yield from self._entries(scope, values=False)
        return (yield DeleteMany(self.namespace, tuple(entry.key for entry in entries)))

    def _entries(self, scope: Scope, *, values: bool = True) -> Flow[list[Entry]]:
        scan: Scan | None = Scan(self.namespace, scope.prefix, values=values)
        found: list[Entry] = []
        while scan is not None:
            page: Page = yield scan
            found += [entry for entry in page.entries if scope.holds(entry.key)]
            scan = scan.after_cursor(page.cursor)
        return found


def _plain(message: ChatMessage) -> ChatMessage:
    """The message without the id a conversation gave it, which would make equal facts differ."""
    meta = {name: value for name, value in message.meta.items() if name != MESSAGE_ID}
    return replace(message, _meta=meta)
