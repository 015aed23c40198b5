"""`BotWireMemory`: AutoGen's `Memory` on BotWire.

- A memory is one entry under the prefix. Keys made here rise with time, so the order of keys is
  the order of time; entries that were given a name come after them and are always among the newest.
- Only `clear` and `delete` delete anything; `close` gives the connection back.
"""

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from typing import Any, Literal, Self, TypeVar

from autogen_core import CancellationToken, Component
from autogen_core.memory import Memory, MemoryContent, MemoryQueryResult, UpdateContextResult
from autogen_core.model_context import ChatCompletionContext

from botwire import BotWireError
from botwire.errors import NotFound
from botwire.jsontext import encode
from botwire.operations import Set
from botwire_autogen.block import Placement, Role, place_block, question, take_back_question
from botwire_autogen.content import record_of, text_of, without_bytes
from botwire_autogen.place import Place, options
from botwire_autogen.remembered import Remembered, line, new_key, remembered
from botwire_autogen.search import fits, rank

__all__ = ["BotWireMemory"]

logger = logging.getLogger("botwire_autogen")
PAGE = 1000
T = TypeVar("T")


class BotWireMemoryConfig(Place):
    """What `dump_component` writes: the address and the options, never a key."""

    prefix: str = "memory/"
    limit: int = 20
    match: Literal["recent", "words"] = "recent"
    where: dict[str, Any] | None = None
    ttl: float | None = None
    sliding: bool = False
    placement: Placement = "auto"
    role: Role = "auto"
    on_error: Literal["raise", "skip"] = "raise"


class BotWireMemory(Memory, Component[BotWireMemoryConfig]):
    """Memory for agents that survives the process and is shared by everyone who names it.

    Before each run the agent finds one block with what is remembered at the head of its context,
    however many turns it has had.

    Args:
        namespace: whose memory it is, such as a user, a team or an agent.
        prefix: everything under this prefix of keys belongs to this memory.
        limit: most memories put into the prompt, and found by `query`.
        match: "recent" puts the newest memories into the prompt, "words" those that share words
            with the newest user message.
        where: only memories whose metadata holds all of these members.
        ttl: seconds a memory lives; without it for ever. `sliding`: counted from its last reading.
        placement, role: where the block stands and as whose message. "auto" takes the head and
            "system", except in a `BufferedChatCompletionContext`, which would cut it off there.
        on_error: "raise" ends the run when the memory cannot be read, and takes the question back
            so that the run can be repeated; "skip" logs a warning and goes on with the block that
            is there.
        url, api_key, timeout: as for `botwire.Memory`.
        api_key_env: the environment variable that holds the key unless `api_key` is given.

    >>> memory = BotWireMemory("user-ada", url="memory://")
    >>> content = MemoryContent(content="likes tea", mime_type="text/plain")
    >>> asyncio.run(memory.add(content))
    >>> asyncio.run(memory.query("which tea?")).results == [content]
    True
    """

    component_config_schema = BotWireMemoryConfig
    component_provider_override = "botwire_autogen.BotWireMemory"

    def __init__(
        self,
        namespace: str,
        *,
        prefix: str = "memory/",
        limit: int = 20,
        match: Literal["recent", "words"] = "recent",
        where: dict[str, Any] | None = None,
        ttl: float | None = None,
        sliding: bool = False,
        placement: Placement = "auto",
        role: Role = "auto",
        on_error: Literal["raise", "skip"] = "raise",
        url: str | None = None,
        api_key: str | None = None,
        api_key_env: str = "BOTWIRE_API_KEY",
        timeout: float = 30.0,
    ) -> None:
        self._config = BotWireMemoryConfig(
            namespace=namespace,
            prefix=prefix,
            limit=limit,
            match=match,
            where=where,
            ttl=ttl,
            sliding=sliding,
            placement=placement,
            role=role,
            on_error=on_error,
            url=url,
            api_key_env=api_key_env,
            timeout=timeout,
        )
        self._memory = self._config.open(api_key)
        self._name = f"{namespace}/{prefix}".rstrip("/").replace('"', "'")

    # -- what autogen asks for -------------------------------------------------------------------

    async def add(
        self, content: MemoryContent, cancellation_token: CancellationToken | None = None
    ) -> None:
        """Remember this, durably when it returns."""
        await _linked(self.put(content), cancellation_token)

    async def query(
        self,
        query: str | MemoryContent = "",
        cancellation_token: CancellationToken | None = None,
        *,
        top_k: int | None = None,
        where: Mapping[str, Any] | None = None,
        prefix: str = "",
        **kwargs: Any,
    ) -> MemoryQueryResult:
        """The memories that share words with the query, best first; for "" the newest, in order.

        Args:
            top_k: at most this many, instead of `limit`.
            where: only memories whose metadata holds all of these members.
            prefix: only memories whose key starts with this.
        """
        if kwargs:
            raise TypeError(f"query() does not know {', '.join(kwargs)}")
        text = query if isinstance(query, str) else text_of(query)
        count = self._config.limit if top_k is None else top_k
        found = await _linked(self._find(text, count, where, prefix), cancellation_token)
        return MemoryQueryResult(results=[memory.content for memory in found])

    async def update_context(self, model_context: ChatCompletionContext) -> UpdateContextResult:
        """Replace this memory's block in the context by what is remembered now."""
        config = self._config
        try:
            found = await self._for_prompt(model_context)
        except BotWireError as error:
            if config.on_error == "raise":
                await take_back_question(model_context)
                raise
            logger.warning("%s was not read, the agent goes on without: %s", self._name, error)
            return UpdateContextResult(memories=MemoryQueryResult(results=[]))
        lines = [line(memory) for memory in found]
        await place_block(model_context, self._name, lines, config.placement, config.role)
        shown = [without_bytes(memory.content) for memory in found]
        return UpdateContextResult(memories=MemoryQueryResult(results=shown))

    async def clear(self) -> None:
        """Delete everything under the prefix."""
        await self._memory.clear(self._config.prefix)

    async def close(self) -> None:
        """Give the connection back. Nothing is deleted; closing twice is fine."""
        await self._memory.close()

    # -- what goes beyond it ---------------------------------------------------------------------

    async def put(
        self, content: MemoryContent, key: str | None = None, *, ttl: float | None = None
    ) -> str:
        """Remember this and return its key: a new one, or `key`, whose content is replaced.

        A memory with a key of its own, such as "city", is always among the newest.
        """
        key = key or new_key()
        await self._memory.set(
            self._config.prefix + key,
            record_of(content),
            ttl=self._config.ttl if ttl is None else ttl,
            sliding=self._config.sliding,
        )
        return key

    async def get(self, key: str) -> Remembered | None:
        """The memory with this key, None if it does not exist (any more)."""
        entry = await self._memory.entry(self._config.prefix + key)
        return None if entry is None else remembered(entry, self._config.prefix)

    async def update(
        self, key: str, content: MemoryContent, *, if_version: int | None = None
    ) -> None:
        """Change what is remembered under a key. Its expiry stays.

        Raises:
            NotFound: there is no such memory.
            Conflict: it is not at `if_version` any more; the error carries the current one.
        """
        full, record = self._config.prefix + key, record_of(content)
        if if_version is None:
            await self._memory.update(full, lambda old: _instead(old, record, key))
            return
        space = self._memory.namespace
        await self._memory.run(
            Set(space, full, encode(record), if_version=if_version, keep_ttl=True)
        )

    async def delete(self, key: str, *, if_version: int | None = None) -> bool:
        """Forget one memory; True if it existed."""
        return await self._memory.delete(self._config.prefix + key, if_version=if_version)

    async def list(
        self,
        *,
        limit: int | None = None,
        where: Mapping[str, Any] | None = None,
        prefix: str = "",
    ) -> "list[Remembered]":
        """The newest memories in order; all of them without `limit`."""
        own = self._config.prefix
        wanted = {**(self._config.where or {}), **(where or {})}
        step = PAGE if limit is None or wanted else min(max(limit, 1), PAGE)
        found: list[Remembered] = []
        cursor = None
        while limit is None or len(found) < limit:
            page = await self._memory.page(own + prefix, after=cursor, limit=step, reverse=True)
            memories = [remembered(entry, own) for entry in page.entries]
            found += [memory for memory in memories if fits(memory.content.metadata, wanted)]
            cursor = page.cursor
            if cursor is None:
                break
        return found[:limit][::-1]

    # -- inside ----------------------------------------------------------------------------------

    async def _find(
        self, text: str, count: int, where: Mapping[str, Any] | None = None, prefix: str = ""
    ) -> "list[Remembered]":
        if not text.strip():
            return await self.list(limit=count, where=where, prefix=prefix)
        found = await self.list(where=where, prefix=prefix)
        best = rank([line(memory) for memory in found], text)
        return [found[place] for place in best[:count]]

    async def _for_prompt(self, context: ChatCompletionContext) -> "list[Remembered]":
        limit = self._config.limit
        if self._config.match == "recent":
            return await self.list(limit=limit)
        found = await self._find(question(await context.get_messages()), limit)
        return sorted(found, key=lambda memory: memory.key)

    def _to_config(self) -> BotWireMemoryConfig:
        return self._config.shareable()

    @classmethod
    def _from_config(cls, config: BotWireMemoryConfig) -> Self:
        return cls(**options(config))


def _instead(old: Any, record: Any, key: str) -> Any:
    if old is None:
        raise NotFound(f"nothing is remembered under {key!r}", key=key)
    return record


async def _linked(work: Coroutine[Any, Any, T], token: CancellationToken | None) -> T:
    """Await the work, which ends early when the token is cancelled."""
    task = asyncio.ensure_future(work)
    if token is not None:
        token.link_future(task)
    return await task
